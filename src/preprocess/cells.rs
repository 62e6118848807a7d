//! What training consumes.

use std::fmt::Write as _;
use std::sync::Arc;

use ndarray::{Array2, Axis};

use super::batch_labels::BatchLabels;
use super::cell_rows::{CellRows, RowCounts};
use super::covariates::EncodedCovariates;
use super::filter::FilterReport;
use super::fingerprint::{CachedFingerprint, Fingerprint};
use super::fitted::FittedPreprocess;
use super::input_scale::InputScale;
use super::normalize::size_factors;
use super::stored::{LoadedRows, Stored};
use crate::counts::{CountMatrix, GeneMoments, MomentSums};
use crate::error::{Error, Result};
use crate::kernel::sparse::SparseInput;

/// Most cells that are held in memory at a time when counts are read from a source.
const BUFFER_CELLS: usize = 1 << 16;

/// Most bytes that those cells take; eight a non-zero count.
const BUFFER_BYTES: f64 = 256.0 * 1024.0 * 1024.0;

/// Preprocessed cells: raw counts for the loss, scaled values for the network, size factors.
///
/// Made by [`Preprocess::fit`](super::Preprocess::fit) and [`FittedPreprocess::transform`] only.
/// They are kept sparse, in 8 bytes per non-zero count (gene, count); a cell's scaled values are
/// computed when they are asked for.
///
/// # Out of core
///
/// Cells made by [`Preprocess::fit_source`](super::Preprocess::fit_source) and
/// [`FittedPreprocess::transform_source`] keep no counts: they read them from their
/// [`CountSource`](crate::counts::CountSource) when they are needed, so everything that reads counts
/// can fail. Two such cells are equal when they read the same of one source.
///
/// Training then visits cells in another order than in memory, because a file cannot be read one
/// random cell at a time: in every epoch blocks of consecutive cells are shuffled, as many blocks as
/// fit the [buffer](Self::with_buffer_cells) are read, the cells of the buffer are shuffled, and
/// batches are taken from it while a thread reads the next buffer. When all cells fit in one buffer,
/// the order, and with it every bit of the result, is that of cells in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    preprocessing: FittedPreprocess,
    counts: Stored,
    /// How counts become inputs.
    scale: InputScale,
    size_factors: Vec<f32>,
    kept_cells: Vec<usize>,
    kept_genes: Vec<Option<usize>>,
    report: FilterReport,
    pub(super) fingerprint: CachedFingerprint,
    /// Cells in memory at a time; `None`: by default.
    buffer_cells: Option<usize>,
    /// Weights of cells, of mean 1.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) covariates: Option<EncodedCovariates>,
}

/// How cells are read that are not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Consecutive cells that are read together.
    pub block: usize,
    /// Blocks in memory at a time.
    pub blocks: usize,
}

/// How many cells are held in memory at a time by default, when their counts are read from a source.
pub(crate) fn default_buffer_cells(cells: usize, stored: usize) -> usize {
    let bytes_per_cell = 8.0 * stored as f64 / cells.max(1) as f64;
    let most = (BUFFER_BYTES / bytes_per_cell.max(1.0)) as usize;
    most.min(BUFFER_CELLS)
}

impl Cells {
    /// Puts cells together from the kept counts `[cells, genes]` and the total count of each cell.
    pub(super) fn assemble(
        preprocessing: FittedPreprocess,
        counts: Stored,
        totals: &[f64],
        kept_cells: Vec<usize>,
        kept_genes: Vec<Option<usize>>,
        batches: Option<BatchLabels>,
        report: FilterReport,
    ) -> Self {
        Self {
            size_factors: size_factors(totals, preprocessing.median_total()),
            scale: InputScale::new(&preprocessing, totals, batches),
            counts,
            kept_cells,
            kept_genes,
            report,
            preprocessing,
            fingerprint: CachedFingerprint::default(),
            buffer_cells: None,
            weights: None,
            covariates: None,
        }
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.scale.totals().len()
    }

    /// Number of genes the network sees.
    pub fn genes(&self) -> usize {
        self.counts.genes()
    }

    /// Raw counts `[cells, genes]` of the kept cells and genes: what the loss compares with.
    ///
    /// # Errors
    /// [`Error::CountsNotInMemory`] when they are read from a source.
    pub fn counts(&self) -> Result<&CountMatrix> {
        self.counts_for("`Cells::counts`")
    }

    /// As [`counts`](Self::counts), for what the error names.
    pub(crate) fn counts_for(&self, what: &'static str) -> Result<&CountMatrix> {
        match &self.counts {
            Stored::Matrix(counts) => Ok(counts),
            Stored::Source(_) => Err(Error::CountsNotInMemory { what }),
        }
    }

    /// Number of non-zero counts of these cells and genes.
    pub fn stored(&self) -> usize {
        self.counts.entries()
    }

    /// How many cells are held in memory at a time when counts are read from a source (default:
    /// 65 536, fewer where these take more than 256 MiB at 8 bytes a non-zero count). While one
    /// buffer trains the next is read: memory for two is needed. Larger ones shuffle better.
    ///
    /// Nothing changes for cells in memory.
    pub fn with_buffer_cells(mut self, cells: usize) -> Self {
        self.buffer_cells = Some(cells);
        self
    }

    /// How cells are read that are not in memory.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let Stored::Source(counts) = &self.counts else {
            return None;
        };
        let block = counts.block();
        let cells = self.buffer_cells;
        let cells = cells.unwrap_or_else(|| default_buffer_cells(self.cells(), self.stored()));
        Some(Reading {
            block,
            blocks: (cells / block).max(1),
        })
    }

    /// The rows of these cells, read from the source when they are not in memory.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn rows(&self, cells: &[usize]) -> Result<CellRows<'_>> {
        Ok(match &self.counts {
            Stored::Matrix(counts) => CellRows::new(&self.scale, RowCounts::Matrix(counts)),
            Stored::Source(counts) => {
                let loaded = counts.load_scattered(&self.kept_cells, cells)?;
                self.loaded_rows(Arc::new(loaded))
            }
        })
    }

    /// Rows that were [loaded](Self::load).
    pub(crate) fn loaded_rows(&self, rows: Arc<LoadedRows>) -> CellRows<'_> {
        CellRows::new(&self.scale, RowCounts::Loaded(rows))
    }

    /// Reads rising cells that lie close together, unless they are in memory already.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn load(&self, cells: Vec<usize>) -> Result<Option<LoadedRows>> {
        match &self.counts {
            Stored::Matrix(_) => Ok(None),
            Stored::Source(counts) => counts.load(&self.kept_cells, cells).map(Some),
        }
    }

    /// Reads cells wherever they lie, unless they are in memory already.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn load_scattered(&self, cells: &[usize]) -> Result<Option<LoadedRows>> {
        match &self.counts {
            Stored::Matrix(_) => Ok(None),
            Stored::Source(counts) => counts.load_scattered(&self.kept_cells, cells).map(Some),
        }
    }

    /// Calls `visit` with position, genes and raw counts of every cell, in order; what is not in
    /// memory is read ahead.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn visit(&self, mut visit: impl FnMut(usize, &[u32], &[f32]) + Send) -> Result<()> {
        match &self.counts {
            Stored::Matrix(counts) => {
                for cell in 0..self.cells() {
                    let (genes, values) = counts.row(cell);
                    visit(cell, genes, values);
                }
                Ok(())
            }
            Stored::Source(counts) => counts.visit(&self.kept_cells, visit),
        }
    }

    /// Moments of the genes.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn gene_moments(&self) -> Result<GeneMoments> {
        let mut sums = MomentSums::new(self.genes());
        self.visit(|cell, genes, values| sums.add(self.size_factors[cell], genes, values))?;
        sums.finish()
    }

    /// Size factor of each cell `[cells]`: its total count over the median total of the training
    /// cells, whatever the target sum is. The loss multiplies the decoder's mean by it.
    pub fn size_factors(&self) -> &[f32] {
        &self.size_factors
    }

    /// Total count of each cell `[cells]`, with genes that were dropped for varying little.
    pub(crate) fn totals(&self) -> &[f64] {
        self.scale.totals()
    }

    /// The preprocessing that made these cells; it prepares new ones in the same way.
    pub fn preprocessing(&self) -> &FittedPreprocess {
        &self.preprocessing
    }

    /// Writes the scaled network input of a cell into `row` `[genes]`.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    ///
    /// # Panics
    /// When `cell` is not below [`cells`](Self::cells) or `row` does not have
    /// [`genes`](Self::genes) elements, as slice indexing does.
    pub fn fill_input(&self, cell: usize, row: &mut [f32]) -> Result<()> {
        self.rows(&[cell])?.fill_input(cell, row);
        Ok(())
    }

    /// What the network input of a cell would be if all its counts were zero `[genes]`.
    pub(crate) fn input_at_zeros(&self, cell: usize) -> &[f32] {
        self.scale.input_at_zeros(cell)
    }

    /// The scaled network input of the given cells, sparse.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    ///
    /// # Panics
    /// When one of them is not below [`cells`](Self::cells), as slice indexing does.
    pub fn sparse_input(&self, cells: &[usize]) -> Result<SparseInput> {
        Ok(self.rows(cells)?.sparse_input(cells))
    }

    /// Writes the raw counts of a cell into `row` `[genes]`.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    ///
    /// # Panics
    /// As [`fill_input`](Self::fill_input).
    pub fn fill_counts(&self, cell: usize, row: &mut [f32]) -> Result<()> {
        assert_eq!(row.len(), self.genes(), "length of the row to fill");
        row.fill(0.0);
        self.rows(&[cell])?.set_counts(cell, row);
        Ok(())
    }

    /// Names of the kept cells.
    pub fn cell_names(&self) -> &[String] {
        self.counts.cell_names()
    }

    /// Names of the genes the network sees.
    pub fn gene_names(&self) -> &[String] {
        self.counts.gene_names()
    }

    /// Position of each cell in the matrix that was preprocessed, rising.
    pub fn kept_cells(&self) -> &[usize] {
        &self.kept_cells
    }

    /// Position of each gene in the matrix that was preprocessed; `None` for a gene of the model
    /// that new data lacks (never after fitting).
    pub fn kept_genes(&self) -> &[Option<usize>] {
        &self.kept_genes
    }

    /// Batch of each cell `[cells]` as position in [`batch_names`](Self::batch_names); `None` when
    /// no batches were given.
    pub fn batches(&self) -> Option<&[usize]> {
        self.scale.batches().map(BatchLabels::codes)
    }

    /// Labels of the batches of these cells, sorted; empty when no batches were given.
    pub fn batch_names(&self) -> &[String] {
        self.scale.batches().map_or(&[], BatchLabels::names)
    }

    /// How many cells and genes were dropped, and why.
    pub fn report(&self) -> &FilterReport {
        &self.report
    }

    /// The network input as a dense matrix `[cells, genes]`: `4 · cells · genes` bytes, so for
    /// small data only.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    pub fn to_dense_input(&self) -> Result<Array2<f32>> {
        let mut dense = Array2::zeros((self.cells(), self.genes()));
        self.visit(|cell, genes, values| {
            if let Some(row) = dense.index_axis_mut(Axis(0), cell).as_slice_mut() {
                row.copy_from_slice(self.input_at_zeros(cell));
                self.scale
                    .for_each_input(cell, (genes, values), |gene, input| row[gene] = input);
            }
        })?;
        Ok(dense)
    }

    /// A hash of counts, network input, names, batches and settings: equal for equal data and
    /// settings, on every machine of the same kind, wherever the counts are. A checkpoint stores it
    /// and refuses other data.
    ///
    /// The first call reads all data once (about a second per 10⁸ non-zero counts in memory).
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    pub fn fingerprint(&self) -> Result<u64> {
        self.fingerprint
            .get_or_compute(|| self.compute_fingerprint())
    }

    fn compute_fingerprint(&self) -> Result<u64> {
        let mut hash = Fingerprint::new();
        hash.number(self.cells());
        hash.number(self.genes());
        // Side by side, so that one pass over the data is enough.
        let mut parts = [(); 4].map(|()| Fingerprint::new());
        self.visit(|cell, genes, values| {
            let [lengths, indices, counts, inputs] = &mut parts;
            lengths.number(genes.len());
            for (gene, &count) in genes.iter().zip(values) {
                indices.bytes(&gene.to_le_bytes());
                counts.float(count);
            }
            self.scale
                .for_each_input(cell, (genes, values), |_, input| inputs.float(input));
        })?;
        for part in parts {
            hash.bytes(&part.finish().to_le_bytes());
        }
        hash.number(self.stored());
        for zeros in self.scale.zeros() {
            hash.floats(zeros);
        }
        hash.floats(&self.size_factors);
        hash.texts(self.cell_names());
        hash.texts(self.gene_names());
        hash.texts(self.batch_names());
        for &batch in self.batches().unwrap_or_default() {
            hash.number(batch);
        }
        // Writing into a hash cannot fail.
        let _ = write!(hash, "{:?}", self.preprocessing.settings());
        self.hash_attributes(&mut hash);
        Ok(hash.finish())
    }

    /// Adds covariates and weights to a fingerprint, which stays what it is without them.
    fn hash_attributes(&self, hash: &mut Fingerprint) {
        if let Some(weights) = &self.weights {
            hash.bytes(b"weights");
            hash.floats(weights);
        }
        if let Some(covariates) = &self.covariates
            && covariates.values.ncols() > 0
        {
            hash.bytes(b"covariates");
            hash.number(covariates.values.ncols());
            for &value in &covariates.values {
                hash.float(value);
            }
        }
    }
}
