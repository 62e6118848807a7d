//! Soft assignment and its divergence from the target as kernels for GPUs.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, CubeCount, prelude::*};

use super::{Falloff, SMALLEST};
use crate::kernel::cube::functions::{exp, ln, ln_1p_small, unless_nan};
use crate::kernel::cube::reduce::{
    self, COLUMNS, ROWS, finished, sum_of_column, sum_of_cube, summing,
};
use crate::kernel::cube::{
    CubeTensor, column_units, contiguous, in_rows, primitive, room, unfused, units,
};
use crate::kernel::operation::record;

/// Units that work on a cell together.
const UNITS: u32 = 64;
/// Cubes of a launch along its first axis; devices take 65 535.
const CUBES: usize = 1 << 15;

/// [`soft`](super::soft) by the kernel, or nothing where it does not apply.
pub(super) fn soft(
    latent: &Tensor<2>,
    centroids: &Tensor<2>,
    falloff: Falloff,
) -> Option<Tensor<2>> {
    let ([cells, width], [clusters, rows]) = (latent.dims(), centroids.dims());
    if width != rows || cells * clusters * width == 0 {
        return None;
    }
    let inputs = Inputs {
        latent: contiguous(latent)?,
        centroids: contiguous(centroids)?,
        falloff,
        cells,
        clusters,
        width,
    };
    let q = inputs.assigned();
    let kept = q.clone();
    record::<Cube, _, 2, 2>(SoftAssignment, [latent, centroids], primitive(q), || {
        (inputs, kept)
    })
}

/// The squared distance of a cell from a centroid.
#[cube]
fn squared_distance(
    latent: &[f32],
    centroids: &[f32],
    cell: usize,
    cluster: usize,
    width: usize,
) -> f32 {
    let mut sum = 0.0f32;
    let mut axis = 0usize.runtime();
    while axis < width {
        let difference = latent[cell * width + axis] - centroids[cluster * width + axis];
        sum += difference * difference;
        axis += 1;
    }
    sum
}

/// ln(1 + x) for x ≥ 0.
#[cube]
fn ln_1p(x: f32) -> f32 {
    let small = x <= 1.0f32;
    select(small, ln_1p_small(select(small, x, 1.0f32)), ln(1.0f32 + x))
}

/// The largest value of the units of a cube, in all of them.
#[cube]
fn largest_of_cube(value: f32) -> f32 {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut largest = value;
    let mut unit = 0usize.runtime();
    while unit < comptime!(UNITS as usize) {
        let other = shared[unit];
        largest = select(other > largest, other, largest);
        unit += 1;
    }
    sync_cube();
    largest
}

/// The sum over the units of a cube, in all of them.
#[cube]
fn sum_of_cell(value: f32) -> f32 {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut sum = 0.0f32;
    let mut unit = 0usize.runtime();
    while unit < comptime!(UNITS as usize) {
        sum += shared[unit];
        unit += 1;
    }
    sync_cube();
    sum
}

/// A cube for every cell: a softmax of the logarithms of the similarities.
#[cube(launch)]
fn assign(
    latent: &[f32],
    centroids: &[f32],
    q: &mut [f32],
    width: u32,
    clusters: u32,
    parameter: f32,
    #[comptime] student: bool,
) {
    let width = width as usize;
    let clusters = clusters as usize;
    let cell = CUBE_POS;
    // Cubes beyond the cells have nothing to do but take part in what all units do together.
    let end = if cell * width < latent.len() {
        clusters
    } else {
        0usize.runtime()
    };
    let mut largest = comptime!(f32::MIN).runtime();
    let mut cluster = UNIT_POS as usize;
    while cluster < end {
        let distance = squared_distance(latent, centroids, cell, cluster, width);
        let similarity = if student {
            ln_1p(distance / parameter) * (parameter + 1.0f32) * -0.5f32
        } else {
            distance * -0.5f32 / (parameter * parameter)
        };
        q[cell * clusters + cluster] = similarity;
        largest = select(similarity > largest, similarity, largest);
        cluster += comptime!(UNITS as usize);
    }
    let largest = largest_of_cube(largest);
    let mut sum = 0.0f32;
    let mut cluster = UNIT_POS as usize;
    while cluster < end {
        let place = cell * clusters + cluster;
        let weight = exp(q[place] - largest);
        q[place] = weight;
        sum += weight;
        cluster += comptime!(UNITS as usize);
    }
    let sum = sum_of_cell(sum);
    let mut cluster = UNIT_POS as usize;
    while cluster < end {
        q[cell * clusters + cluster] /= sum;
        cluster += comptime!(UNITS as usize);
    }
}

/// A cube for every cell: twice the derivative by every squared distance, and the gradient of the
/// cell's latent representation.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
fn pull(
    latent: &[f32],
    centroids: &[f32],
    q: &[f32],
    gradient: &[f32],
    pulls: &mut [f32],
    by_latent: &mut [f32],
    width: u32,
    clusters: u32,
    parameter: f32,
    #[comptime] student: bool,
) {
    let width = width as usize;
    let clusters = clusters as usize;
    let cell = CUBE_POS;
    let inside = cell * width < latent.len();
    let end = if inside { clusters } else { 0usize.runtime() };
    let mut sum = 0.0f32;
    let mut cluster = UNIT_POS as usize;
    while cluster < end {
        let place = cell * clusters + cluster;
        sum += gradient[place] * q[place];
        cluster += comptime!(UNITS as usize);
    }
    let mean = sum_of_cell(sum);
    let mut cluster = UNIT_POS as usize;
    while cluster < end {
        let place = cell * clusters + cluster;
        let by_similarity = q[place] * (gradient[place] - mean);
        let slope = if student {
            let distance = squared_distance(latent, centroids, cell, cluster, width);
            (parameter + 1.0f32) * -0.5f32 / (parameter + distance)
        } else {
            -0.5f32 / (parameter * parameter)
        };
        pulls[place] = 2.0f32 * by_similarity * slope;
        cluster += comptime!(UNITS as usize);
    }
    sync_storage();
    sync_cube();
    let axes = if inside { width } else { 0usize.runtime() };
    let mut axis = UNIT_POS as usize;
    while axis < axes {
        let place = cell * width + axis;
        let mut sum = 0.0f32;
        let mut cluster = 0usize.runtime();
        while cluster < clusters {
            let difference = latent[place] - centroids[cluster * width + axis];
            sum += pulls[cell * clusters + cluster] * difference;
            cluster += 1;
        }
        by_latent[place] = sum;
        axis += comptime!(UNITS as usize);
    }
}

/// The gradient of the centroids, one column of units for every coordinate.
#[cube(launch)]
fn pull_centroids(
    latent: &[f32],
    centroids: &[f32],
    pulls: &[f32],
    by_centroids: &mut [f32],
    cells: u32,
    width: u32,
) {
    let cells = cells as usize;
    let width = width as usize;
    let clusters = centroids.len() / width;
    let place = CUBE_POS_X as usize * comptime!(COLUMNS as usize) + UNIT_POS_X as usize;
    let mut sum = 0.0f32;
    if place < centroids.len() {
        let cluster = place / width;
        let axis = place - cluster * width;
        let mut cell = UNIT_POS_Y as usize;
        while cell < cells {
            let difference = latent[cell * width + axis] - centroids[place];
            sum -= pulls[cell * clusters + cluster] * difference;
            cell += comptime!(ROWS as usize);
        }
    }
    let sum = sum_of_column(sum);
    if place < centroids.len() && UNIT_POS_Y == 0 {
        by_centroids[place] = sum;
    }
}

/// Latent representations `[cells, width]`, centroids `[clusters, width]` and how similarity falls.
#[derive(Debug, Clone)]
struct Inputs {
    latent: CubeTensor,
    centroids: CubeTensor,
    falloff: Falloff,
    cells: usize,
    clusters: usize,
    width: usize,
}

impl Inputs {
    /// The parameter of the similarity, and whether it is Student's.
    fn parameter(&self) -> (f32, bool) {
        match self.falloff {
            Falloff::StudentT { alpha } => (alpha as f32, true),
            Falloff::Gaussian { bandwidth } => (bandwidth as f32, false),
        }
    }

    /// A cube for every cell.
    fn cubes(&self) -> (CubeCount, CubeDim) {
        let along = self.cells.min(CUBES);
        (
            CubeCount::Static(along as u32, self.cells.div_ceil(along) as u32, 1),
            CubeDim::new_1d(UNITS),
        )
    }

    fn assigned(&self) -> CubeTensor {
        let q = room(&self.latent, [self.cells, self.clusters]);
        let ((count, dim), (parameter, student)) = (self.cubes(), self.parameter());
        assign::launch(
            &self.latent.client,
            count,
            dim,
            self.latent.clone().into_buffer_arg(),
            self.centroids.clone().into_buffer_arg(),
            q.clone().into_buffer_arg(),
            self.width as u32,
            self.clusters as u32,
            parameter,
            student,
        );
        q
    }

    /// The gradients by latent representations and centroids.
    fn gradients(&self, q: CubeTensor, gradient: CubeTensor) -> [CubeTensor; 2] {
        let pulls = room(&self.latent, [self.cells, self.clusters]);
        let by_latent = room(&self.latent, [self.cells, self.width]);
        let ((count, dim), (parameter, student)) = (self.cubes(), self.parameter());
        pull::launch(
            &self.latent.client,
            count,
            dim,
            self.latent.clone().into_buffer_arg(),
            self.centroids.clone().into_buffer_arg(),
            q.into_buffer_arg(),
            gradient.into_buffer_arg(),
            pulls.clone().into_buffer_arg(),
            by_latent.clone().into_buffer_arg(),
            self.width as u32,
            self.clusters as u32,
            parameter,
            student,
        );
        let by_centroids = room(&self.latent, [self.clusters, self.width]);
        let (count, dim) = column_units(self.clusters * self.width);
        pull_centroids::launch(
            &self.latent.client,
            count,
            dim,
            self.latent.clone().into_buffer_arg(),
            self.centroids.clone().into_buffer_arg(),
            pulls.into_buffer_arg(),
            by_centroids.clone().into_buffer_arg(),
            self.cells as u32,
            self.width as u32,
        );
        [by_latent, by_centroids]
    }
}

/// Backward step of [`soft`]; keeps the assignment.
#[derive(Debug)]
struct SoftAssignment;

impl Backward<Cube, 2> for SoftAssignment {
    type State = (Inputs, CubeTensor);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (inputs, q) = ops.state;
        let gradient = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let gradients = inputs.gradients(q, in_rows(gradient));
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Cube>(parent.id, primitive(gradient));
            }
        }
    }
}

/// [`divergence`](super::divergence) by the kernel, or nothing where it does not apply.
pub(super) fn divergence(q: &Tensor<2>, p: &Tensor<2>, offset: f64) -> Option<Tensor<1>> {
    let [cells, clusters] = q.dims();
    if p.dims() != [cells, clusters] || cells * clusters == 0 || p.is_tracked() {
        return None;
    }
    let pass = Divergence {
        q: contiguous(q)?,
        p: contiguous(p)?,
        offset: offset as f32,
        cells,
        clusters,
    };
    let mean = primitive(pass.mean());
    record::<Cube, _, 1, 1>(DivergenceMean, [q], mean, || pass)
}

#[cube(launch)]
fn diverge(q: &[f32], p: &[f32], partial: &mut [f32], offset: f32, per_cube: u32) {
    let smallest = comptime!(SMALLEST as f32);
    let start = CUBE_POS * per_cube as usize;
    let end = min(start + per_cube as usize, q.len());
    let mut place = start + UNIT_POS as usize;
    let mut sum = 0.0f32;
    while place < end {
        let of_p = p[place];
        let of_q = q[place] + offset;
        let ln_p = ln(select(of_p < smallest, smallest, of_p));
        let ln_q = ln(select(of_q < smallest, smallest, of_q));
        // A q that is not a number does not hide behind the smallest one.
        sum += unless_nan(of_q, of_p * (ln_p - ln_q));
        place += comptime!(reduce::UNITS as usize);
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        partial[CUBE_POS] = sum;
    }
}

#[cube(launch)]
fn diverge_by(
    q: &[f32],
    p: &[f32],
    upstream: &[f32],
    gradient: &mut [f32],
    offset: f32,
    factor: f32,
) {
    let place = ABSOLUTE_POS;
    if place < q.len() {
        let of_q = q[place] + offset;
        let slope = -p[place] / of_q * factor * upstream[0];
        gradient[place] = select(of_q < comptime!(SMALLEST as f32), 0.0f32, slope);
    }
}

/// Soft assignments q and their target p, `[cells, clusters]`.
#[derive(Debug, Clone)]
struct Divergence {
    q: CubeTensor,
    p: CubeTensor,
    offset: f32,
    cells: usize,
    clusters: usize,
}

impl Divergence {
    fn mean(&self) -> CubeTensor {
        let entries = self.cells * self.clusters;
        let (count, dim, cubes) = summing(entries);
        let partial = room(&self.q, [cubes]);
        diverge::launch(
            &self.q.client,
            count,
            dim,
            self.q.clone().into_buffer_arg(),
            self.p.clone().into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            self.offset,
            entries.div_ceil(cubes) as u32,
        );
        finished(partial, 1.0 / self.cells as f32)
    }

    fn gradient(&self, upstream: CubeTensor) -> CubeTensor {
        let gradient = room(&self.q, [self.cells, self.clusters]);
        let (count, dim) = units(&self.q, self.cells * self.clusters);
        diverge_by::launch(
            &self.q.client,
            count,
            dim,
            self.q.clone().into_buffer_arg(),
            self.p.clone().into_buffer_arg(),
            upstream.into_buffer_arg(),
            gradient.clone().into_buffer_arg(),
            self.offset,
            1.0 / self.cells as f32,
        );
        gradient
    }
}

/// Backward step of [`divergence`].
#[derive(Debug)]
struct DivergenceMean;

impl Backward<Cube, 1> for DivergenceMean {
    type State = Divergence;

    fn backward(
        self,
        ops: Ops<Divergence, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let upstream = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let gradient = primitive(ops.state.gradient(upstream));
            grads.register::<Cube>(parent.id, gradient);
        }
    }
}
