//! The nearest of many points, by comparing all with all on a GPU.
//!
//! On the CPU bounds and products of matrices leave few pairs to measure
//! ([`graph`](crate::graph)). A GPU measures every pair sooner than it could choose some.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;

use std::ops::Range;

use burn::tensor::Device;
use ndarray::{ArrayView2, Axis, Slice};

/// Points that are offered to others together: so many as a launch compares at least.
const TILE: usize = 32;
/// The most points of a block: enough for every processor of a large device.
const MOST_POINTS: usize = 1 << 17;
/// The most coordinates of a block: half of what the least of devices take in a buffer.
const MOST_COORDINATES: usize = 1 << 24;

/// A comparison of all points with all others.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    /// Finite coordinates `[points, dimensions]`, at least one of each.
    pub points: ArrayView2<'a, f32>,
    /// A power of two that leaves no coordinate above 1 where it is multiplied by.
    pub scale: f64,
    /// How many of the nearest are kept.
    pub kept: usize,
    /// The most coordinates that a launch compares, if it is as many as a few points have.
    pub work: u64,
}

/// The nearest points of a block of points.
pub(crate) struct Kept {
    /// The points of the block.
    pub points: Range<usize>,
    /// The others `[kept, points of the block]`, nearest first and of equally near ones the first;
    /// `u32::MAX` where there are not that many.
    pub indices: Vec<u32>,
    /// Their squared distances, scaled.
    pub distances: Vec<f32>,
}

impl Comparison<'_> {
    /// Blocks of points whose comparison with a few others is no more work than a launch may be.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (points, dimensions) = self.points.dim();
        let by_work = self.work / (TILE * dimensions) as u64;
        let by_size = MOST_POINTS.min(MOST_COORDINATES / dimensions).max(1);
        let block = usize::try_from(by_work).map_or(by_size, |most| most.clamp(1, by_size));
        (0..points)
            .step_by(block)
            .map(move |first| first..points.min(first + block))
    }

    /// Parts of a block of candidates, each of which is compared with `queries` points in a launch.
    fn launches(
        &self,
        queries: usize,
        candidates: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = self.work / (queries * self.points.ncols()) as u64;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let most = (most / TILE).max(1) * TILE;
        (0..candidates)
            .step_by(most)
            .map(move |first| first..candidates.min(first + most))
    }

    /// The coordinates of a block `[dimensions, points of the block]`, scaled.
    fn coordinates(&self, block: &Range<usize>) -> Vec<f32> {
        let points = self.points.slice_axis(Axis(0), Slice::from(block.clone()));
        // Beyond the range of f32 is the scale of tiny coordinates, not what it makes of them.
        let scaled = |&value: &f32| (f64::from(value) * self.scale) as f32;
        points.t().iter().map(scaled).collect()
    }

    /// How far a squared distance from a device may be off, as a share of it and beyond that.
    ///
    /// With u = 2⁻²⁴ and d dimensions: a difference of two coordinates is within u of the true one,
    /// its square within 3u, and the sum of d squares in any order within (d + 2)u. What is below
    /// 2⁻¹²⁶ may be taken for 0: two coordinates, their difference and its square. The factor 2 leaves
    /// room for terms of second order.
    pub fn errors(&self) -> (f64, f64) {
        let dimensions = self.points.ncols() as f64;
        let unit = f64::from(f32::EPSILON) / 2.0;
        let smallest = f64::from(f32::MIN_POSITIVE);
        (
            2.0 * unit * (dimensions + 4.0),
            2.0 * smallest * 16.0 * dimensions,
        )
    }

    /// Hands on what is nearest to the points of every block, block after block.
    ///
    /// # Errors
    /// What the device says when its work failed, and for a device that [cannot compare](compares_on).
    pub fn run(&self, device: &Device, each: &mut dyn FnMut(Kept)) -> Result<(), String> {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        return cube::run(self, device, each);
        #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
        {
            let _ = (device, each);
            Err("this build has no kernels".to_string())
        }
    }
}

/// Whether points can be compared on a device.
pub(crate) fn compares_on(device: &Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cube::applies(device);
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = device;
        false
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn comparison(points: &Array2<f32>, work: u64) -> Comparison<'_> {
        Comparison {
            points: points.view(),
            scale: 1.0,
            kept: 4,
            work,
        }
    }

    #[test]
    fn launches_compare_every_pair_once_and_do_not_exceed_their_work() {
        let points = Array2::zeros((1000, 3));
        for work in [0, 1, 96, 97, 10_000, 96_000, 100_000, 3_000_000, u64::MAX] {
            let comparison = comparison(&points, work);
            let mut times = vec![0u8; 1000 * 1000];
            for queries in comparison.blocks() {
                for candidates in comparison.blocks() {
                    for range in comparison.launches(queries.len(), candidates.len()) {
                        let compared = (queries.len() * range.len() * 3) as u64;
                        assert!(compared <= work.max(96), "{work}: {compared}");
                        for query in queries.clone() {
                            for candidate in range.clone() {
                                times[query * 1000 + candidates.start + candidate] += 1;
                            }
                        }
                    }
                }
            }
            assert!(times.iter().all(|&times| times == 1), "{work}");
        }
    }

    #[test]
    fn no_block_is_larger_than_a_buffer() {
        for dimensions in [1, 32, 1000] {
            let points = Array2::zeros((200_000, dimensions));
            let comparison = comparison(&points, u64::MAX);
            let mut next = 0;
            for block in comparison.blocks() {
                assert_eq!(block.start, next);
                assert!(block.len() * dimensions <= MOST_COORDINATES && block.len() <= MOST_POINTS);
                next = block.end;
            }
            assert_eq!(next, 200_000);
        }
    }

    #[test]
    fn coordinates_are_scaled_and_lie_axis_by_axis() {
        let points = ndarray::array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let comparison = Comparison {
            scale: 0.125,
            ..comparison(&points, 1)
        };
        assert_eq!(comparison.coordinates(&(1..3)), [0.375, 0.625, 0.5, 0.75]);
        // The scale itself is beyond the range of f32.
        let tiny = ndarray::array![[f32::from_bits(3)]];
        let comparison = Comparison {
            points: tiny.view(),
            scale: 2f64.powi(147),
            ..comparison
        };
        assert_eq!(comparison.coordinates(&(0..1)), [0.75]);
    }

    #[test]
    fn sums_of_squares_are_within_their_errors() {
        let points = Array2::from_shape_fn((200, 40), |(cell, axis)| {
            ((cell * 7919 + axis * 104_729) % 10_007) as f32 / 10_007.0 - 0.5
        });
        let (share, beyond) = comparison(&points, 1).errors();
        assert!(share < 1e-5 && beyond < 1e-30);
        for (a, b) in points
            .rows()
            .into_iter()
            .zip(points.rows().into_iter().skip(1))
        {
            let pairs = || a.iter().zip(&b);
            let found: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            let exact: f64 = pairs()
                .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                .sum();
            assert!((f64::from(found) - exact).abs() <= share * exact + beyond);
        }
    }
}
