//! Nearest neighbours found by the device: the CPU's exact ones to the bit, and what a fit makes of them.

use std::cell::Cell;
use std::fmt::Debug;

use celldec::graph::{
    DeviceSearch, EmbeddedCells, NeighborMemory, NeighborSearch, nearest_neighbors,
};
use celldec::loss::{SharpenedTarget, SmoothedTarget, Target};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use tracing::field::{Field, Visit};
use tracing::span;

use crate::launches::launches_of;
use crate::{cpu, gpu, numbers};

fn always(device: &Device) -> DeviceSearch {
    DeviceSearch::new(device).always()
}

/// Cells `[cells, dimensions]` anywhere between −2 and 2.
fn anywhere(cells: usize, dimensions: usize) -> Array2<f32> {
    let values = numbers(cells * dimensions, 3 + dimensions, 4.0);
    Array2::from_shape_vec((cells, dimensions), values).expect("as many numbers as asked for")
}

/// Cells in seven tight groups, and every fifth once more.
fn groups(cells: usize, dimensions: usize) -> Array2<f32> {
    let single = cells - cells / 5;
    let centres = anywhere(7, dimensions) * 5.0;
    let mut points = anywhere(single, dimensions);
    for (cell, mut point) in points.rows_mut().into_iter().enumerate() {
        point.zip_mut_with(&centres.row(cell % 7), |x, centre| *x = 0.1 * *x + centre);
    }
    let again: Vec<usize> = (0..cells / 5).map(|number| number * 5 % single).collect();
    let again = points.select(Axis(0), &again);
    concatenate(Axis(0), &[points.view(), again.view()]).expect("rows of one length")
}

/// Cells on the points of a lattice: many at equal distances, and many duplicates.
fn lattice(cells: usize, dimensions: usize) -> Array2<f32> {
    Array2::from_shape_fn((cells, dimensions), |(cell, axis)| {
        ((cell * (7 + axis) + 3 * axis) % 5) as f32
    })
}

/// That the device finds what the CPU finds exactly, to the bit; of how many cells it left doubt, so that
/// the CPU looked for their neighbours.
fn agree(points: ArrayView2<'_, f32>, k: usize, device: DeviceSearch, what: &str) -> u64 {
    let search = NeighborSearch::default().with_device(device);
    let (found, doubtful) = doubts_of(|| search.find(points, k).expect(what));
    let expected = nearest_neighbors(points, k).expect(what);
    let rows = found.indices.rows().into_iter();
    for (cell, (found, expected)) in rows.zip(expected.indices.rows()).enumerate() {
        assert_eq!(found, expected, "{what}, cell {cell}");
    }
    assert_eq!(found.distances, expected.distances, "{what}");
    doubtful
}

thread_local! {
    static DOUBTS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Hears of how many cells a device left doubt.
struct Doubts;

impl tracing::Subscriber for Doubts {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.fields().field("doubtful").is_some()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Self);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Doubts {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "doubtful" {
            DOUBTS.set(Some(value));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// What a search finds, and of how many cells the device left doubt.
fn doubts_of<T>(search: impl FnOnce() -> T) -> (T, u64) {
    DOUBTS.set(None);
    let found = tracing::subscriber::with_default(Doubts, search);
    (found, DOUBTS.get().expect("the device was used"))
}

#[test]
fn neighbours_are_those_of_the_exact_search_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (cells, dimensions, k) in [
        (300, 1, 15),
        (700, 7, 9),
        (401, 32, 15),
        (257, 33, 5),
        (130, 64, 64),
    ] {
        for (points, kind) in [
            (anywhere(cells, dimensions), "anywhere"),
            (groups(cells, dimensions), "in groups"),
            (lattice(cells, dimensions), "on a lattice"),
        ] {
            let what = format!("{cells} x {dimensions} {kind}, {k} neighbours");
            let doubtful = agree(points.view(), k, always(&gpu), &what);
            println!("{what}: {doubtful} cells in doubt");
            // Only on a lattice are so many others equally near that some are not kept.
            assert!(
                kind == "on a lattice" || doubtful == 0,
                "{what}: {doubtful}"
            );
        }
    }
}

#[test]
fn cells_that_are_all_alike_have_the_first_others_for_neighbours() {
    let Some(gpu) = gpu() else { return };
    let alike = Array2::from_elem((150, 5), 0.3);
    let doubtful = agree(alike.view(), 15, always(&gpu), "cells that are all alike");
    assert_eq!(doubtful, 0);
    let nothing = Array2::zeros((40, 3));
    assert_eq!(
        agree(nothing.view(), 7, always(&gpu), "cells at the origin"),
        0
    );
}

#[test]
fn all_others_are_neighbours_of_few_cells() {
    let Some(gpu) = gpu() else { return };
    for (cells, k) in [(2, 1), (6, 5), (6, 3), (17, 16), (20, 17)] {
        let points = anywhere(cells, 3);
        let what = format!("{k} of {cells}");
        assert_eq!(agree(points.view(), k, always(&gpu), &what), 0, "{what}");
    }
}

/// Coordinates whose squares are beyond the range of f32, and groups far from the origin.
#[test]
fn neither_large_nor_small_coordinates_matter() {
    let Some(gpu) = gpu() else { return };
    let points = groups(200, 6);
    for exponent in [-140, -100, 100, 120] {
        let scaled = points.mapv(|x| (f64::from(x) * 2f64.powi(exponent)) as f32);
        let what = format!("2^{exponent}");
        // A few distances are the same to the last bit.
        let doubtful = agree(scaled.view(), 9, always(&gpu), &what);
        assert!(doubtful <= 10, "{what}: {doubtful}");
    }
    let far = points.mapv(|x| x + 1e6);
    // Many differences of coordinates are the same there.
    agree(far.view(), 9, always(&gpu), "far from the origin");
    // Beside the first axis the others vanish in the arithmetic of the device.
    let mut uneven = points.mapv(|x| x * 1e-25);
    uneven.column_mut(0).fill(1e25);
    let doubtful = agree(uneven.view(), 9, always(&gpu), "axes of different sizes");
    assert_eq!(doubtful, 200, "the device sees no difference");
}

/// A transposed matrix is in columns.
#[test]
fn the_order_in_memory_does_not_matter() {
    let Some(gpu) = gpu() else { return };
    let points = anywhere(9, 120);
    assert_eq!(agree(points.t(), 5, always(&gpu), "columns"), 0);
}

#[test]
fn work_is_parted_into_launches() {
    let Some(gpu) = gpu() else { return };
    let points = groups(700, 11);
    let launches = |work: Option<u64>| {
        let device = always(&gpu);
        let device = match work {
            Some(work) => device.with_work(work),
            None => device,
        };
        let launches = launches_of(|| {
            let doubtful = agree(points.view(), 15, device, &format!("{work:?}"));
            assert_eq!(doubtful, 0, "{work:?}");
        });
        launches.values().sum::<usize>()
    };
    assert_eq!(launches(None), 1);
    // All cells at once, with as many candidates as there is work for; 200 candidates are 192.
    assert_eq!(launches(Some(700 * 11 * 200)), 4);
    // Blocks of 300 cells, each with 32 candidates a launch, of which the last blocks have fewer:
    // 10 + 10 + 4 launches each of two blocks, and those of the last one compare 96.
    assert_eq!(launches(Some(300 * 11 * 32)), 2 * 24 + 4 + 4 + 2);
    // As few as there can be: one cell at a time.
    let few = groups(25, 3);
    let doubtful = agree(few.view(), 4, always(&gpu).with_work(0), "cell by cell");
    assert_eq!(doubtful, 0);
}

#[test]
fn what_no_search_can_answer_is_refused_as_by_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let search = NeighborSearch::default().with_device(always(&gpu));
    let refused = |points: &Array2<f32>, k: usize| {
        let expected = nearest_neighbors(points.view(), k).expect_err("no answer");
        let found = search.find(points.view(), k).expect_err("no answer");
        assert_eq!(found.to_string(), expected.to_string());
    };
    let mut points = anywhere(30, 4);
    refused(&points, 0);
    refused(&points, 30);
    refused(&points, 64);
    refused(&Array2::zeros((0, 4)), 1);
    refused(&Array2::zeros((4, 0)), 1);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        points[[17, 2]] = value;
        refused(&points, 3);
    }
}

#[test]
fn a_device_is_used_where_it_pays() {
    let Some(gpu) = gpu() else { return };
    let adapter = celldec::device::adapter().expect("there is a device");
    let is_gpu = !adapter.expect("this crate opened it").is_software;
    let search = DeviceSearch::new(&gpu);
    assert_eq!(search.takes(1_000_000, 15), is_gpu);
    assert!(!search.takes(1000, 15), "few cells");
    let always = always(&gpu);
    assert!(always.takes(10, 3) && always.takes(1_000_000, 64));
    assert!(!always.takes(1_000_000, 65), "many neighbours");
    assert!(!DeviceSearch::new(&cpu()).always().takes(1_000_000, 15));

    // What the CPU does instead is its own search.
    let points = anywhere(200, 5);
    let search = NeighborSearch::default().with_device(search);
    let launches = launches_of(|| {
        let found = search.find(points.view(), 9).expect("neighbours");
        let expected = nearest_neighbors(points.view(), 9).expect("neighbours");
        assert_eq!(found, expected);
    });
    assert!(launches.is_empty(), "{launches:?}");
}

#[test]
fn of_exact_neighbours_no_approximation_is_told() {
    let Some(gpu) = gpu() else { return };
    let cells = 1_000_000;
    let on_cpu = NeighborSearch::default();
    let on_device = NeighborSearch::default().with_device(always(&gpu));
    assert!(!on_cpu.finds_exactly(cells, 15) && on_device.finds_exactly(cells, 15));
    let target = SmoothedTarget::new(SharpenedTarget::new(), 15);
    let told = target.warning(cells, &on_cpu).expect("a warning");
    assert!(told.contains("approximately"), "{told}");
    assert_eq!(target.warning(cells, &on_device), None);
    let wide = SmoothedTarget::new(SharpenedTarget::new(), 65);
    assert!(wide.warning(cells, &on_device).is_some());
}

#[test]
fn embedded_cells_are_searched_by_the_device() {
    let Some(gpu) = gpu() else { return };
    let points = groups(300, 8);
    let memory = NeighborMemory::new(2);
    let search = NeighborSearch::default().with_device(always(&gpu));
    let cells = EmbeddedCells::new(points.view(), &memory).with_search(search);
    let launches = launches_of(|| {
        let found = cells.neighbors(15).expect("neighbours");
        assert_eq!(
            *found,
            nearest_neighbors(points.view(), 15).expect("neighbours")
        );
        cells.neighbors(15).expect("remembered ones");
    });
    assert_eq!(launches.values().sum::<usize>(), 1, "{launches:?}");
}

/// Fits whose neighbours are found by the device have the labels of the CPU.
fn same_labels<H: ReconstructionHead>(plan: &Plan<H>, searches: usize, what: &str) {
    let Some(gpu) = gpu() else { return };
    let simulation = SimulationConfig::new(150, 60)
        .with_groups(3)
        .with_differential_expression(0.35, 1.2, 0.4)
        .with_seed(1)
        .simulate()
        .expect("valid settings");
    let cells = Preprocess::scdcc()
        .fit(&simulation.counts)
        .expect("simulated counts are valid");
    let here = plan.trainer(&cpu()).expect(what).fit(&cells).expect(what);
    for (device, expected) in [(Some(always(&gpu)), searches), (None, 0)] {
        let trainer = plan.trainer(&gpu).expect(what).with_device_search(device);
        let mut there = None;
        let launches = launches_of(|| there = Some(trainer.fit(&cells).expect(what)));
        let there = there.expect("a fit");
        assert_eq!(
            there.clusters().labels(),
            here.clusters().labels(),
            "{what}"
        );
        assert_eq!(there.status().warnings, here.status().warnings, "{what}");
        let found = launches.iter().filter(|(name, _)| is_search(name));
        assert_eq!(
            found.map(|(_, count)| count).sum::<usize>(),
            expected,
            "{what}"
        );
    }
}

/// Whether a kernel is the one that compares cells.
fn is_search(kernel: &str) -> bool {
    kernel.contains("neighbors")
}

#[test]
fn a_fit_with_a_smoothed_start_and_a_smoothed_target() {
    let plan = Plan::scdcc(3)
        .with_widths([16, 6])
        .with_batch_size(50)
        .with_epochs(2, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5);
    same_labels(&plan, 2, "scDCC");
}

#[test]
fn a_fit_from_a_graph() {
    let plan = Plan::desc()
        .with_start(CentroidStart::Graph(GraphConfig::new(1.0)))
        .with_widths([16, 6])
        .with_batch_size(50)
        .with_epochs(2, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(3);
    same_labels(&plan, 2, "DESC");
}

#[test]
fn a_fit_whose_number_of_clusters_is_found() {
    let plan = Plan::scdcc_auto()
        .with_widths([16, 6])
        .with_batch_size(50)
        .with_epochs(2, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5);
    same_labels(&plan, 2, "scDCC without a number of clusters");
}
