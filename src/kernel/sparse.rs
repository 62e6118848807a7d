//! Input rows that differ from a few rows in few places.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::parallel::write_rows;

/// Clean network input `[cells, genes]` of cells most of whose counts are zero.
///
/// Scaling maps every zero count of a gene to one and the same value, so a cell's input is a row of
/// such values, its *base*, and a difference at every count that is not zero:
///
/// ```text
/// x = base + d,   x·W = base·W + Σ d_g · W_g over the cell's non-zero counts g
/// ```
///
/// There is one base for every batch of cells that is scaled by itself. A first layer needs a
/// tenth of the multiplications of a dense one when a tenth of the counts is not zero. Clones share
/// their memory.
#[derive(Debug, Clone)]
pub struct SparseInput {
    rows: Arc<Rows>,
}

#[derive(Debug)]
struct Rows {
    /// The differences of every row, genes rising.
    differences: EntryLists,
    /// Which base each row has `[cells]`.
    base_of_row: Vec<usize>,
    /// The bases, one after the other `[bases, genes]`.
    bases: Vec<f32>,
    genes: usize,
    /// The differences of every gene, once somebody has asked for them.
    #[cfg(feature = "flex")]
    differences_by_gene: std::sync::OnceLock<EntryLists>,
}

/// A number and where it stands in its row or column.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Entry {
    pub index: u32,
    pub value: f32,
}

impl SparseInput {
    /// Input of one row for every element of `base_of_row`, of which row i has `lengths[i]`
    /// differences, written in parallel by `fill(i, entries)`, genes rising. `bases` are rows of
    /// `genes` values.
    pub(crate) fn new(
        genes: usize,
        bases: Vec<f32>,
        base_of_row: Vec<usize>,
        lengths: impl Iterator<Item = usize>,
        fill: impl Fn(usize, &mut [Entry]) + Sync,
    ) -> Self {
        let differences = EntryLists::new(lengths, fill);
        assert_eq!(differences.count(), base_of_row.len());
        let known = |&base: &usize| (base + 1) * genes <= bases.len();
        assert!(base_of_row.iter().all(known));
        Self {
            rows: Arc::new(Rows {
                differences,
                base_of_row,
                bases,
                genes,
                #[cfg(feature = "flex")]
                differences_by_gene: std::sync::OnceLock::new(),
            }),
        }
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.rows.base_of_row.len()
    }

    /// Number of genes.
    pub fn genes(&self) -> usize {
        self.rows.genes
    }

    /// The same input as a dense tensor `[cells, genes]`, within rounding.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2> {
        let mut values = Vec::with_capacity(self.cells() * self.genes());
        for row in 0..self.cells() {
            let start = values.len();
            values.extend_from_slice(self.base(self.rows.base_of_row[row]));
            for entry in self.rows.differences.list(row) {
                values[start + entry.index as usize] += entry.value;
            }
        }
        let data = TensorData::new(values, [self.cells(), self.genes()]);
        Tensor::from_data(data, device)
    }

    /// Sorts the differences by gene, as the gradient of a first layer needs them, where the backend
    /// reads sparse input. Without it the gradient does so itself.
    pub(crate) fn prepare_gradient(&self) {
        #[cfg(feature = "flex")]
        self.differences_by_gene();
    }

    /// What a row with this base has where it has no difference `[genes]`.
    pub(crate) fn base(&self, base: usize) -> &[f32] {
        &self.rows.bases[base * self.genes()..][..self.genes()]
    }
}

#[cfg(feature = "flex")]
impl SparseInput {
    /// Number of bases.
    pub(crate) fn count_bases(&self) -> usize {
        self.rows.bases.len() / self.genes().max(1)
    }

    /// Which base each row has `[cells]`.
    pub(crate) fn base_of_row(&self) -> &[usize] {
        &self.rows.base_of_row
    }

    /// The differences of every row.
    pub(crate) fn differences(&self) -> &EntryLists {
        &self.rows.differences
    }

    /// The differences of every gene, rows rising. Made at the first call.
    pub(crate) fn differences_by_gene(&self) -> &EntryLists {
        self.rows
            .differences_by_gene
            .get_or_init(|| self.rows.differences.transposed(self.rows.genes))
    }
}

/// Entries of the rows, or of the columns, of a sparse matrix.
#[derive(Debug)]
pub(crate) struct EntryLists {
    /// Where each list begins, and the end of the last one.
    offsets: Vec<usize>,
    entries: Vec<Entry>,
}

impl EntryLists {
    /// Lists of the given lengths, written in parallel by `fill(list, entries)`.
    fn new(
        lengths: impl Iterator<Item = usize>,
        fill: impl Fn(usize, &mut [Entry]) + Sync,
    ) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        offsets.extend(lengths.map(|length| {
            end += length;
            end
        }));
        let mut entries = vec![Entry::default(); end];
        let mut rest = entries.as_mut_slice();
        let mut lists = Vec::with_capacity(offsets.len() - 1);
        for ends in offsets.windows(2) {
            let (list, after) = rest.split_at_mut(ends[1] - ends[0]);
            lists.push(list);
            rest = after;
        }
        write_rows(&mut lists, 1, |list, entries| fill(list, entries[0]));
        Self { offsets, entries }
    }

    /// Number of lists.
    fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// One list, indices rising.
    pub fn list(&self, list: usize) -> &[Entry] {
        &self.entries[self.offsets[list]..self.offsets[list + 1]]
    }
}

#[cfg(feature = "flex")]
impl EntryLists {
    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The columns of a matrix of `columns` columns whose rows these lists are.
    fn transposed(&self, columns: usize) -> Self {
        let mut offsets = vec![0; columns + 1];
        for entry in &self.entries {
            offsets[entry.index as usize + 1] += 1;
        }
        for column in 0..columns {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut entries = vec![Entry::default(); self.entries.len()];
        for row in 0..self.count() {
            for entry in self.list(row) {
                let place = &mut next[entry.index as usize];
                entries[*place] = Entry {
                    index: row as u32,
                    value: entry.value,
                };
                *place += 1;
            }
        }
        Self { offsets, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SparseInput {
        let lists: [&[(u32, f32)]; 3] = [&[(1, 2.0), (3, -1.0)], &[], &[(0, 1.0), (3, 5.0)]];
        SparseInput::new(
            4,
            vec![0.0, 1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 40.0],
            vec![0, 1, 1],
            lists.iter().map(|list| list.len()),
            |row, entries| {
                for (entry, &(index, value)) in entries.iter_mut().zip(lists[row]) {
                    *entry = Entry { index, value };
                }
            },
        )
    }

    #[test]
    fn a_row_is_its_base_and_its_differences() {
        let dense = example().to_tensor(&Device::default());
        let expected = [
            [0.0, 3.0, 2.0, 2.0],
            [10.0, 20.0, 30.0, 40.0],
            [11.0, 20.0, 30.0, 45.0],
        ];
        let found = dense.into_data_as::<f32>().try_to_vec::<f32>();
        assert_eq!(found.expect("floats"), expected.concat());
    }

    #[cfg(feature = "flex")]
    #[test]
    fn columns_of_the_differences() {
        let input = example();
        let columns = input.differences_by_gene();
        let column = |gene| -> Vec<(u32, f32)> {
            let entries = columns.list(gene).iter();
            entries.map(|entry| (entry.index, entry.value)).collect()
        };
        assert_eq!(column(0), [(2, 1.0)]);
        assert_eq!(column(1), [(0, 2.0)]);
        assert_eq!(column(2), []);
        assert_eq!(column(3), [(0, -1.0), (2, 5.0)]);
    }
}
