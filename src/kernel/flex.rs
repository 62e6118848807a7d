//! What the fast paths of the CPU backend `flex` share: access to a tensor's memory, and operations
//! with a backward step of their own.

use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    Autodiff, DispatchDevice, DispatchKindConversion, DispatchTensor, Flex,
    GradientCheckpointingStrategy,
};
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

/// A checkpointing strategy of automatic differentiation and its run-time name.
pub(super) trait Strategy: CheckpointStrategy {
    const VALUE: GradientCheckpointingStrategy;
}

impl Strategy for NoCheckpointing {
    const VALUE: GradientCheckpointingStrategy = GradientCheckpointingStrategy::Disabled;
}

impl Strategy for BalancedCheckpointing {
    const VALUE: GradientCheckpointingStrategy = GradientCheckpointingStrategy::Balanced;
}

/// The node of a tensor in the graph; a constant joins the graph as an untracked leaf.
pub(super) fn node<C: Strategy, const D: usize>(tensor: &Tensor<D>) -> Option<NodeGuard>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let tensor = match tensor.is_autodiff() {
        true => tensor.clone(),
        false => tensor
            .clone()
            .autodiff()
            .with_gradient_checkpointing_strategy(C::VALUE),
    };
    let primitive = tensor.try_into_primitive::<Autodiff<Flex, C>>().ok()?;
    Some(primitive.node())
}

/// Puts `output` into the graph of `nodes`, to be differentiated by `step`; `state` is what the
/// step keeps, made only if one of the nodes is tracked.
pub(super) fn record<C, S, const N: usize, const D: usize>(
    step: S,
    nodes: [NodeGuard; N],
    output: FlexTensor,
    state: impl FnOnce() -> S::State,
) -> Tensor<D>
where
    C: Strategy,
    S: Backward<Flex, N>,
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let output = match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state(), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex, C>>(output)
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
