//! Training from counts to clusters, on small simulated data.

mod checkpoint;
mod divergence;
mod end_to_end;
mod faults;
mod losses;
mod new_cells;
mod pairs;
mod reproducible;
mod storage;

use celldec::nn::Activation;
use celldec::nn::ReconstructionHead;
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

/// A scDCC configuration that fits small data in a moment.
pub fn scdcc(clusters: usize) -> ScdccConfig {
    ScdccConfig::reference(clusters)
        .with_shuffle(true)
        .with_assignment_offset(0.0)
        .with_widths(vec![16, 6])
        .with_batch_size(32)
        .with_pretraining_epochs(8)
        .with_max_epochs(4)
        .with_tolerance(0.0)
        .with_seed(3)
}

/// A DESC configuration that fits small data in a moment.
pub fn desc() -> DescConfig {
    DescConfig::reference()
        .with_output_activation(Activation::Linear)
        .with_communities(CommunityMethod::Leiden)
        .with_weighted_graph(true)
        .with_widths(Some(vec![16, 6]))
        .with_batch_size(32)
        .with_pretraining_epochs(12)
        .with_max_epochs(5)
        .with_tolerance(0.0)
        .with_seed(3)
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
