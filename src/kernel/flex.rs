//! What the fast paths of the CPU backend `flex` share: access to a tensor's memory.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// The contiguous memory of an `f32` tensor on `flex`, inside or outside automatic
/// differentiation; nothing for other tensors.
pub(super) fn storage<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if !is_flex(&tensor.device()) || tensor.dtype() != DType::F32 {
        return None;
    }
    let tensor = tensor.clone().inner().try_into_primitive::<Flex>().ok()?;
    Some(contiguous(tensor))
}

/// Whether the device is that of `flex`, inside or outside automatic differentiation.
pub(super) fn is_flex(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Flex(_)
    )
}

/// The tensor in row-major order, in memory that holds nothing else: rows of a larger tensor share
/// that tensor's memory, which is too long.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// A tensor that takes over `values`.
pub(super) fn from_values<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The gradient of a scalar `[1]` times the gradient that arrives from above.
pub(super) fn times_upstream(gradient: FlexTensor, upstream: &FlexTensor) -> FlexTensor {
    // A loss that is not weighted, the usual case, has the factor one.
    if upstream.as_slice::<f32>() == Some(&[1.0]) {
        return gradient;
    }
    Flex::float_mul(
        gradient,
        Flex::float_reshape(upstream.clone(), [1, 1].into()),
    )
}
