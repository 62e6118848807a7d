//! Where counts come from: memory, a file, or anything else that gives rows.

use std::fmt::Debug;
use std::ops::Range;

use super::{CountMatrix, CountRows, GeneMap, Row};
use crate::error::{Error, Result};
use crate::parallel::try_map;

/// Raw counts (cells × genes) that are read part by part, so that they need not fit in memory.
///
/// [`Preprocess::fit_source`](crate::preprocess::Preprocess::fit_source) takes a source in place of a
/// matrix. A [`CountMatrix`] is one; with the feature `h5ad` so is `io::H5adSource`, an AnnData file
/// that stays on disk. Others are a few lines:
///
/// ```
/// use std::ops::Range;
///
/// use celldec::Result;
/// use celldec::counts::{CountRows, CountSource};
/// use celldec::preprocess::Preprocess;
///
/// /// Counts that are computed when they are asked for: gene 0 has one count in every cell, gene 1
/// /// has two in every other cell.
/// #[derive(Debug)]
/// struct Computed {
///     cells: Vec<String>,
///     genes: Vec<String>,
/// }
///
/// impl CountSource for Computed {
///     fn cell_names(&self) -> &[String] {
///         &self.cells
///     }
///
///     fn gene_names(&self) -> &[String] {
///         &self.genes
///     }
///
///     fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
///         let (mut offsets, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
///         for cell in cells.clone() {
///             indices.push(0);
///             values.push(1.0);
///             if cell % 2 == 0 {
///                 indices.push(1);
///                 values.push(2.0);
///             }
///             offsets.push(indices.len());
///         }
///         CountRows::from_csr(cells.start, self.genes.len(), offsets, indices, values)
///     }
/// }
///
/// let source = Computed {
///     cells: (0..100).map(|cell| format!("cell {cell}")).collect(),
///     genes: vec!["CD3E".into(), "LYZ".into()],
/// };
/// let cells = Preprocess::scdcc().fit_source(std::sync::Arc::new(source))?;
/// assert_eq!((cells.cells(), cells.genes()), (100, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
pub trait CountSource: Debug + Send + Sync {
    /// Names of all cells (barcodes), in the order of the rows.
    fn cell_names(&self) -> &[String];

    /// Names of all genes, in the order of the columns.
    fn gene_names(&self) -> &[String];

    /// The counts of consecutive cells `[cells.len(), genes]`, of the same values at every call.
    ///
    /// Several threads may call at once.
    ///
    /// # Errors
    /// Whatever is wrong with the data or where they lie; it ends the fit that reads them.
    /// [`Error::CountSource`] holds one of another crate.
    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>>;

    /// How many consecutive cells are cheap to read together, for example those of a few
    /// compressed chunks (default 1024). Sweeps over all cells read windows of this size, and
    /// training shuffles blocks of this size.
    fn block(&self) -> usize {
        1024
    }

    /// The counts of the given cells, in the given order.
    ///
    /// The default reads windows of [`block`](Self::block) cells that hold them and is right for
    /// files; a store with access by row may do better.
    ///
    /// # Errors
    /// As [`read_window`](Self::read_window).
    fn read_cells(&self, cells: &[usize]) -> Result<CountRows<'_>> {
        let mut rising = cells.to_vec();
        rising.sort_unstable();
        rising.dedup();
        let genes = self.gene_names().len();
        let windows: Vec<_> = windows(&rising, self.block()).collect();
        let parts = try_map(windows.len(), |window| {
            let (window, wanted) = &windows[window];
            let rows = self.read_window(window.clone())?;
            check_shape(&rows, window, genes)?;
            let mut part = RowParts::default();
            for &cell in *wanted {
                let (indices, values) = rows.row(cell - window.start);
                part.push(indices, values);
            }
            Ok(part)
        })?;
        let mut rows = RowParts::default();
        for part in &parts {
            rows.append(part);
        }
        let rows = rows.into_rows(genes);
        if rising == cells {
            return Ok(rows);
        }
        let position = |cell: &usize| rising.partition_point(|other| other < cell);
        Ok(rows.select(cells.iter().map(position)))
    }

    /// An error about values that were read, such as [`Error::FractionalCount`], with what the
    /// source knows about it: that a file has another matrix that holds counts, for example. The
    /// default adds nothing.
    fn explain(&self, error: Error) -> Error {
        error
    }
}

impl CountSource for CountMatrix {
    fn cell_names(&self) -> &[String] {
        self.cell_names()
    }

    fn gene_names(&self) -> &[String] {
        self.gene_names()
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        check_range(&cells, self.cells())?;
        Ok(self.window(cells))
    }

    /// All cells: a window is a view.
    fn block(&self) -> usize {
        self.cells().max(1)
    }

    fn explain(&self, error: Error) -> Error {
        self.origin().explain(error)
    }
}

/// Refuses cells that a source does not have.
///
/// # Errors
/// [`Error::InvalidSparse`].
pub(crate) fn check_range(window: &Range<usize>, cells: usize) -> Result<()> {
    if window.start <= window.end && window.end <= cells {
        return Ok(());
    }
    Err(Error::InvalidSparse {
        reason: format!(
            "cells {} to {} were asked for, but there are {cells} cells",
            window.start, window.end
        ),
    })
}

/// Cuts rising cells into windows of at most `block` consecutive cells, each with the cells that are
/// wanted of it.
fn windows(cells: &[usize], block: usize) -> impl Iterator<Item = (Range<usize>, &[usize])> {
    let mut rest = cells;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let end = rest.partition_point(|&cell| cell - first < block.max(1));
        let (wanted, following) = rest.split_at(end);
        rest = following;
        let last = wanted.last().map_or(first, |&last| last);
        Some((first..last + 1, wanted))
    })
}

/// Reads a window and checks that it has the shape asked for; errors name cells and genes.
fn read_checked(source: &dyn CountSource, window: Range<usize>) -> Result<CountRows<'_>> {
    let rows = source
        .read_window(window.clone())
        .map_err(|error| explained(source, error))?;
    check_shape(&rows, &window, source.gene_names().len())?;
    Ok(rows)
}

/// The error of a source with all that it knows.
pub(super) fn explained(source: &dyn CountSource, error: Error) -> Error {
    source.explain(error.with_names(source.cell_names(), source.gene_names()))
}

/// The counts of rising cells, checked as a window is.
///
/// # Errors
/// Those of the source.
pub(crate) fn read_cells<'a>(
    source: &'a dyn CountSource,
    cells: &[usize],
) -> Result<CountRows<'a>> {
    let rows = source
        .read_cells(cells)
        .map_err(|error| explained(source, error))?;
    check_shape(&rows, &(0..cells.len()), source.gene_names().len())?;
    Ok(rows)
}

fn check_shape(rows: &CountRows<'_>, window: &Range<usize>, genes: usize) -> Result<()> {
    if rows.cells() == window.len() && rows.genes() == genes {
        return Ok(());
    }
    Err(Error::CountSource {
        cause: format!(
            "cells {} to {} of {genes} genes were asked for, {} cells of {} genes were given",
            window.start,
            window.end,
            rows.cells(),
            rows.genes()
        )
        .into(),
    })
}

/// Calls `visit` with every one of the rising `cells` of a source and its row, in order, on the
/// calling thread.
///
/// # Errors
/// The first of the source.
pub(crate) fn visit_cells(
    source: &dyn CountSource,
    cells: &[usize],
    mut visit: impl FnMut(usize, &[u32], &[f32]),
) -> Result<()> {
    for (window, wanted) in windows(cells, source.block()) {
        let rows = read_checked(source, window.clone())?;
        visit_rows(&rows, window.start, wanted, &mut visit);
    }
    Ok(())
}

fn visit_rows(
    rows: &CountRows<'_>,
    first: usize,
    wanted: &[usize],
    visit: &mut impl FnMut(usize, &[u32], &[f32]),
) {
    for &cell in wanted {
        let (indices, values) = rows.row(cell - first);
        visit(cell, indices, values);
    }
}

/// Most windows that are read at the same time: beyond, memory grows and nothing is gained.
const MOST_AT_ONCE: usize = 8;

/// As [`visit_cells`], in the same order, while the thread pool reads the windows that follow.
///
/// # Errors
/// The first of the source, in the order of the cells.
pub(crate) fn visit_cells_ahead(
    source: &dyn CountSource,
    cells: &[usize],
    mut visit: impl FnMut(usize, &[u32], &[f32]) + Send,
) -> Result<()> {
    let windows: Vec<(Range<usize>, &[usize])> = windows(cells, source.block()).collect();
    let at_once = rayon::current_num_threads().clamp(1, MOST_AT_ONCE);
    if windows.len() < 2 || at_once == 1 {
        return visit_cells(source, cells, visit);
    }
    let read = |group: &[(Range<usize>, &[usize])]| {
        try_map(group.len(), |window| {
            read_checked(source, group[window].0.clone())
        })
    };
    let mut groups = windows.chunks(at_once);
    let mut current = groups.next().map(|group| (group, read(group)));
    while let Some((group, rows)) = current {
        let rows = rows?;
        let following = groups.next();
        let visit = &mut visit;
        let (next, ()) = rayon::join(
            || following.map(|group| (group, read(group))),
            || {
                for (rows, (window, wanted)) in rows.iter().zip(group) {
                    visit_rows(rows, window.start, wanted, visit);
                }
            },
        );
        current = next;
    }
    Ok(())
}

/// Rows that are put together one by one.
#[derive(Debug)]
pub(crate) struct RowParts {
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Default for RowParts {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl RowParts {
    /// Memory for so many rows with so many entries in all.
    pub fn with_capacity(rows: usize, stored: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            indices: Vec::with_capacity(stored),
            values: Vec::with_capacity(stored),
        }
    }

    /// Adds a row whose gene indices rise.
    pub fn push(&mut self, indices: &[u32], values: &[f32]) {
        self.indices.extend_from_slice(indices);
        self.values.extend_from_slice(values);
        self.offsets.push(self.indices.len());
    }

    /// Adds all rows of another list.
    fn append(&mut self, other: &Self) {
        let first = self.indices.len();
        self.indices.extend_from_slice(&other.indices);
        self.values.extend_from_slice(&other.values);
        let offsets = other.offsets.iter().skip(1);
        self.offsets.extend(offsets.map(|offset| first + offset));
    }

    /// The row at a position.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Adds rows with the genes that they have elsewhere.
    pub fn push_mapped(&mut self, rows: &CountRows<'_>, map: &GeneMap) {
        let mut mapped = Row::default();
        for row in 0..rows.cells() {
            let (indices, values) = rows.row(row);
            let (indices, values) = map.apply(indices, values, &mut mapped);
            self.push(indices, values);
        }
    }

    /// The rows, of so many genes.
    pub(crate) fn into_rows(self, genes: usize) -> CountRows<'static> {
        CountRows::new(genes, self.offsets, self.indices, self.values)
    }

    /// The rows as a matrix of so many genes.
    pub(super) fn into_matrix(self, genes: usize) -> Result<CountMatrix> {
        let cells = self.offsets.len() - 1;
        CountMatrix::from_csr(cells, genes, self.offsets, self.indices, self.values)
    }
}

#[cfg(test)]
mod tests;
