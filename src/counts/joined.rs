//! Several sources as one: samples of an experiment that are to be clustered together.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::source::{CountSource, RowParts, check_range, explained};
use super::{CountMatrix, CountRows, GeneMap};
use crate::error::{Error, ParameterError, Place, Result};

/// Which genes several samples have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GeneJoin {
    /// Those that all samples have, in the order of the first (in AnnData `join="inner"`).
    #[default]
    Shared,
    /// Those of any sample; a sample has no counts of genes that it does not know (`join="outer"`).
    All,
}

/// Samples as one [`CountSource`]: what AnnData's `concat` makes, without copying any counts.
///
/// Genes are aligned by name. Cells come sample by sample and are named `barcode-sample`. The
/// [sample of every cell](Self::sample_of_cells) serves as the batches of
/// [`Preprocess::fit_source_with_batches`](crate::preprocess::Preprocess::fit_source_with_batches)
/// or as a covariate.
///
/// ```
/// use std::sync::Arc;
///
/// use celldec::counts::{CountSource, GeneJoin, JoinedSource, SimulationConfig};
/// use celldec::preprocess::Preprocess;
///
/// let sample = |seed| -> celldec::Result<Arc<dyn CountSource>> {
///     Ok(Arc::new(SimulationConfig::new(50, 30).with_seed(seed).simulate()?.counts))
/// };
/// let joined = JoinedSource::new([("control", sample(1)?), ("treated", sample(2)?)], GeneJoin::Shared)?;
/// assert_eq!(joined.cell_names()[50], "cell1-treated");
///
/// let samples = joined.sample_of_cells();
/// let cells = Preprocess::scdcc().fit_source_with_batches(Arc::new(joined), &samples)?;
/// assert_eq!((cells.cells(), cells.batch_names().len()), (100, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug)]
pub struct JoinedSource {
    samples: Vec<Sample>,
    cells: Vec<String>,
    genes: Vec<String>,
    block: usize,
}

#[derive(Debug)]
struct Sample {
    name: String,
    source: Arc<dyn CountSource>,
    /// The places of its cells among all.
    cells: Range<usize>,
    /// Where its genes are among all.
    genes: GeneMap,
}

impl JoinedSource {
    /// Samples with their names.
    ///
    /// # Errors
    /// [`ParameterError::Conflict`] without samples, for two of the same name, for a sample that names a
    /// gene twice, and when no gene is left.
    pub fn new<N: Into<String>>(
        samples: impl IntoIterator<Item = (N, Arc<dyn CountSource>)>,
        join: GeneJoin,
    ) -> Result<Self> {
        let samples: Vec<(String, Arc<dyn CountSource>)> = samples
            .into_iter()
            .map(|(name, source)| (name.into(), source))
            .collect();
        let mut names = BTreeSet::new();
        if let Some((name, _)) = samples.iter().find(|(name, _)| !names.insert(name)) {
            return Err(conflict(format!("two samples are named \"{name}\"")));
        }
        for (name, source) in &samples {
            let mut seen = BTreeSet::new();
            let mut genes = source.gene_names().iter();
            if let Some(gene) = genes.find(|gene| !seen.insert(*gene)) {
                return Err(conflict(format!(
                    "the sample \"{name}\" has two genes named \"{gene}\", so that genes cannot be \
                     aligned by name; rename one of them"
                )));
            }
        }
        let genes = joined_genes(&samples, join)?;
        let mut joined = Vec::with_capacity(samples.len());
        let mut cells = Vec::new();
        let mut block = 0;
        for (name, source) in samples {
            let first = cells.len();
            let barcodes = source.cell_names().iter();
            cells.extend(barcodes.map(|barcode| format!("{barcode}-{name}")));
            block = block.max(source.block().min(source.cell_names().len()));
            let of_sample = source.gene_names();
            let places: HashMap<&String, usize> = of_sample.iter().zip(0..).collect();
            let positions: Vec<Option<usize>> =
                genes.iter().map(|gene| places.get(gene).copied()).collect();
            joined.push(Sample {
                genes: GeneMap::new(&positions, of_sample.len())?,
                cells: first..cells.len(),
                name,
                source,
            });
        }
        Ok(Self {
            samples: joined,
            cells,
            genes,
            block: block.max(1),
        })
    }

    /// Names of the samples.
    pub fn sample_names(&self) -> Vec<&str> {
        self.samples
            .iter()
            .map(|sample| sample.name.as_str())
            .collect()
    }

    /// The name of the sample of every cell `[cells]`.
    pub fn sample_of_cells(&self) -> Vec<String> {
        let of_sample = |sample: &Sample| vec![sample.name.clone(); sample.cells.len()];
        self.samples.iter().flat_map(of_sample).collect()
    }

    /// All counts in memory.
    ///
    /// # Errors
    /// Those of the sources.
    pub fn read(&self) -> Result<CountMatrix> {
        let mut rows = RowParts::default();
        for sample in &self.samples {
            let count = sample.cells.len();
            let block = sample.source.block().max(1);
            for start in (0..count).step_by(block) {
                sample.append(start..count.min(start + block), &mut rows)?;
            }
        }
        rows.into_matrix(self.genes.len())?
            .with_names(self.cells.clone(), self.genes.clone())
    }
}

fn conflict(reason: String) -> Error {
    ParameterError::Conflict { reason }.into()
}

fn joined_genes(samples: &[(String, Arc<dyn CountSource>)], join: GeneJoin) -> Result<Vec<String>> {
    let Some(((_, first), others)) = samples.split_first() else {
        return Err(conflict("there are no samples to join".to_string()));
    };
    let mut genes = first.gene_names().to_vec();
    match join {
        GeneJoin::Shared => {
            for (name, source) in others {
                let there: BTreeSet<&String> = source.gene_names().iter().collect();
                let before = genes.first().cloned();
                genes.retain(|gene| there.contains(gene));
                if let (true, Some(before)) = (genes.is_empty(), before) {
                    let example = source.gene_names().first();
                    return Err(conflict(format!(
                        "the sample \"{name}\" shares no gene with those before it, which have genes such \
                         as \"{before}\" where it has {}; name genes alike, all by symbols or all by \
                         identifiers",
                        example.map_or("none".to_string(), |gene| format!("\"{gene}\""))
                    )));
                }
            }
        }
        GeneJoin::All => {
            let mut there: BTreeSet<String> = genes.iter().cloned().collect();
            for (_, source) in others {
                for gene in source.gene_names() {
                    if there.insert(gene.clone()) {
                        genes.push(gene.clone());
                    }
                }
            }
        }
    }
    Ok(genes)
}

impl Sample {
    /// Adds consecutive cells of the sample.
    fn append(&self, cells: Range<usize>, rows: &mut RowParts) -> Result<()> {
        let read = self
            .source
            .read_window(cells.clone())
            .map_err(|error| self.in_joined(explained(self.source.as_ref(), error)))?;
        rows.push_mapped(&read, &self.genes);
        Ok(())
    }

    /// The error with places among the joined cells and genes; of a gene that is not among them, as the
    /// sample tells it.
    fn in_joined(&self, error: Error) -> Error {
        match self.genes.place(error) {
            Ok(error) => error.map_places(
                |cell| Place::new(self.cells.start + cell.index, cell.name),
                |gene| gene,
            ),
            Err(error) => Error::CountSource {
                cause: error.to_string().into(),
            },
        }
    }
}

impl CountSource for JoinedSource {
    fn cell_names(&self) -> &[String] {
        &self.cells
    }

    fn gene_names(&self) -> &[String] {
        &self.genes
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        check_range(&cells, self.cells.len())?;
        let mut rows = RowParts::default();
        for sample in &self.samples {
            let start = cells.start.max(sample.cells.start);
            let end = cells.end.min(sample.cells.end);
            if start < end {
                let first = sample.cells.start;
                sample.append(start - first..end - first, &mut rows)?;
            }
        }
        Ok(rows.into_rows(self.genes.len()))
    }

    /// The largest of the samples' blocks.
    fn block(&self) -> usize {
        self.block
    }

    /// As the sample of the cell explains it.
    fn explain(&self, error: Error) -> Error {
        let cell = match &error {
            Error::FractionalCount { cell, .. } => cell.index,
            _ => return error,
        };
        let sample = self
            .samples
            .iter()
            .find(|sample| sample.cells.contains(&cell));
        match sample {
            Some(sample) => sample.source.explain(error),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::super::visit_cells;
    use super::*;

    fn matrix(counts: Array2<f32>, cells: &[&str], genes: &[&str]) -> Arc<dyn CountSource> {
        let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let counts = CountMatrix::from_dense(counts.view()).unwrap();
        Arc::new(counts.with_names(texts(cells), texts(genes)).unwrap())
    }

    /// Counts of which one, on disk, is negative.
    #[derive(Debug)]
    struct Negative {
        names: Vec<String>,
        genes: Vec<String>,
        gene: usize,
    }

    impl CountSource for Negative {
        fn cell_names(&self) -> &[String] {
            &self.names
        }

        fn gene_names(&self) -> &[String] {
            &self.genes
        }

        fn read_window(&self, _: Range<usize>) -> Result<CountRows<'_>> {
            Err(Error::NegativeCount {
                cell: Place::new(1, ""),
                gene: Place::new(self.gene, ""),
                value: -1.0,
            })
        }
    }

    #[test]
    fn what_is_wrong_in_a_sample_is_named_by_its_own_cell_and_gene() {
        let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        for (gene, expected) in [(2, ["w-two", "B"]), (0, ["w", "only here"])] {
            let [first, _] = samples();
            let second: Arc<dyn CountSource> = Arc::new(Negative {
                names: texts(&["v", "w"]),
                genes: texts(&["only here", "C", "B"]),
                gene,
            });
            let joined = JoinedSource::new([first, ("two", second)], GeneJoin::Shared).unwrap();
            let error = visit_cells(&joined, &[0, 1, 2, 3], |_, _, _| {}).unwrap_err();
            let message = error.to_string();
            for name in expected {
                assert!(message.contains(&format!("(\"{name}\")")), "{message}");
            }
        }
    }

    fn samples() -> [(&'static str, Arc<dyn CountSource>); 2] {
        let first = array![[1.0, 2.0, 0.0], [0.0, 3.0, 4.0]];
        let second = array![[5.0, 6.0], [7.0, 0.0], [0.0, 8.0]];
        [
            ("one", matrix(first, &["x", "y"], &["A", "B", "C"])),
            ("two", matrix(second, &["x", "y", "z"], &["C", "B"])),
        ]
    }

    fn dense(source: &JoinedSource, cells: Range<usize>) -> Array2<f32> {
        let rows = source.read_window(cells).unwrap();
        let mut dense = Array2::zeros((rows.cells(), rows.genes()));
        for row in 0..rows.cells() {
            let (genes, counts) = rows.row(row);
            for (&gene, &count) in genes.iter().zip(counts) {
                dense[[row, gene as usize]] = count;
            }
        }
        dense
    }

    #[test]
    fn genes_are_aligned_by_name() {
        let shared = JoinedSource::new(samples(), GeneJoin::Shared).unwrap();
        assert_eq!(shared.gene_names(), ["B", "C"]);
        assert_eq!(
            shared.cell_names(),
            ["x-one", "y-one", "x-two", "y-two", "z-two"]
        );
        assert_eq!(
            shared.sample_of_cells(),
            ["one", "one", "two", "two", "two"]
        );
        assert_eq!(shared.sample_names(), ["one", "two"]);
        let expected = array![[2.0, 0.0], [3.0, 4.0], [6.0, 5.0], [0.0, 7.0], [8.0, 0.0]];
        assert_eq!(dense(&shared, 0..5), expected);
        assert_eq!(dense(&shared, 1..4), expected.slice(ndarray::s![1..4, ..]));
        assert_eq!(dense(&shared, 2..2).nrows(), 0);

        let all = JoinedSource::new(samples(), GeneJoin::All).unwrap();
        assert_eq!(all.gene_names(), ["A", "B", "C"]);
        let expected = array![
            [1.0, 2.0, 0.0],
            [0.0, 3.0, 4.0],
            [0.0, 6.0, 5.0],
            [0.0, 0.0, 7.0],
            [0.0, 8.0, 0.0]
        ];
        assert_eq!(dense(&all, 0..5), expected);
        let read = all.read().unwrap();
        assert_eq!(read.cell_names(), all.cell_names());
        assert_eq!(read.row(2), (&[1u32, 2][..], &[6.0f32, 5.0][..]));
    }

    #[test]
    fn what_cannot_be_joined_is_refused_with_the_reason() {
        let message = |samples: Vec<(&str, Arc<dyn CountSource>)>| {
            let refused = JoinedSource::new(samples, GeneJoin::Shared);
            refused.unwrap_err().to_string()
        };
        assert!(message(Vec::new()).contains("no samples"));
        let [(_, one), (_, two)] = samples();
        let twice = message(vec![("s", Arc::clone(&one)), ("s", two)]);
        assert!(twice.contains("two samples are named \"s\""), "{twice}");
        let ids = matrix(array![[1.0]], &["x"], &["ENSG1"]);
        let apart = message(vec![("one", Arc::clone(&one)), ("ids", ids)]);
        assert!(apart.contains("\"ids\" shares no gene"), "{apart}");
        assert!(apart.contains("ENSG1"), "{apart}");
        let same = matrix(array![[1.0, 2.0]], &["x"], &["A", "A"]);
        let same = message(vec![("same", same)]);
        assert!(same.contains("two genes named \"A\""), "{same}");
        let joined = JoinedSource::new([("one", one)], GeneJoin::Shared).unwrap();
        assert!(joined.read_window(1..3).is_err());
    }
}
