//! Operations with a backward step of their own: what the fast paths of all backends share.

use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::{
    Autodiff, Backend, DispatchKindConversion, DispatchTensor, GradientCheckpointingStrategy,
};
use burn::tensor::Tensor;

/// A backend whose tensors can be put into the graph of automatic differentiation, whatever the
/// graph keeps.
pub(super) trait Differentiable: Backend + Sized {
    /// [`node`] in a graph of one strategy.
    fn node_of<const D: usize>(
        tensor: &Tensor<D>,
        strategy: GradientCheckpointingStrategy,
    ) -> Option<NodeGuard>;

    /// An output in the graph of its nodes.
    fn recorded<S: Backward<Self, N>, const N: usize, const D: usize>(
        strategy: GradientCheckpointingStrategy,
        step: S,
        nodes: [NodeGuard; N],
        output: Self::FloatTensorPrimitive,
        state: impl FnOnce() -> S::State,
    ) -> Tensor<D>;

    /// A tensor outside the graph.
    fn constant<const D: usize>(output: Self::FloatTensorPrimitive) -> Tensor<D>;
}

impl<B: Backend> Differentiable for B
where
    DispatchTensor: DispatchKindConversion<B>
        + DispatchKindConversion<Autodiff<B, NoCheckpointing>>
        + DispatchKindConversion<Autodiff<B, BalancedCheckpointing>>,
{
    fn node_of<const D: usize>(
        tensor: &Tensor<D>,
        strategy: GradientCheckpointingStrategy,
    ) -> Option<NodeGuard> {
        let tensor = if tensor.is_autodiff() {
            tensor.clone()
        } else {
            tensor
                .clone()
                .autodiff()
                .with_gradient_checkpointing_strategy(strategy)
        };
        match strategy {
            GradientCheckpointingStrategy::Disabled => node::<B, NoCheckpointing, D>(tensor),
            GradientCheckpointingStrategy::Balanced => node::<B, BalancedCheckpointing, D>(tensor),
        }
    }

    fn recorded<S: Backward<B, N>, const N: usize, const D: usize>(
        strategy: GradientCheckpointingStrategy,
        step: S,
        nodes: [NodeGuard; N],
        output: B::FloatTensorPrimitive,
        state: impl FnOnce() -> S::State,
    ) -> Tensor<D> {
        match strategy {
            GradientCheckpointingStrategy::Disabled => {
                record_with::<B, NoCheckpointing, S, N, D>(step, nodes, output, state)
            }
            GradientCheckpointingStrategy::Balanced => {
                record_with::<B, BalancedCheckpointing, S, N, D>(step, nodes, output, state)
            }
        }
    }

    fn constant<const D: usize>(output: B::FloatTensorPrimitive) -> Tensor<D> {
        Tensor::from_primitive::<B>(output)
    }
}

/// What an operation is differentiated by: a tensor of any rank.
pub(super) trait Parent<B> {
    /// What the graph of the tensor keeps, if it is in one.
    fn strategy(&self) -> Option<GradientCheckpointingStrategy>;

    /// The node of the tensor in the graph; a constant joins the graph as an untracked leaf.
    fn node(&self, strategy: GradientCheckpointingStrategy) -> Option<NodeGuard>;
}

impl<B: Differentiable, const D: usize> Parent<B> for Tensor<D> {
    fn strategy(&self) -> Option<GradientCheckpointingStrategy> {
        self.gradient_checkpointing_strategy()
    }

    fn node(&self, strategy: GradientCheckpointingStrategy) -> Option<NodeGuard> {
        B::node_of(self, strategy)
    }
}

/// Puts `output` into the graph of its parents, to be differentiated by `step`; outside any graph
/// if none of them is in one. `state` is what the step keeps, made only if one of them is tracked.
///
/// Nothing where the parents are in graphs of different kinds.
pub(super) fn record<B, S, const N: usize, const D: usize>(
    step: S,
    parents: [&dyn Parent<B>; N],
    output: B::FloatTensorPrimitive,
    state: impl FnOnce() -> S::State,
) -> Option<Tensor<D>>
where
    B: Differentiable,
    S: Backward<B, N>,
{
    let Some(strategy) = parents.iter().find_map(|parent| parent.strategy()) else {
        return Some(B::constant(output));
    };
    let nodes: Option<Vec<NodeGuard>> =
        parents.iter().map(|parent| parent.node(strategy)).collect();
    let nodes = <[NodeGuard; N]>::try_from(nodes?).ok()?;
    Some(B::recorded(strategy, step, nodes, output, state))
}

fn node<B: Backend, C: CheckpointStrategy, const D: usize>(tensor: Tensor<D>) -> Option<NodeGuard>
where
    DispatchTensor: DispatchKindConversion<Autodiff<B, C>>,
{
    let primitive = tensor.try_into_primitive::<Autodiff<B, C>>().ok()?;
    Some(primitive.node())
}

fn record_with<B, C, S, const N: usize, const D: usize>(
    step: S,
    nodes: [NodeGuard; N],
    output: B::FloatTensorPrimitive,
    state: impl FnOnce() -> S::State,
) -> Tensor<D>
where
    B: Backend,
    C: CheckpointStrategy,
    S: Backward<B, N>,
    DispatchTensor: DispatchKindConversion<Autodiff<B, C>>,
{
    let output = match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state(), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive::<Autodiff<B, C>>(output)
}
