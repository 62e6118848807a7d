//! The rows of a compressed sparse matrix, read from disk part by part.

use std::ops::Range;

use super::{SparseParts, Store};
use crate::counts::CountRows;
use crate::error::Result;

/// Fewest cells of a block: fewer are not worth a read.
const FEWEST_CELLS: usize = 1024;

/// Chunks of a block: the chunks at its ends are decompressed for the neighbouring blocks, too.
const CHUNKS: usize = 8;

/// Most entries of a block, unless a single chunk has more.
const MOST_ENTRIES: usize = 1 << 22;

/// A matrix that is compressed by cells, of which only where rows begin is in memory.
pub(in crate::io) struct StoredRows {
    parts: SparseParts,
    /// Where rows begin `[cells + 1]`.
    offsets: Vec<usize>,
    block: usize,
}

impl StoredRows {
    /// The matrix of `cells` rows in the group `at`.
    pub fn open(store: &Store, at: &str, cells: usize) -> Result<Self> {
        let parts = SparseParts::open(store, at, cells)?;
        let offsets = parts.read_offsets(store)?;
        let block = block_of(parts.chunk_length(store)?, parts.stored(), cells);
        Ok(Self {
            parts,
            offsets,
            block,
        })
    }

    /// As many cells as a few compressed chunks hold.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Consecutive cells of a matrix of so many genes.
    pub fn read(
        &self,
        store: &Store,
        cells: Range<usize>,
        genes: usize,
    ) -> Result<CountRows<'static>> {
        let offsets = &self.offsets[cells.start..=cells.end];
        let (first, last) = (offsets[0], offsets[cells.len()]);
        let (indices, values) = self.parts.read(store, first..last)?;
        let offsets = offsets.iter().map(|offset| offset - first).collect();
        CountRows::from_csr(cells.start, genes, offsets, indices, values)
    }
}

/// Cells of a block of a sparse matrix; `chunk` is how many entries are compressed together.
fn block_of(chunk: Option<usize>, stored: usize, cells: usize) -> usize {
    let Some(chunk) = chunk else {
        return FEWEST_CELLS;
    };
    // A file may claim chunks longer than all that it holds.
    let chunk = chunk.min(stored.max(1));
    let entries = CHUNKS.saturating_mul(chunk).min(MOST_ENTRIES).max(chunk);
    let cells = entries.div_ceil((stored / cells.max(1)).max(1));
    cells.max(FEWEST_CELLS).next_multiple_of(FEWEST_CELLS / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_whole_chunks_and_an_end() {
        // 100 entries a cell.
        let block = |chunk| block_of(chunk, 1_000_000, 10_000);
        assert_eq!(block(None), FEWEST_CELLS);
        assert_eq!(block(Some(1)), FEWEST_CELLS);
        assert_eq!(block(Some(32_768)), 2816);
        for longest in [1 << 20, 1 << 61, usize::MAX] {
            assert_eq!(block(Some(longest)), 41_984);
        }
        assert_eq!(block_of(Some(usize::MAX), 0, 0), FEWEST_CELLS);
    }
}
