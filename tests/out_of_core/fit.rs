//! Training and evaluation.

use celldec::batches::Corruption;
use celldec::device::by_name;
use celldec::metrics::adjusted_rand_index;
use celldec::model::Fit;
use celldec::nn::{CountHead, ReconstructionHead};
use celldec::pairs::ConstraintPairs;
use celldec::preprocess::{Cells, Preprocess};
use celldec::start::{CentroidStart, KMeansConfig};
use celldec::train::{CheckpointConfig, Plan, PretrainConfig, ScdccTrainer, Trainer};
use celldec::{Error, counts::CountMatrix};

use super::{Blocks, bits, counts, on_threads};

fn on_disk(counts: &CountMatrix, block: usize) -> Cells {
    Preprocess::scdcc()
        .fit_source(Blocks::shared(counts, block))
        .unwrap()
}

fn in_memory(counts: &CountMatrix) -> Cells {
    Preprocess::scdcc().fit(counts).unwrap()
}

fn plan() -> Plan<CountHead> {
    Plan::scdcc(3)
        .with_widths([16, 4])
        .with_batch_size(32)
        .with_epochs(4, 3)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5)
}

fn trainer<H: ReconstructionHead>(plan: Plan<H>) -> Trainer<H> {
    plan.trainer(&by_name("cpu").unwrap()).unwrap()
}

fn pairs() -> ConstraintPairs {
    ConstraintPairs::new(vec![(0, 200), (17, 3), (90, 91)], vec![(0, 3), (151, 80)]).unwrap()
}

fn assert_same_fit<H: ReconstructionHead>(found: &Fit<H>, expected: &Fit<H>) {
    assert_eq!(bits(found.embedding()), bits(expected.embedding()));
    assert_eq!(found.clusters(), expected.clusters());
    let losses = |fit: &Fit<H>| -> Vec<_> {
        let history = fit.history().iter();
        history.map(|record| record.losses.clone()).collect()
    };
    assert_eq!(losses(found), losses(expected));
}

#[test]
fn a_model_embeds_assigns_and_denoises_as_in_memory() {
    let training = counts(260, 40);
    // More than one window of a sweep.
    let new = counts(9000, 40);
    let fit = trainer(plan()).fit(&in_memory(&training)).unwrap();
    let model = fit.into_model();
    let in_memory = model.prepare(&new).unwrap();
    let on_disk = model.prepare_source(Blocks::shared(&new, 300)).unwrap();
    let (found, expected) = (
        model.evaluate(&on_disk).unwrap(),
        model.evaluate(&in_memory).unwrap(),
    );
    assert_eq!(bits(&found.embedding), bits(&expected.embedding));
    assert_eq!(
        bits(&found.soft_assignments),
        bits(&expected.soft_assignments)
    );
    assert_eq!(
        bits(&model.denoise(&on_disk).unwrap()),
        bits(&model.denoise(&in_memory).unwrap())
    );
}

#[test]
fn several_devices_read_the_same_cells() {
    let cells = on_disk(&counts(260, 40), 10).with_buffer_cells(60);
    let plan = plan().with_constraints(pairs());
    let alone = trainer(plan.clone()).fit(&cells).unwrap();
    let devices = [0, 1].map(|_| by_name("cpu").unwrap());
    let shared = plan.trainer_on(&devices).unwrap().fit(&cells).unwrap();
    assert_eq!(shared.clusters().labels(), alone.clusters().labels());
    let (q, expected) = (shared.clusters().soft(), alone.clusters().soft());
    let values = q.iter().zip(&expected);
    let difference = values.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(difference < 1e-4, "{difference:e}");
}

#[test]
fn a_fit_whose_cells_are_in_one_buffer_is_that_of_memory() {
    let counts = counts(260, 40);
    let scdcc = trainer(plan().with_constraints(pairs()));
    let expected = scdcc.fit(&in_memory(&counts)).unwrap();
    for block in [25, 300] {
        assert_same_fit(&scdcc.fit(&on_disk(&counts, block)).unwrap(), &expected);
    }

    let layerwise = PretrainConfig::new()
        .with_epochs(2)
        .with_corruption(Corruption::Dropout(0.2));
    let plan = Plan::desc()
        .with_widths([12, 4])
        .with_layerwise(Some(layerwise))
        .with_epochs(6, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_start(CentroidStart::KMeans(KMeansConfig::new(3)));
    let desc = trainer(plan);
    let expected = desc.fit(&in_memory(&counts)).unwrap();
    assert_same_fit(&desc.fit(&on_disk(&counts, 25)).unwrap(), &expected);
}

/// Fits in five buffers of two blocks each.
fn in_buffers(counts: &CountMatrix, trainer: &ScdccTrainer) -> Fit<CountHead> {
    trainer
        .fit(&on_disk(counts, 26).with_buffer_cells(60))
        .unwrap()
}

#[test]
fn buffers_give_the_same_bits_again_and_on_any_number_of_threads() {
    let counts = counts(260, 40);
    let trainer = trainer(plan().with_constraints(pairs()));
    let first = in_buffers(&counts, &trainer);
    for threads in [1, 3] {
        let again = on_threads(threads, || in_buffers(&counts, &trainer));
        assert_same_fit(&again, &first);
    }
    // Another order than in memory, and no longer the same bits.
    let memory = trainer.fit(&in_memory(&counts)).unwrap();
    assert_ne!(bits(first.embedding()), bits(memory.embedding()));
}

#[test]
fn buffers_of_sorted_cells_still_find_the_groups() {
    let simulation = celldec::counts::SimulationConfig::new(300, 200)
        .with_groups(3)
        .with_differential_expression(0.3, 0.5, 0.5)
        .with_library_size(1000.0, 0.2)
        .with_seed(1)
        .simulate()
        .unwrap();
    // Group after group, as in files that were put together from several.
    let mut order: Vec<usize> = (0..300).collect();
    order.sort_by_key(|&cell| simulation.groups[cell]);
    let counts = simulation.counts.select_cells(&order).unwrap();
    let groups: Vec<usize> = order.iter().map(|&cell| simulation.groups[cell]).collect();
    let cells = on_disk(&counts, 10).with_buffer_cells(60);
    let plan = Plan::scdcc(3)
        .with_widths([64, 16])
        .with_batch_size(32)
        .with_epochs(30, 10)
        .with_seed(7);
    let fit = trainer(plan).fit(&cells).unwrap();
    let agreement = adjusted_rand_index(&groups, fit.clusters().labels()).unwrap();
    assert!(agreement > 0.9, "{agreement}");
}

#[test]
fn a_killed_fit_resumes_with_the_bits_of_an_undisturbed_one() {
    let counts = counts(260, 40);
    let expected = in_buffers(&counts, &trainer(plan()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let checkpoint = CheckpointConfig::new(&path).with_interval(std::time::Duration::ZERO);
    let trainer = trainer(plan()).with_checkpoint(checkpoint);

    // The source fails in the third epoch of pretraining.
    let source = std::sync::Arc::new(Blocks::new(&counts, 26).failing_at(93));
    let cells = Preprocess::scdcc()
        .fit_source(source)
        .unwrap()
        .with_buffer_cells(60);
    let error = trainer.fit(&cells).unwrap_err();
    assert!(
        matches!(error.error(), Error::CountSource { .. }),
        "{error}"
    );
    assert!(path.exists());

    let resumed = trainer
        .fit(&on_disk(&counts, 26).with_buffer_cells(60))
        .unwrap();
    assert_same_fit(&resumed, &expected);

    // Another buffer is another order of cells.
    let error = trainer
        .fit(&on_disk(&counts, 26).with_buffer_cells(80))
        .unwrap_err();
    assert!(
        matches!(error.error(), Error::CheckpointMismatch { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("the order of cells"), "{error}");
    let error = trainer.fit(&in_memory(&counts)).unwrap_err();
    assert!(error.to_string().contains("cells in memory"), "{error}");
}
