//! Counts that are read from a source while others are worked on.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::Batches;
use crate::error::{Error, Result};

/// Fewest cells that are read at a time in a sweep over all of them.
pub(super) const SWEEP_CELLS: usize = 8192;

impl<'a> Batches<'a> {
    /// The same batches, with the counts of these cells in memory for good.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn holding(&self, cells: &[usize]) -> Result<Self> {
        Ok(Self {
            loaded: self.cells.load_scattered(cells)?.map(Arc::new),
            ..self.clone()
        })
    }

    /// Folds `visit` over groups of cells on the calling thread, with batches that have the group's
    /// counts in memory. A thread of its own reads the next group meanwhile.
    ///
    /// # Errors
    /// The first of `visit` or of the source.
    pub(crate) fn fold_groups<S>(
        &self,
        groups: &[Vec<usize>],
        start: S,
        mut visit: impl FnMut(S, usize, &Self) -> Result<S>,
    ) -> Result<S> {
        if self.cells.reading().is_none() || self.loaded.is_some() {
            return (0..groups.len()).try_fold(start, |state, group| visit(state, group, self));
        }
        let cells = self.cells;
        thread::scope(|scope| {
            // Nothing waits in the channel: two groups are in memory at most.
            let (sender, receiver) = sync_channel(0);
            let reader = thread::Builder::new()
                .name("celldec counts".into())
                .spawn_scoped(scope, move || {
                    for group in groups {
                        let mut rising = group.clone();
                        rising.sort_unstable();
                        let loaded = cells.load(rising);
                        let failed = loaded.is_err();
                        // Nobody receives when a visit failed.
                        if sender.send(loaded).is_err() || failed {
                            return;
                        }
                    }
                })
                .map_err(|error| Error::CountSource {
                    cause: error.into(),
                })?;
            let mut state = start;
            for group in 0..groups.len() {
                // Closed before the end only by a panic, which goes on below.
                let Ok(loaded) = receiver.recv() else { break };
                let batches = Self {
                    loaded: loaded?.map(Arc::new),
                    ..self.clone()
                };
                state = visit(state, group, &batches)?;
            }
            match reader.join() {
                Ok(()) => Ok(state),
                Err(panic) => resume_unwind(panic),
            }
        })
    }

    /// Calls `visit` with consecutive blocks of `size` cells, the last one shorter, and batches that
    /// have their counts in memory.
    ///
    /// # Errors
    /// The first of `visit` or of the source.
    pub(crate) fn for_each_block(
        &self,
        size: usize,
        mut visit: impl FnMut(&[usize], &Self) -> Result<()>,
    ) -> Result<()> {
        let cells = self.cells.cells();
        // Blocks are the same wherever counts are, so that results are.
        let together = match self.cells.reading() {
            None => cells.max(1),
            Some(reading) => reading.block.max(SWEEP_CELLS).next_multiple_of(size),
        };
        let groups: Vec<Vec<usize>> = (0..cells)
            .step_by(together)
            .map(|first| (first..cells.min(first + together)).collect())
            .collect();
        self.fold_groups(&groups, (), |(), group, batches| {
            let mut blocks = groups[group].chunks(size);
            blocks.try_for_each(|block| visit(block, batches))
        })
    }
}
