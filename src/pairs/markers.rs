//! Cell types as marker genes tell them, and the pairs that follow.

use crate::error::{ParameterError, Result};
use crate::preprocess::Cells;

use super::links::ConstraintPairs;

/// A cell is taken for a type whose markers are this many standard deviations above their means.
const CLEARLY: f64 = 1.0;
/// Most genes that a message names.
const NAMED: usize = 5;

/// The type of every cell that marker genes tell clearly: its position in `types`, each a name with the
/// genes that mark it.
///
/// A type's score is the mean over its markers of ln(1 + count / size factor), each gene centred and
/// scaled over all cells. A cell is of a type whose score is at least 1 while those of all other types
/// are at most 0; the others, doublets and cells of types that are not named, have none.
///
/// ```
/// use celldec::pairs::{ConstraintPairs, marker_types};
/// use celldec::prelude::*;
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
/// let counts = celldec::io::read_10x_mtx(folder)?;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let types = [("B", ["CD79A", "CD79B"]), ("monocyte", ["LYZ", "FCN1"])];
/// let found = marker_types(&cells, &types)?;
/// assert!(found.iter().any(|label| *label == Some(0)));
///
/// // 500 pairs of a B cell and a monocyte each, which are to lie in different clusters.
/// let pairs = ConstraintPairs::from_markers(&cells, &types, 500, 1)?;
/// assert_eq!(pairs.cannot_link().len(), 500);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`ParameterError::Conflict`] for a type without markers, and naming the genes that preprocessing did
/// not keep; those of the source, when counts are read from one.
pub fn marker_types<G: AsRef<[S]>, S: AsRef<str>>(
    cells: &Cells,
    types: &[(&str, G)],
) -> Result<Vec<Option<usize>>> {
    let markers = positions(cells, types)?;
    let expression = Expression::of(cells, markers.iter().flatten())?;
    let mut scores = vec![0.0; cells.cells() * types.len()];
    for (number, genes) in markers.iter().enumerate() {
        for &gene in genes {
            expression.standardised(gene, |cell, value| {
                scores[cell * types.len() + number] += value / genes.len() as f64;
            });
        }
    }
    let labels = scores.chunks(types.len().max(1)).map(|scores| {
        let clear = scores.iter().position(|&score| score >= CLEARLY)?;
        let mut others = scores.iter().enumerate();
        others
            .all(|(number, &score)| number == clear || score <= 0.0)
            .then_some(clear)
    });
    Ok(match types.len() {
        0 => vec![None; cells.cells()],
        _ => labels.collect(),
    })
}

/// ln(1 + count / size factor) of some genes in all cells.
struct Expression {
    cells: usize,
    /// `[genes]`, of each wanted one the cells that have some of it, in order: markers are absent from
    /// most cells.
    genes: Vec<Option<Vec<(usize, f64)>>>,
}

impl Expression {
    /// Counts may be on disk, so one pass over them serves all genes.
    ///
    /// # Errors
    /// Those of the source.
    fn of<'a>(cells: &Cells, wanted: impl Iterator<Item = &'a usize>) -> Result<Self> {
        let mut genes = vec![None; cells.genes()];
        for &gene in wanted {
            genes[gene] = Some(Vec::new());
        }
        let sizes = cells.size_factors();
        cells.visit(|cell, stored, counts| {
            for (&gene, &count) in stored.iter().zip(counts) {
                if let Some(values) = &mut genes[gene as usize] {
                    let scaled = f64::from(count) / f64::from(sizes[cell]);
                    values.push((cell, scaled.ln_1p()));
                }
            }
        })?;
        Ok(Self {
            cells: cells.cells(),
            genes,
        })
    }

    /// Calls `visit` with every cell and its value of a gene, centred and scaled over all cells; with
    /// none where the gene is the same in all cells, which marks no type.
    fn standardised(&self, gene: usize, mut visit: impl FnMut(usize, f64)) {
        let mut values = vec![0.0; self.cells];
        for &(cell, value) in self.genes[gene].iter().flatten() {
            values[cell] = value;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / values.len() as f64).sqrt();
        if deviation > 0.0 {
            for (cell, value) in values.iter().enumerate() {
                visit(cell, (value - mean) / deviation);
            }
        }
    }
}

/// The positions of every type's markers among the genes of the cells, each once.
fn positions<G: AsRef<[S]>, S: AsRef<str>>(
    cells: &Cells,
    types: &[(&str, G)],
) -> Result<Vec<Vec<usize>>, ParameterError> {
    let names = cells.gene_names();
    let mut missing = Vec::new();
    let mut found = Vec::with_capacity(types.len());
    for (name, genes) in types {
        let genes = genes.as_ref();
        if genes.is_empty() {
            return Err(ParameterError::Conflict {
                reason: format!("the cell type \"{name}\" has no marker genes"),
            });
        }
        let mut positions = Vec::with_capacity(genes.len());
        for gene in genes {
            match names.iter().position(|name| name == gene.as_ref()) {
                Some(position) if positions.contains(&position) => {}
                Some(position) => positions.push(position),
                None => missing.push(format!("\"{}\" of \"{name}\"", gene.as_ref())),
            }
        }
        found.push(positions);
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let more = missing.len().saturating_sub(NAMED);
    missing.truncate(NAMED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(ParameterError::Conflict {
        reason: format!(
            "{} genes were kept by preprocessing, and these markers are not among them: {}{more}; check \
             how genes are named, select more variable genes, or leave the markers out",
            names.len(),
            missing.join(", ")
        ),
    })
}

impl ConstraintPairs {
    /// Draws `count` different cannot-link pairs of cells that [marker genes](marker_types) take for
    /// different types.
    ///
    /// There are no must-link pairs: cells of one named type may well lie in several clusters, as
    /// naive and memory T cells do, and to link all of them would force these together.
    ///
    /// # Errors
    /// As [`marker_types`] and [`cannot_link_from_labels`](Self::cannot_link_from_labels).
    pub fn from_markers<G: AsRef<[S]>, S: AsRef<str>>(
        cells: &Cells,
        types: &[(&str, G)],
        count: usize,
        seed: u64,
    ) -> Result<Self> {
        Self::cannot_link_from_labels(&marker_types(cells, types)?, count, seed)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ndarray::Array2;

    use super::*;
    use crate::counts::{CountMatrix, CountRows, CountSource};
    use crate::preprocess::Preprocess;

    /// 30 cells: ten of each of two types, five doublets, five of neither.
    fn counts() -> CountMatrix {
        let counts = Array2::from_shape_fn((30, 4), |(cell, gene)| match (cell, gene) {
            (0..10, 0) | (10..20, 1) | (20..25, 0 | 1) => 8.0,
            (_, 3) => 20.0,
            (_, 2) => 1.0 + (cell % 3) as f32,
            _ => 0.0,
        });
        let names = ["a", "b", "c", "d"].map(String::from).to_vec();
        let barcodes = (0..30).map(|cell| format!("cell{cell}")).collect();
        CountMatrix::from_dense(counts.view())
            .unwrap()
            .with_names(barcodes, names)
            .unwrap()
    }

    fn preprocess() -> Preprocess {
        Preprocess::scdcc().with_variable_genes(None)
    }

    fn cells() -> Cells {
        preprocess().fit(&counts()).unwrap()
    }

    /// Counts in windows of eight cells, with the number of cells that were read of them.
    #[derive(Debug)]
    struct Counted {
        counts: CountMatrix,
        cells_read: AtomicUsize,
    }

    impl CountSource for Counted {
        fn cell_names(&self) -> &[String] {
            self.counts.cell_names()
        }

        fn gene_names(&self) -> &[String] {
            self.counts.gene_names()
        }

        fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
            self.cells_read.fetch_add(cells.len(), Ordering::Relaxed);
            self.counts.read_window(cells)
        }

        fn block(&self) -> usize {
            8
        }
    }

    #[test]
    fn counts_are_read_once_for_all_types() {
        let types = [("A", ["a"]), ("B", ["b"]), ("C", ["c"]), ("A again", ["a"])];
        let source = Arc::new(Counted {
            counts: counts(),
            cells_read: AtomicUsize::new(0),
        });
        let on_disk = preprocess().fit_source(source.clone()).unwrap();
        source.cells_read.store(0, Ordering::Relaxed);
        let found = marker_types(&on_disk, &types).unwrap();
        assert_eq!(source.cells_read.load(Ordering::Relaxed), 30);
        assert_eq!(found, marker_types(&cells(), &types).unwrap());
    }

    #[test]
    fn a_marker_given_twice_counts_once() {
        let once = marker_types(&cells(), &[("A", ["a"]), ("B", ["b"])]).unwrap();
        let twice = marker_types(&cells(), &[("A", vec!["a", "a"]), ("B", vec!["b"])]).unwrap();
        assert!(once.contains(&Some(0)));
        assert_eq!(twice, once);
    }

    #[test]
    fn clear_cells_have_a_type_and_doublets_none() {
        let found = marker_types(&cells(), &[("A", ["a"]), ("B", ["b"])]).unwrap();
        for (cell, label) in found.iter().enumerate() {
            let expected = match cell {
                0..10 => Some(0),
                10..20 => Some(1),
                _ => None,
            };
            assert_eq!(*label, expected, "cell {cell}");
        }
        let none: [(&str, [&str; 1]); 0] = [];
        assert_eq!(marker_types(&cells(), &none).unwrap(), [None; 30]);
    }

    #[test]
    fn pairs_part_the_types_only() {
        let pairs =
            ConstraintPairs::from_markers(&cells(), &[("A", ["a"]), ("B", ["b"])], 100, 3).unwrap();
        assert!(pairs.must_link().is_empty());
        assert_eq!(pairs.cannot_link().len(), 100);
        for &(first, second) in pairs.cannot_link() {
            assert!(first < 10 && (10..20).contains(&second));
        }
        let refused =
            ConstraintPairs::from_markers(&cells(), &[("A", ["a"]), ("B", ["b"])], 101, 3);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("only 100"), "{message}");
    }

    #[test]
    fn markers_that_are_not_there_are_named() {
        let error = marker_types(&cells(), &[("A", ["a", "CD79A"])]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("\"CD79A\" of \"A\""), "{message}");
        let many = ["p", "q", "r", "s", "t", "u", "v"];
        let message = marker_types(&cells(), &[("A", many)])
            .unwrap_err()
            .to_string();
        assert!(message.contains("and 2 more"), "{message}");
        let none: &[&str] = &[];
        let message = marker_types(&cells(), &[("A", none)])
            .unwrap_err()
            .to_string();
        assert!(message.contains("no marker genes"), "{message}");
    }
}
