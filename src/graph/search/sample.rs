//! Some cells whose true neighbours are known, to tell how many of them a search finds.

use ndarray::s;

use super::lists::Lists;
use crate::graph::neighbors::Search;
use crate::parallel::map;

/// Places at which cells are taken.
const PLACES: usize = 128;
/// Cells that are taken at each: products of one row would not be worth their time.
const ROWS: usize = 4;

/// How many lists, nearest first, hold a share of the true `k` nearest neighbours of some of the cells; all
/// of them for a share that is not reached with less.
pub(super) fn lists_for(share: f64, search: &Search, lists: &Lists, k: usize) -> usize {
    let cells = search.points().nrows();
    let places = PLACES.min(cells / ROWS).max(1);
    let rows = ROWS.min(cells);
    let ranks = map(places, |place| {
        let first = place * (cells - rows) / places;
        let mut neighbors = vec![0; rows * k];
        search.block(first, &mut neighbors, &mut vec![0.0; rows * k]);
        let points = search.points().slice(s![first..first + rows, ..]);
        let mut ranks = Vec::with_capacity(rows * k);
        let mut rank = vec![0; lists.len()];
        for (order, neighbors) in lists.nearest_first(points).iter().zip(neighbors.chunks(k)) {
            for (number, &list) in order.iter().enumerate() {
                rank[list as usize] = number;
            }
            let neighbors = neighbors.iter();
            ranks.extend(neighbors.map(|&neighbor| rank[lists.list_at(neighbor as usize)]));
        }
        ranks
    });
    let mut ranks = ranks.concat();
    ranks.sort_unstable();
    let wanted = (share * ranks.len() as f64).ceil() as usize;
    match ranks.get(wanted.max(1) - 1) {
        Some(rank) if share < 1.0 => rank + 1,
        _ => lists.len(),
    }
}
