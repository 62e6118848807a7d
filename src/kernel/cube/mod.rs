//! What the kernels for GPUs share: tensors of CubeCL's backend, from which one source makes
//! programs for Vulkan, Metal, DirectX 12 and CUDA.
//!
//! A kernel applies to `f32` tensors of that backend as it is without burn's feature `fusion`.
//! Where another crate switches that on, everything is composed of tensor operations.

pub(super) mod finite;
pub(super) mod functions;
pub(crate) mod halves;
pub(super) mod product;
pub(super) mod reduce;
pub(crate) mod rows;

use std::any::{Any, TypeId};

use burn::backend::{BackendTypes, Cube, DispatchDevice};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{CubeCount, calculate_cube_count_elemwise};
pub(crate) use burn_cubecl::tensor::CubeTensor;

/// The tensors of the backend as burn's graphs hold them.
pub(super) type Primitive = <Cube as BackendTypes>::FloatTensorPrimitive;

/// Whether the device is a GPU's, inside or outside automatic differentiation.
pub(crate) fn is_cube(device: &burn::tensor::Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Cube(_)
    )
}

/// Whether there is a card behind the device, and not a program on the CPU.
pub(super) fn is_gpu(device: &burn::tensor::Device) -> bool {
    let identity = device.identity();
    identity.is_some_and(|identity| identity.physical.is_some())
}

/// Whether kernels apply at all: whether the backend's tensors are what they work on.
pub(super) fn applies() -> bool {
    TypeId::of::<Primitive>() == TypeId::of::<CubeTensor>()
}

/// A tensor in row-major order, inside or outside automatic differentiation; nothing for tensors
/// of other backends or types.
pub(super) fn contiguous<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    if tensor.dtype() != DType::F32 || !is_cube(&tensor.device()) {
        return None;
    }
    let tensor = tensor.clone().inner().try_into_primitive::<Cube>().ok()?;
    Some(in_rows(unfused(tensor)?))
}

/// The tensor in row-major order.
pub(super) fn in_rows(tensor: CubeTensor) -> CubeTensor {
    burn_cubecl::kernel::into_contiguous(tensor)
}

/// The kernels' view of a tensor, unless its operations are fused.
pub(super) fn unfused(tensor: Primitive) -> Option<CubeTensor> {
    let tensor: Box<dyn Any> = Box::new(tensor);
    tensor.downcast::<CubeTensor>().ok().map(|tensor| *tensor)
}

/// The graph's view of a tensor.
///
/// # Panics
/// With burn's feature `fusion`, where [`unfused`] is nothing and no kernel has made a tensor.
pub(super) fn primitive(tensor: CubeTensor) -> Primitive {
    let tensor: Box<dyn Any> = Box::new(tensor);
    *tensor
        .downcast::<Primitive>()
        .expect("kernels run on unfused tensors only")
}

/// Room for an `f32` tensor on the device of another one.
pub(crate) fn room<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    burn_cubecl::ops::numeric::empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        Shape::from(shape),
        DType::F32,
    )
}

/// Enough units for `count` independent elements.
pub(super) fn units(like: &CubeTensor, count: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&like.client, count);
    (calculate_cube_count_elemwise(&like.client, count, dim), dim)
}

/// Cubes of [`reduce::COLUMNS`] × [`reduce::ROWS`] units that share `columns` columns.
pub(super) fn column_units(columns: usize) -> (CubeCount, CubeDim) {
    (
        CubeCount::Static(columns.div_ceil(reduce::COLUMNS as usize) as u32, 1, 1),
        CubeDim::new_2d(reduce::COLUMNS, reduce::ROWS),
    )
}
