//! Embedded cells with their neighbours, found when asked for.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayView2;

use super::neighbors::Neighbors;
use super::search::NeighborSearch;
use crate::error::Result;

/// All cells of a fit in latent space, and their nearest neighbours.
///
/// Neighbours move slowly while a network trains and take long to find among many cells, so those
/// found at one [`NeighborMemory`] are used again for some time.
#[derive(Debug)]
pub struct EmbeddedCells<'a> {
    embedding: ArrayView2<'a, f32>,
    memory: &'a NeighborMemory,
    search: NeighborSearch,
}

impl<'a> EmbeddedCells<'a> {
    /// Cells `[cells, latent]` with what is remembered of their neighbours.
    pub fn new(embedding: ArrayView2<'a, f32>, memory: &'a NeighborMemory) -> Self {
        Self {
            embedding,
            memory,
            search: NeighborSearch::default(),
        }
    }

    /// Sets how neighbours are looked for.
    pub fn with_search(mut self, search: NeighborSearch) -> Self {
        self.search = search;
        self
    }

    /// The embedding `[cells, latent]`.
    pub fn embedding(&self) -> ArrayView2<'a, f32> {
        self.embedding
    }

    /// The `count` nearest neighbours of every cell, or all other cells if there are fewer; as
    /// they were at most [`NeighborMemory::uses`] requests ago.
    ///
    /// # Errors
    /// As [`NeighborSearch::find`].
    pub fn neighbors(&self, count: usize) -> Result<Arc<Neighbors>> {
        let cells = self.embedding.nrows();
        let count = count.min(cells.saturating_sub(1));
        let mut remembered = self
            .memory
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((uses, neighbors)) = remembered.as_mut()
            && *uses < self.memory.uses
            && neighbors.indices.dim() == (cells, count)
        {
            *uses += 1;
            return Ok(Arc::clone(neighbors));
        }
        let found = self.search.find(self.embedding, count)?;
        let neighbors = Arc::new(found);
        *remembered = Some((1, Arc::clone(&neighbors)));
        Ok(neighbors)
    }
}

/// Nearest neighbours as they were when they were last looked for.
#[derive(Debug)]
pub struct NeighborMemory {
    uses: usize,
    remembered: Mutex<Option<(usize, Arc<Neighbors>)>>,
}

impl NeighborMemory {
    /// A memory whose content is used `uses` times; 0 or 1: neighbours are looked for every time.
    pub fn new(uses: usize) -> Self {
        Self {
            uses,
            remembered: Mutex::new(None),
        }
    }

    /// How often the same neighbours are used.
    pub fn uses(&self) -> usize {
        self.uses
    }

    /// What is remembered: how often it was used, and the neighbours.
    pub(crate) fn remembered(&self) -> Option<(usize, Arc<Neighbors>)> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers neighbours that were used `used` times.
    pub(crate) fn remember(&self, used: usize, neighbors: Neighbors) {
        *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((used, Arc::new(neighbors)));
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::nearest_neighbors;
    use super::*;

    #[test]
    fn neighbors_are_used_again_as_often_as_asked_for() {
        let before = Array2::from_shape_fn((6, 1), |(cell, _)| cell as f32 * cell as f32);
        let after = before.mapv(|x| -x.sqrt() % 3.0);
        let memory = NeighborMemory::new(2);
        let find = |points: &Array2<f32>, count| {
            EmbeddedCells::new(points.view(), &memory)
                .neighbors(count)
                .unwrap()
        };
        let first = find(&before, 2);
        assert!(Arc::ptr_eq(&first, &find(&after, 2)));
        let third = find(&after, 2);
        assert_eq!(*third, nearest_neighbors(after.view(), 2).unwrap());
        // Another number of neighbours is another question; more than there are cells is all.
        assert_eq!(find(&after, 40).indices.dim(), (6, 5));
        let never = NeighborMemory::new(0);
        let cells = EmbeddedCells::new(before.view(), &never);
        assert!(!Arc::ptr_eq(
            &cells.neighbors(2).unwrap(),
            &cells.neighbors(2).unwrap()
        ));
    }
}
