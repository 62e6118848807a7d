//! Cells parted into lists of cells that are near each other.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use crate::graph::points::CentredPoints;
use crate::parallel::map;
use crate::random::{Purpose, stream, subsample};

/// Cells in a list, on average.
const LIST: usize = 512;
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
    /// The centre of every list, moved and scaled, `[lists, dimensions]`.
    centres: Array2<f32>,
    /// How points are moved and scaled for it.
    space: CentredPoints,
}

impl Lists {
    /// Of the rows of an embedding `[cells, dimensions]`.
    pub fn of(embedding: ArrayView2<f32>) -> Self {
        let cells = embedding.nrows();
        let count = cells.div_ceil(LIST);
        let mut space = CentredPoints::new(embedding);
        let points = std::mem::take(&mut space.points);
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
            space,
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

    /// The lists of points `[points, dimensions]`, those whose centres are nearest first.
    pub fn nearest_first(&self, points: ArrayView2<f32>) -> Vec<Vec<u32>> {
        let scores = self.scores(points);
        let rows = scores.rows().into_iter();
        rows.map(|scores| nearest(scores, self.len())).collect()
    }

    /// For every point `[points, dimensions]` the lists, rising, whose centres are the `count` nearest, or
    /// more until they hold `least` cells.
    pub fn around(&self, points: ArrayView2<f32>, count: usize, least: usize) -> Vec<Vec<u32>> {
        let scores = self.scores(points);
        let rows = scores.rows().into_iter().map(|scores| {
            let held = |lists: &[u32]| -> usize {
                lists
                    .iter()
                    .map(|&list| self.ranges[list as usize].len())
                    .sum()
            };
            let mut lists = nearest(scores, count);
            if held(&lists) < least {
                let all = nearest(scores, self.len());
                let enough = (count..self.len()).find(|&count| held(&all[..count]) >= least);
                lists = all[..enough.unwrap_or(self.len())].to_vec();
            }
            lists.sort_unstable();
            lists
        });
        rows.collect()
    }

    fn scores(&self, points: ArrayView2<f32>) -> Array2<f32> {
        scores(self.space.transform(points).view(), &self.centres)
    }
}

/// The `count` lists of lowest score, the lowest first, of equals the first.
fn nearest(scores: ArrayView1<f32>, count: usize) -> Vec<u32> {
    let mut lists: Vec<(f32, u32)> = scores.iter().copied().zip(0..).collect();
    let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if count < lists.len() {
        lists.select_nth_unstable_by(count, order);
        lists.truncate(count);
    }
    lists.sort_unstable_by(order);
    lists.into_iter().map(|(_, list)| list).collect()
}

/// Half the squared distance of every point to every centre, less what all centres have in common,
/// `[points, centres]`.
fn scores(points: ArrayView2<f32>, centres: &Array2<f32>) -> Array2<f32> {
    let halves = centres
        .rows()
        .into_iter()
        .map(|centre| centre.dot(&centre) / 2.0);
    let halves: Array1<f32> = halves.collect();
    let mut scores = Array2::zeros((points.nrows(), centres.nrows()));
    ndarray::linalg::general_mat_mul(-1.0, &points, &centres.t(), 0.0, &mut scores);
    scores += &halves;
    scores
}

/// The nearest centre of every point `[points]`, the first of equals.
fn nearest_centres(points: ArrayView2<f32>, centres: &Array2<f32>) -> Vec<u32> {
    let blocks = map(points.nrows().div_ceil(BLOCK), |block| {
        let rows = block * BLOCK..points.nrows().min((block + 1) * BLOCK);
        let scores = scores(points.slice(s![rows, ..]), centres);
        let nearest = scores.rows().into_iter().map(|scores| {
            let (mut best, mut least) = (0, f32::INFINITY);
            for (centre, &score) in scores.iter().enumerate() {
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
