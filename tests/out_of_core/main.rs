//! Counts that are read from a source part by part give what counts in memory give.

mod faults;
mod fit;
mod preprocessing;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use celldec::counts::{CountMatrix, CountRows, CountSource, SimulationConfig};
use celldec::preprocess::Cells;
use celldec::{Error, Result};

/// A matrix that is read in blocks, counts reads, and can fail at one of them.
#[derive(Debug)]
struct Blocks {
    counts: CountMatrix,
    block: usize,
    reads: AtomicUsize,
    fails_at: usize,
}

impl Blocks {
    fn new(counts: &CountMatrix, block: usize) -> Self {
        Self {
            counts: counts.clone(),
            block,
            reads: AtomicUsize::new(0),
            fails_at: usize::MAX,
        }
    }

    fn shared(counts: &CountMatrix, block: usize) -> Arc<dyn CountSource> {
        Arc::new(Self::new(counts, block))
    }

    fn failing_at(self, fails_at: usize) -> Self {
        Self { fails_at, ..self }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl CountSource for Blocks {
    fn cell_names(&self) -> &[String] {
        self.counts.cell_names()
    }

    fn gene_names(&self) -> &[String] {
        self.counts.gene_names()
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        assert!(cells.len() <= self.block, "{cells:?}");
        if self.reads.fetch_add(1, Ordering::SeqCst) == self.fails_at {
            return Err(Error::CountSource {
                cause: "the disk is gone".into(),
            });
        }
        self.counts.read_window(cells)
    }

    fn block(&self) -> usize {
        self.block
    }
}

/// Three groups of cells; some genes have no counts.
fn counts(cells: usize, genes: usize) -> CountMatrix {
    SimulationConfig::new(cells, genes)
        .with_groups(3)
        .with_differential_expression(0.3, 0.5, 0.5)
        .with_library_size(400.0, 0.3)
        .with_seed(1)
        .simulate()
        .unwrap()
        .counts
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// Everything that can be asked of cells is the same.
fn assert_same_cells(on_disk: &Cells, in_memory: &Cells) {
    assert_eq!(on_disk.preprocessing(), in_memory.preprocessing());
    assert_eq!(bits(on_disk.size_factors()), bits(in_memory.size_factors()));
    assert_eq!(
        bits(&on_disk.to_dense_input().unwrap()),
        bits(&in_memory.to_dense_input().unwrap())
    );
    assert_eq!(on_disk.stored(), in_memory.stored());
    assert_eq!(on_disk.kept_cells(), in_memory.kept_cells());
    assert_eq!(on_disk.kept_genes(), in_memory.kept_genes());
    assert_eq!(on_disk.cell_names(), in_memory.cell_names());
    assert_eq!(on_disk.gene_names(), in_memory.gene_names());
    assert_eq!(on_disk.batches(), in_memory.batches());
    assert_eq!(on_disk.report(), in_memory.report());
    assert_eq!(
        on_disk.fingerprint().unwrap(),
        in_memory.fingerprint().unwrap()
    );
    let mut rows = [vec![0.0; in_memory.genes()], vec![0.0; in_memory.genes()]];
    for cell in [in_memory.cells() - 1, 0] {
        let [disk, memory] = &mut rows;
        on_disk.fill_counts(cell, disk).unwrap();
        in_memory.fill_counts(cell, memory).unwrap();
        assert_eq!(disk, memory);
    }
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}
