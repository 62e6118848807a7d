use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::RngExt;

use super::{Descent, OptimizerConfig, OptimizerState};
use crate::random::{Purpose, stream};

const SHAPE: [usize; 2] = [300, 151];
const STEPS: u64 = 100;

#[derive(Module, Debug)]
struct Weights {
    values: Param<Tensor<2>>,
}

/// Numbers of the size that the weights of a layer with 64 inputs start with.
fn numbers(index: u64) -> Vec<f64> {
    let mut rng = stream(5, Purpose::Weights, 0, index);
    (0..SHAPE[0] * SHAPE[1])
        .map(|_| (rng.random::<f64>() * 2.0 - 1.0) / 8.0)
        .collect()
}

fn tensor(values: &[f64], dtype: DType, device: &Device) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), SHAPE);
    let tensor: Tensor<2> = Tensor::from_data(data, (device, DType::F64));
    tensor.cast(dtype)
}

/// Weights after steps with gradients that vary from step to step and from weight to weight,
/// some of them zero.
fn descend(
    mut optimizer: ModuleOptimizer,
    steps: std::ops::Range<u64>,
    start: Option<Weights>,
    learning_rate: f64,
    dtype: DType,
) -> (Weights, ModuleOptimizer) {
    let device = Device::default().autodiff();
    let mut weights = start.unwrap_or_else(|| Weights {
        values: Param::from_tensor(tensor(&numbers(0), dtype, &device).require_grad()),
    });
    for step in steps {
        let mut gradient = numbers(1 + step % 7);
        for (index, value) in gradient.iter_mut().enumerate() {
            *value *= 10f64.powi((index % 9) as i32 - 8);
            if index % 31 == 0 {
                *value = 0.0;
            }
        }
        let mut gradients = GradientsParams::new();
        let inner = device.clone().inner();
        gradients.register(weights.values.id, tensor(&gradient, dtype, &inner));
        weights = optimizer.step(learning_rate, weights, gradients);
    }
    (weights, optimizer)
}

fn values(weights: &Weights) -> Vec<f64> {
    let data = weights.values.val().inner().into_data_as::<f64>();
    data.as_slice::<f64>().expect("f64").to_vec()
}

fn largest_difference(a: &Weights, b: &Weights) -> f64 {
    values(a)
        .iter()
        .zip(values(b))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

fn all() -> [(OptimizerConfig, f64); 5] {
    [
        (OptimizerConfig::amsgrad(), 1e-3),
        (OptimizerConfig::adam(), 1e-3),
        (OptimizerConfig::adadelta(0.95), 1.0),
        (OptimizerConfig::sgd(0.9), 1e-2),
        (OptimizerConfig::sgd(0.0), 1e-2),
    ]
}

/// `f32` on the CPU takes the pass in place, `f64` the composed one.
#[test]
fn in_place_equals_the_composed_twin_over_100_steps() {
    for (config, learning_rate) in all() {
        let (fast, _) = descend(config.init(), 0..STEPS, None, learning_rate, DType::F32);
        let (plain, _) = descend(config.init(), 0..STEPS, None, learning_rate, DType::F64);
        let difference = largest_difference(&fast, &plain);
        assert!(difference <= 1e-6, "{config:?}: {difference}");
        assert_ne!(values(&fast), numbers(0), "{config:?} moved nothing");
    }
}

#[test]
fn adam_equals_burn_over_100_steps() {
    for amsgrad in [false, true] {
        let burn = AdamConfig::new()
            .with_epsilon(1e-8)
            .with_amsgrad(amsgrad)
            .init();
        let ours = OptimizerConfig::from(Descent::Adam { amsgrad }).init();
        let (burn, _) = descend(burn, 0..STEPS, None, 1e-3, DType::F32);
        let (ours, _) = descend(ours, 0..STEPS, None, 1e-3, DType::F32);
        let difference = largest_difference(&burn, &ours);
        assert!(difference <= 1e-6, "amsgrad {amsgrad}: {difference}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool");
        pool.install(|| {
            all().map(|(config, rate)| {
                values(&descend(config.init(), 0..5, None, rate, DType::F32).0)
            })
        })
    };
    assert_eq!(run(1), run(3));
}

/// The same weights as another process has them: under other identifiers.
fn in_another_process(weights: &Weights) -> Weights {
    let tensor = weights.values.val().inner();
    let device = Device::default().autodiff();
    let data = tensor.to_data();
    let dtype = data.dtype();
    Weights {
        values: Param::from_tensor(Tensor::from_data(data, (&device, dtype)).require_grad()),
    }
}

#[test]
fn a_saved_state_continues_as_if_never_saved() {
    for (config, learning_rate) in all() {
        for dtype in [DType::F32, DType::F64] {
            let (undisturbed, _) = descend(config.init(), 0..20, None, learning_rate, dtype);
            let (half, optimizer) = descend(config.init(), 0..10, None, learning_rate, dtype);
            let state = OptimizerState::of(&optimizer, &half).expect("a state");
            let half = in_another_process(&half);
            let restored = state.restore(config.init(), &half).expect("the same state");
            let (continued, _) = descend(restored, 10..20, Some(half), learning_rate, dtype);
            let case = format!("{config:?} {dtype:?}");
            assert_eq!(values(&undisturbed), values(&continued), "{case}");
        }
    }
}

#[test]
fn a_state_of_something_else_is_refused() {
    let config = OptimizerConfig::amsgrad();
    let (weights, optimizer) = descend(config.init(), 0..2, None, 1e-3, DType::F32);
    let state = || OptimizerState::of(&optimizer, &weights).expect("a state");
    assert_eq!(state().tensors.len(), 3);
    assert_eq!(state().counters["values.time"], 2);
    let refused = |state: OptimizerState, config: &OptimizerConfig| {
        let restored = state.restore(config.init(), &weights);
        restored.err().expect("not a state of this optimizer")
    };

    let mut renamed = state();
    let moment = renamed
        .tensors
        .remove("values.first_moment")
        .expect("a moment");
    renamed.tensors.insert("biases.first_moment".into(), moment);
    assert!(refused(renamed, &config).contains("no parameter: biases.first_moment"));
    let mut reshaped = state();
    let moment = TensorData::new(vec![0f32; 6], [2, 3]);
    reshaped
        .tensors
        .insert("values.first_moment".into(), moment);
    assert!(refused(reshaped, &config).contains("first_moment is F32"));
    for (field, counters) in [("first_moment", 1), ("second_moment", 1), ("time", 0)] {
        let mut incomplete = state();
        incomplete.tensors.remove(&format!("values.{field}"));
        incomplete.counters.retain(|_, _| counters == 1);
        let reason = refused(incomplete, &config);
        assert!(
            reason.contains("not that of this optimizer"),
            "{field}: {reason}"
        );
    }
    let reason = refused(state(), &OptimizerConfig::sgd(0.9));
    assert!(reason.contains("not that of this optimizer"), "{reason}");
}
