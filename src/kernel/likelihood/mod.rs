//! Negative log-likelihoods of counts under the (zero-inflated) negative binomial.
//!
//! The inputs are the *logits* of the decoder's heads, so that nothing is exponentiated before it
//! has to be. With size factor s of the cell,
//!
//! - ln μ = clamp(mean logit, ln [`MEAN_MIN`], ln [`MEAN_MAX`]) + ln s,
//! - θ = clamp(softplus(dispersion logit), [`DISPERSION_MIN`], [`DISPERSION_MAX`]),
//! - π = sigmoid(dropout logit),
//!
//! the negative binomial (Eraslan et al., *Nat. Commun.* 2019, eq. 2; Tian et al., *Nat. Mach.
//! Intell.* 2019, eq. 3) is
//!
//! −ln NB(x) = ln Γ(θ) + ln Γ(x + 1) − ln Γ(x + θ) + (θ + x) ln(1 + μ/θ) + x (ln θ − ln μ)
//!
//! and the zero-inflated one
//!
//! −ln ZINB(x) = −ln(π + (1 − π) (θ / (θ + μ))^θ) for x = 0, −ln NB(x) − ln(1 − π) for x > 0.
//!
//! The published implementations add 10⁻¹⁰ inside every logarithm and division; the forms used
//! here need none of that and stay finite for logits of ±100, counts to 10⁷ and both bounds of
//! the dispersion. As with `torch.clamp`, a logit beyond a clamp has gradient zero, one at the
//! bound passes it on. A NaN logit gives a NaN value, so divergence cannot hide.
//!
//! # Three implementations
//!
//! The tensor functions without `_mean` are composed of tensor operations and run on every
//! backend. The `_mean` functions take one fused pass over the entries on the default CPU backend
//! (cargo feature `flex`) in `f32`: value and gradient together, zero counts in vectorised `f32`
//! arithmetic, the others in `f64`, rows in parallel. The sums are formed in fixed blocks of
//! cells, so the result does not depend on the number of threads. On GPUs (`wgpu`, `cuda`) they are
//! kernels in `f32`, one for the value and one for the gradients. Elsewhere `_mean` is the mean of the
//! composed form.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use celldec::kernel::likelihood::zinb_negative_log_likelihood_mean;
//!
//! let device = Device::default();
//! let trained = device.clone().autodiff();
//! let counts = Tensor::<2>::from_floats([[0.0, 3.0], [1.0, 0.0]], &device);
//! let size_factors = Tensor::<1>::from_floats([0.8, 1.2], &device);
//! let mean = Tensor::<2>::zeros([2, 2], &trained).require_grad();
//! let dispersion = Tensor::<2>::zeros([2, 2], &trained);
//! let dropout = Tensor::<2>::zeros([2, 2], &trained);
//!
//! let loss =
//!     zinb_negative_log_likelihood_mean(counts, size_factors, mean.clone(), dispersion, dropout);
//! let gradients = loss.backward();
//! assert_eq!(mean.grad(&gradients).unwrap().dims(), [2, 2]);
//! ```

mod composed;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "flex")]
mod entry;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod fused;
mod point;

pub use point::{nb_nll_point, zinb_nll_point};

use burn::tensor::Tensor;

/// Smallest mean, before multiplication by the size factor.
pub const MEAN_MIN: f64 = 1e-5;
/// Largest mean, before multiplication by the size factor.
pub const MEAN_MAX: f64 = 1e6;
/// Smallest dispersion θ.
pub const DISPERSION_MIN: f64 = 1e-4;
/// Largest dispersion θ.
pub const DISPERSION_MAX: f64 = 1e4;

/// Below this dispersion, its derivative at a positive count is formed relative to a count of one.
const SMALL_THETA: f64 = 100.0;

/// The clamp of the mean logit.
fn ln_mean_bounds() -> (f64, f64) {
    (MEAN_MIN.ln(), MEAN_MAX.ln())
}

/// Negative log-likelihood of every entry under the zero-inflated negative binomial,
/// `[cells, genes]`, without reduction.
///
/// - `counts`: raw counts, zero or positive, `[cells, genes]`
/// - `size_factors`: positive, `[cells]`
/// - `mean_logits`, `dropout_logits`: `[cells, genes]`
/// - `dispersion_logits`: `[cells, genes]`, or `[1, genes]` for one dispersion a gene
///
/// Composed of tensor operations: any backend, differentiable in the logits and the size factors.
/// See the [module](self) for the equations.
///
/// # Panics
///
/// When the shapes do not fit together, as every tensor operation.
pub fn zinb_negative_log_likelihood(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
    dropout_logits: Tensor<2>,
) -> Tensor<2> {
    composed::negative_log_likelihood(
        counts,
        size_factors,
        mean_logits,
        dispersion_logits,
        Some(dropout_logits),
    )
}

/// Negative log-likelihood of every entry under the negative binomial, `[cells, genes]`, without
/// reduction.
///
/// As [`zinb_negative_log_likelihood`], without dropout.
///
/// # Panics
///
/// When the shapes do not fit together, as every tensor operation.
pub fn nb_negative_log_likelihood(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
) -> Tensor<2> {
    composed::negative_log_likelihood(counts, size_factors, mean_logits, dispersion_logits, None)
}

/// The mean of [`zinb_negative_log_likelihood`] over all entries, `[1]`; fused where possible
/// (see the [module](self)).
///
/// The fused pass is taken when counts and size factors are constants; a size factor that is
/// itself differentiated goes the composed way.
///
/// # Panics
///
/// When the shapes do not fit together, as every tensor operation.
pub fn zinb_negative_log_likelihood_mean(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
    dropout_logits: Tensor<2>,
) -> Tensor<1> {
    mean(
        counts,
        size_factors,
        mean_logits,
        dispersion_logits,
        Some(dropout_logits),
    )
}

/// The mean of [`nb_negative_log_likelihood`] over all entries, `[1]`; fused where possible (see
/// the [module](self)).
///
/// # Panics
///
/// When the shapes do not fit together, as every tensor operation.
pub fn nb_negative_log_likelihood_mean(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
) -> Tensor<1> {
    mean(counts, size_factors, mean_logits, dispersion_logits, None)
}

/// The sizes of inputs that one pass can take.
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
#[derive(Debug, Clone, Copy)]
struct Sizes {
    cells: usize,
    genes: usize,
    /// Whether all cells share the dispersion of a gene.
    #[cfg_attr(
        not(any(feature = "wgpu", feature = "cuda")),
        allow(dead_code, reason = "only the kernel for GPUs asks")
    )]
    by_gene: bool,
}

/// The sizes, or nothing where a pass of its own does not apply: counts or size factors that are
/// differentiated, shapes that only broadcasting would unite.
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
fn sizes(
    counts: &Tensor<2>,
    size_factors: &Tensor<1>,
    mean_logits: &Tensor<2>,
    dispersion_logits: &Tensor<2>,
    dropout_logits: Option<&Tensor<2>>,
) -> Option<Sizes> {
    let [cells, genes] = counts.dims();
    let by_gene = cells != 1 && dispersion_logits.dims() == [1, genes];
    let fits = cells * genes > 0
        && size_factors.dims() == [cells]
        && mean_logits.dims() == [cells, genes]
        && (by_gene || dispersion_logits.dims() == [cells, genes])
        && dropout_logits.is_none_or(|logits| logits.dims() == [cells, genes]);
    let constant = !counts.is_tracked() && !size_factors.is_tracked();
    (fits && constant).then_some(Sizes {
        cells,
        genes,
        by_gene,
    })
}

fn mean(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
    dropout_logits: Option<Tensor<2>>,
) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if let Some(mean) = flex::mean(
        &counts,
        &size_factors,
        &mean_logits,
        &dispersion_logits,
        dropout_logits.as_ref(),
    ) {
        return mean;
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(mean) = cube::mean(
        &counts,
        &size_factors,
        &mean_logits,
        &dispersion_logits,
        dropout_logits.as_ref(),
    ) {
        return mean;
    }
    composed::negative_log_likelihood(
        counts,
        size_factors,
        mean_logits,
        dispersion_logits,
        dropout_logits,
    )
    .mean()
}
