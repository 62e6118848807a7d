//! Some cells whose true neighbours are known, to tell how many of them a search finds.

use super::candidates::Candidates;
use super::lists::Lists;
use crate::graph::neighbors::Search;
use crate::parallel::map;

/// Places at which cells are taken.
const PLACES: usize = 128;
/// Cells that are taken at each: products of one row would not be worth their time.
const ROWS: usize = 4;

/// How much a squared distance in f32 may be off.
const ROUNDING: f32 = 1e-5;

/// The true neighbours of some cells.
pub(super) struct Sample {
    /// How many they are of each cell.
    k: usize,
    cells: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    cell: usize,
    neighbors: Vec<u32>,
    /// Squared distance of the last of them.
    farthest: f32,
}

impl Sample {
    /// The `k` nearest of cells at equal distances in the order of the search.
    pub fn of(search: &Search, cells: usize, k: usize) -> Self {
        let places = PLACES.min(cells / ROWS).max(1);
        let rows = ROWS.min(cells);
        let width = search.width();
        let all = 0..cells;
        let all = std::slice::from_ref(&all);
        let of_places = map(places, |place| {
            let first = place * (cells - rows) / places;
            let mut indices = vec![0; rows * width];
            let mut distances = vec![0.0; rows * width];
            search.block(first, all, &mut indices, &mut distances);
            let rows = indices.chunks(width).zip(distances.chunks(width));
            rows.enumerate()
                .map(|(row, (indices, distances))| Known {
                    cell: first + row,
                    neighbors: indices[..k].to_vec(),
                    farthest: distances[k - 1].powi(2),
                })
                .collect::<Vec<_>>()
        });
        Self {
            k,
            cells: of_places.concat(),
        }
    }

    /// How many lists, nearest first, hold a share of the true neighbours.
    pub fn lists_for(&self, lists: &Lists, share: f64) -> usize {
        let mut found_in = vec![0usize; lists.len()];
        let mut last = None;
        let mut rank = Vec::new();
        for Known {
            cell, neighbors, ..
        } in &self.cells
        {
            let list = lists.list_at(*cell);
            if last != Some(list) {
                last = Some(list);
                rank = vec![0; lists.len()];
                for (number, other) in lists.nearest_to(list).into_iter().enumerate() {
                    rank[other] = number;
                }
            }
            for &neighbor in neighbors {
                found_in[rank[lists.list_at(neighbor as usize)]] += 1;
            }
        }
        let wanted = share * (self.cells.len() * self.k) as f64;
        let mut found = 0;
        for (number, count) in found_in.into_iter().enumerate() {
            found += count;
            if found as f64 >= wanted {
                return number + 1;
            }
        }
        lists.len()
    }

    /// Which share of the nearest candidates is as near as the true neighbours: where cells are equally
    /// far, one is as true as the other.
    pub fn recall(&self, candidates: &Candidates) -> f64 {
        let hits: usize = self
            .cells
            .iter()
            .map(|known| {
                let farthest = known.farthest * (1.0 + ROUNDING);
                let distances = &candidates.distances_of(known.cell)[..self.k];
                distances
                    .iter()
                    .filter(|&&distance| distance <= farthest)
                    .count()
            })
            .sum();
        hits as f64 / (self.cells.len() * self.k) as f64
    }
}
