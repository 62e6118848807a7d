//! The mean squared error of a reconstruction.
//!
//! On the CPU backend `flex`, value and gradient come from one pass, on GPUs from a kernel each;
//! elsewhere they are composed of tensor operations.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::Tensor;

/// Mean over all entries of (reconstruction − target)², `[1]`; both are `[cells, genes]`.
pub(crate) fn mean(reconstruction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if let Some(mean) = flex::mean(&reconstruction, &target) {
        return mean;
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(mean) = cube::mean(&reconstruction, &target) {
        return mean;
    }
    (reconstruction - target).square().mean()
}
