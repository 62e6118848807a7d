//! The order in which cells are visited.

use rand::seq::SliceRandom;

use super::loading::SWEEP_CELLS;
use super::split;
use crate::preprocess::{Cells, Reading};
use crate::random::{Purpose, stream};

/// The order in which an epoch visits `count` rows in memory: shuffled, or as they are.
///
/// [`Cells`] that are read from a source have [another](Cells#out-of-core).
pub fn epoch_order(count: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    shuffled((0..count).collect(), shuffle, seed, epoch, 0)
}

fn shuffled(
    mut rows: Vec<usize>,
    shuffle: bool,
    seed: u64,
    epoch: u64,
    group: usize,
) -> Vec<usize> {
    if shuffle {
        rows.shuffle(&mut stream(seed, Purpose::Shuffle, epoch, group as u64));
    }
    rows
}

/// What an epoch visits: groups of rows that are in memory at the same time, each cut into batches.
#[derive(Debug)]
pub(crate) struct EpochPlan {
    groups: Vec<Vec<usize>>,
    batch_size: usize,
    reads_cells: bool,
}

impl EpochPlan {
    /// All cells: one group when they are in memory, buffers of shuffled blocks when they are read
    /// from a source.
    pub fn of_cells(
        cells: &Cells,
        shuffle: bool,
        batch_size: usize,
        seed: u64,
        epoch: u64,
    ) -> Self {
        Self {
            groups: match cells.reading() {
                None => vec![epoch_order(cells.cells(), shuffle, seed, epoch)],
                Some(reading) => buffers(cells.cells(), reading, shuffle, seed, epoch),
            },
            batch_size,
            reads_cells: true,
        }
    }

    /// Rows of anything that is in memory, or of which batches are read as they come.
    pub fn of_rows(count: usize, shuffle: bool, batch_size: usize, seed: u64, epoch: u64) -> Self {
        Self {
            groups: vec![epoch_order(count, shuffle, seed, epoch)],
            batch_size,
            reads_cells: false,
        }
    }

    /// Some rows as they are: groups of cells that are in memory at the same time, or one of anything
    /// that is.
    pub fn of_some(rows: &[usize], batch_size: usize, reads_cells: bool) -> Self {
        let together = if reads_cells { SWEEP_CELLS } else { rows.len() };
        Self {
            groups: rows
                .chunks(together.max(1))
                .map(<[usize]>::to_vec)
                .collect(),
            batch_size,
            reads_cells,
        }
    }

    /// The same order without the rows that are kept apart.
    pub fn without(mut self, apart: &[bool]) -> Self {
        for group in &mut self.groups {
            group.retain(|&row| !apart[row]);
        }
        self.groups.retain(|group| !group.is_empty());
        self
    }

    /// The rows of every group, in the order in which they are visited.
    pub fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// Whether rows are cells whose counts are read.
    pub fn reads_cells(&self) -> bool {
        self.reads_cells
    }

    /// The batches of a group.
    pub fn batches(&self, group: usize) -> Vec<&[usize]> {
        split(&self.groups[group], self.batch_size)
    }
}

/// Buffers of whole blocks, all of about the same size. A single buffer has the order of cells in
/// memory.
fn buffers(
    cells: usize,
    reading: Reading,
    shuffle: bool,
    seed: u64,
    epoch: u64,
) -> Vec<Vec<usize>> {
    let number_of_blocks = cells.div_ceil(reading.block);
    let mut blocks: Vec<usize> = (0..number_of_blocks).collect();
    if shuffle {
        blocks.shuffle(&mut stream(seed, Purpose::BlockOrder, epoch, 0));
    }
    let number = number_of_blocks.div_ceil(reading.blocks).max(1);
    blocks
        .chunks(number_of_blocks.div_ceil(number).max(1))
        .enumerate()
        .map(|(group, blocks)| {
            let mut blocks = blocks.to_vec();
            blocks.sort_unstable();
            let range =
                |block: usize| block * reading.block..((block + 1) * reading.block).min(cells);
            let rows = blocks.into_iter().flat_map(range).collect();
            shuffled(rows, shuffle, seed, epoch, group)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buffers_hold_every_cell_once_in_whole_blocks(
            cells in 1usize..400,
            block in 1usize..50,
            blocks in 1usize..6,
            shuffle: bool,
            seed: u64,
        ) {
            let reading = Reading { block, blocks };
            let groups = buffers(cells, reading, shuffle, seed, 4);
            let mut all = groups.concat();
            if !shuffle {
                prop_assert!(all.is_sorted());
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..cells).collect::<Vec<_>>());
            for group in &groups {
                let mut of_group: Vec<usize> = group.iter().map(|cell| cell / block).collect();
                of_group.sort_unstable();
                of_group.dedup();
                prop_assert!(of_group.len() <= blocks);
            }
            prop_assert_eq!(&groups, &buffers(cells, reading, shuffle, seed, 4));
        }

        #[test]
        fn one_buffer_has_the_order_of_memory(cells in 1usize..300, block in 1usize..50, seed: u64) {
            let reading = Reading { block, blocks: cells.div_ceil(block) };
            let groups = buffers(cells, reading, true, seed, 2);
            prop_assert_eq!(groups, vec![epoch_order(cells, true, seed, 2)]);
        }
    }

    #[test]
    fn some_rows_and_all_others() {
        let rows: Vec<usize> = (0..SWEEP_CELLS + 5).map(|row| 2 * row).collect();
        let groups = EpochPlan::of_some(&rows, 7, true).groups;
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [SWEEP_CELLS, 5]);
        assert_eq!(groups.concat(), rows);
        assert_eq!(EpochPlan::of_some(&rows, 7, false).groups, [rows]);

        let plan = EpochPlan {
            groups: vec![vec![3, 0], vec![1], vec![4, 2]],
            batch_size: 2,
            reads_cells: true,
        };
        let plan = plan.without(&[false, true, true, false, false]);
        assert_eq!(plan.groups, [vec![3, 0], vec![4]]);
    }

    #[test]
    fn blocks_and_cells_are_shuffled_anew_in_every_epoch() {
        let reading = Reading {
            block: 10,
            blocks: 4,
        };
        let first = buffers(1000, reading, true, 1, 0);
        let second = buffers(1000, reading, true, 1, 1);
        assert_eq!(first.len(), 25);
        let blocks = |group: &Vec<usize>| {
            let mut blocks: Vec<usize> = group.iter().map(|cell| cell / 10).collect();
            blocks.sort_unstable();
            blocks.dedup();
            blocks
        };
        assert_ne!(blocks(&first[0]), blocks(&second[0]));
        assert!(!first[0].is_sorted());
    }
}
