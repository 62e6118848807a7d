//! Training from counts to clusters, on small simulated data.

mod cell_weights;
mod checkpoint;
mod covariates;
mod decoder;
mod devices;
mod divergence;
mod end_to_end;
mod faults;
mod frozen;
mod interruption;
mod learning_rate;
mod losses;
mod new_cells;
mod own_parts;
mod pairs;
mod record;
mod reproducible;
mod starts;
mod storage;
mod validation;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use celldec::error::ParameterError;
use celldec::nn::{MseHeadConfig, ReconstructionHead};
use celldec::prelude::*;

/// Simulated cells of three groups that differ in a third of their genes, with the groups.
pub fn simulated(cells: usize, genes: usize, seed: u64) -> (Cells, Vec<usize>) {
    let simulation = SimulationConfig::new(cells, genes)
        .with_groups(3)
        .with_differential_expression(0.35, 1.2, 0.4)
        .with_seed(seed)
        .simulate()
        .expect("valid settings");
    let cells = Preprocess::scdcc_reference()
        .fit(&simulation.counts)
        .expect("simulated counts are valid");
    let groups = cells
        .kept_cells()
        .iter()
        .map(|&cell| simulation.groups[cell])
        .collect();
    (cells, groups)
}

/// A plan of scDCC with joint training that fits small data in a moment.
pub fn scdcc(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc_reference(clusters)
        .with_clustering(KlDivergence::new())
        .with_widths([16, 6])
        .with_batch_size(32)
        .with_epochs(8, 4)
        .with_self_training(|phase| phase.with_shuffle(true).with_tolerance(0.0))
        .with_seed(3)
}

/// A plan of scDCC with this crate's defaults that fits small data in a moment: AMSGrad, a linear
/// skip, a target from remembered neighbours.
pub fn default_scdcc() -> Plan<CountHead> {
    Plan::scdcc(3)
        .with_widths([16, 6])
        .with_batch_size(32)
        .with_epochs(3, 7)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5)
}

/// A plan of DESC with layer-wise pretraining that fits small data in a moment.
pub fn desc() -> Plan<MseHead> {
    let mut plan = Plan::desc_reference()
        .with_start(CentroidStart::Graph(GraphConfig::new(1.0)))
        .with_widths([16, 6])
        .with_published_pretraining(12)
        .with_batch_size(32)
        .with_self_training(|phase| phase.with_max_epochs(5).with_tolerance(0.0))
        .with_seed(3);
    plan.head = MseHeadConfig::new();
    plan
}

/// What a plan makes of cells.
pub fn fitted<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> Fit<H> {
    plan.trainer(&cpu()).unwrap().fit(cells).unwrap()
}

/// An observer that fails the test when anything is trained.
pub fn no_work(event: &Event<'_>) {
    panic!("work was done: {event:?}");
}

/// The setting that an error is about.
pub fn parameter(error: impl Into<Error>) -> ParameterError {
    match error.into() {
        Error::Parameter(error) => error,
        other => panic!("not a parameter error: {other}"),
    }
}

pub fn cpu() -> Device {
    Device::default()
}

/// Everything a fit computed, bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    labels: Vec<usize>,
    initial_labels: Vec<usize>,
    values: Vec<u32>,
    losses: Vec<(String, u64)>,
}

pub fn bits<H: ReconstructionHead>(fit: &Fit<H>, cells: &Cells) -> Bits {
    let centroids = fit.centroids();
    let denoised = fit.model().denoise(cells).ok();
    Bits {
        labels: fit.clusters().labels().to_vec(),
        initial_labels: fit.initial_labels().to_vec(),
        values: fit
            .embedding()
            .iter()
            .chain(fit.clusters().soft().iter())
            .chain(centroids.iter())
            .chain(denoised.iter().flatten())
            .map(|value| value.to_bits())
            .collect(),
        losses: fit
            .history()
            .iter()
            .flat_map(|record| &record.losses)
            .map(|(name, loss)| (name.clone(), loss.to_bits()))
            .collect(),
    }
}

/// All weights of a module, bit by bit.
pub fn weights(module: &impl Module) -> Vec<u32> {
    struct Collect(Vec<u32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().into_data_as::<f32>();
            let values = values.as_slice::<f32>().unwrap();
            self.0.extend(values.iter().map(|value| value.to_bits()));
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

/// The largest difference between two matrices.
pub fn largest_difference<'a>(
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    let pairs = a.into_iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
