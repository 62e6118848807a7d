//! Cells parted into lists of cells that are near each other.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::graph::points::CentredPoints;
use crate::parallel::map;
use crate::random::{Purpose, stream, subsample};

/// Cells in a list, on average.
pub(super) const LIST: usize = 512;
/// Cells that the lists' centres are learned from, for each list.
const SAMPLE: usize = 32;
/// Lloyd iterations for the centres: what they gain later is not worth their time.
const ITERATIONS: usize = 8;
/// Cells that are given a list at once.
const BLOCK: usize = 512;

/// Cells parted into lists of cells that are near each other.
pub(super) struct Lists {
    /// Cells list by list, rising in each.
    pub order: Vec<usize>,
    /// The places of every list in this order.
    pub ranges: Vec<Range<usize>>,
    /// The centre of every list, scaled, `[lists, dimensions]`.
    centres: Array2<f32>,
    /// The power of two that brings coordinates to the order of 1.
    pub scale: f64,
}

impl Lists {
    /// Of the rows of an embedding `[cells, dimensions]`.
    pub fn of(embedding: ArrayView2<f32>) -> Self {
        let cells = embedding.nrows();
        let count = cells.div_ceil(LIST);
        let CentredPoints { points, scale, .. } = CentredPoints::new(embedding);
        let mut random = stream(0, Purpose::NeighborLists, 0, 0);
        let chosen = subsample(&mut random, cells, cells.min(count * SAMPLE));
        let sample = points.select(Axis(0), &chosen);
        let first = subsample(&mut random, chosen.len(), count);
        let mut centres = sample.select(Axis(0), &first);
        for _ in 0..ITERATIONS {
            let lists = nearest_centres(sample.view(), &centres);
            move_to_means(&mut centres, sample.view(), &lists);
        }
        let lists = nearest_centres(points.view(), &centres);
        let mut ends = vec![0usize; count];
        for &list in &lists {
            ends[list as usize] += 1;
        }
        let mut ranges = Vec::with_capacity(count);
        let mut start = 0;
        for size in ends {
            ranges.push(start..start + size);
            start += size;
        }
        let mut next: Vec<usize> = ranges.iter().map(|range| range.start).collect();
        let mut order = vec![0; cells];
        for (cell, &list) in lists.iter().enumerate() {
            let place = &mut next[list as usize];
            order[*place] = cell;
            *place += 1;
        }
        Self {
            order,
            ranges,
            centres,
            scale,
        }
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The list that holds a place.
    pub fn list_at(&self, place: usize) -> usize {
        self.ranges.partition_point(|range| range.end <= place)
    }

    /// All lists, that with the nearest centre to a list's own first, which is this list itself.
    pub fn nearest_to(&self, list: usize) -> Vec<usize> {
        let own = self.centres.row(list);
        let mut lists: Vec<(f32, usize)> = self
            .centres
            .rows()
            .into_iter()
            .enumerate()
            .map(|(other, centre)| {
                let squares = own.iter().zip(centre).map(|(a, b)| (a - b).powi(2));
                // Its own first, also where another has the same centre.
                let distance = if other == list { -1.0 } else { squares.sum() };
                (distance, other)
            })
            .collect();
        lists.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        lists.into_iter().map(|(_, list)| list).collect()
    }

    /// The places of the `count` lists nearest to a list, or of more until they hold `least` cells;
    /// rising, lists that follow each other as one.
    pub fn around(&self, list: usize, count: usize, least: usize) -> Vec<Range<usize>> {
        let mut held = 0;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (number, other) in self.nearest_to(list).into_iter().enumerate() {
            if number >= count && held >= least {
                break;
            }
            held += self.ranges[other].len();
            ranges.push(self.ranges[other].clone());
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        joined
    }
}

/// The nearest centre of every point `[points]`, the first of equals.
fn nearest_centres(points: ArrayView2<f32>, centres: &Array2<f32>) -> Vec<u32> {
    let (count, dimensions) = centres.dim();
    // Point · centre is then half the squared distance, less what all centres have in common.
    let norms: Vec<f32> = centres
        .rows()
        .into_iter()
        .map(|centre| centre.dot(&centre) / 2.0)
        .collect();
    let blocks = map(points.nrows().div_ceil(BLOCK), |block| {
        let rows = block * BLOCK..points.nrows().min((block + 1) * BLOCK);
        let mut scores = Array2::zeros((rows.len(), count));
        let points = points.slice(s![rows, ..dimensions]);
        ndarray::linalg::general_mat_mul(-1.0, &points, &centres.t(), 0.0, &mut scores);
        let nearest = scores.rows().into_iter().map(|scores| {
            let scores = scores.iter().zip(&norms).map(|(score, norm)| score + norm);
            let (mut best, mut least) = (0, f32::INFINITY);
            for (centre, score) in scores.enumerate() {
                if score < least {
                    (best, least) = (centre as u32, score);
                }
            }
            best
        });
        nearest.collect::<Vec<u32>>()
    });
    blocks.concat()
}

/// Moves every centre that has points to their mean.
fn move_to_means(centres: &mut Array2<f32>, points: ArrayView2<f32>, lists: &[u32]) {
    let mut sums = Array2::<f64>::zeros(centres.dim());
    let mut counts = vec![0usize; centres.nrows()];
    for (point, &list) in points.rows().into_iter().zip(lists) {
        counts[list as usize] += 1;
        let mut sum = sums.row_mut(list as usize);
        sum.zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
    }
    for (list, &count) in counts.iter().enumerate() {
        if count > 0 {
            let mean = sums.row(list).mapv(|sum| (sum / count as f64) as f32);
            centres.row_mut(list).assign(&mean);
        }
    }
}
