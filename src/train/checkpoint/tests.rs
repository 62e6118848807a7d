use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use rand::RngExt;
use tempfile::TempDir;

use super::*;
use crate::counts::SimulationConfig;
use crate::optim::{OptimizerConfig, OptimizerState};
use crate::preprocess::Preprocess;
use crate::random::{Purpose, stream};

/// Parameters of two ranks, and one that no gradient reaches.
#[derive(Module, Debug)]
struct Network {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    untrained: Param<Tensor<1>>,
}

const SHAPE: [usize; 2] = [23, 9];

fn numbers(count: usize, index: u64) -> Vec<f64> {
    let mut rng = stream(3, Purpose::Weights, 1, index);
    (0..count).map(|_| rng.random::<f64>() - 0.5).collect()
}

fn tensor<const D: usize>(shape: [usize; D], index: u64, dtype: DType) -> Tensor<D> {
    let data = TensorData::new(numbers(shape.iter().product(), index), shape);
    let tensor: Tensor<D> = Tensor::from_data(data, (&Device::default(), DType::F64));
    tensor.cast(dtype)
}

fn network(dtype: DType, index: u64) -> Network {
    let device = Device::default().autodiff();
    let parameter = |length, index| {
        let tensor: Tensor<1> = tensor([length], index, dtype);
        Param::from_tensor(Tensor::from_inner(tensor).to_device(&device).require_grad())
    };
    let weight = Tensor::from_inner(tensor(SHAPE, index, dtype)).to_device(&device);
    Network {
        weight: Param::from_tensor(weight.require_grad()),
        bias: parameter(SHAPE[1], index + 1),
        untrained: parameter(5, index + 2),
    }
}

fn descend(
    mut network: Network,
    optimizer: &mut ModuleOptimizer,
    steps: std::ops::Range<u64>,
    dtype: DType,
) -> Network {
    for step in steps {
        let mut gradients = GradientsParams::new();
        gradients.register(network.weight.id, tensor(SHAPE, 100 + 2 * step, dtype));
        gradients.register(network.bias.id, tensor([SHAPE[1]], 101 + 2 * step, dtype));
        network = optimizer.step(0.01, network, gradients);
    }
    network
}

fn bits(network: &Network) -> Vec<u64> {
    let bits = |data: TensorData| {
        let values = data.as_slice::<f64>().expect("f64").to_vec();
        values.into_iter().map(f64::to_bits).collect::<Vec<u64>>()
    };
    [
        bits(network.weight.val().inner().into_data_as::<f64>()),
        bits(network.bias.val().inner().into_data_as::<f64>()),
        bits(network.untrained.val().inner().into_data_as::<f64>()),
    ]
    .concat()
}

fn cells() -> Cells {
    let simulation = SimulationConfig::new(12, 8).with_seed(1).simulate();
    let counts = simulation.expect("valid settings").counts;
    Preprocess::scdcc().fit(&counts).expect("valid counts")
}

fn step(cells: &Cells) -> Step<'_, &'static str> {
    Step {
        name: "a step".into(),
        cells,
        settings: "some settings",
    }
}

fn optimizers() -> impl Strategy<Value = OptimizerConfig> {
    prop_oneof![
        Just(OptimizerConfig::amsgrad()),
        Just(OptimizerConfig::adam()),
        Just(OptimizerConfig::adadelta(0.95)),
        Just(OptimizerConfig::sgd(0.9)),
        Just(OptimizerConfig::sgd(0.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// n steps, a file, m steps equal n + m steps bit by bit: in place (`f32` on the CPU) and
    /// composed of tensor operations (`f64`).
    #[test]
    fn steps_continue_where_a_file_left_them(
        config in optimizers(),
        in_place: bool,
        before in 0u64..6,
        after in 1u64..6,
    ) {
        let dtype = if in_place { DType::F32 } else { DType::F64 };
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("checkpoint");
        let cells = cells();
        let start = network(dtype, 0);

        let mut optimizer = config.init();
        let trained = descend(start.clone(), &mut optimizer, 0..before, dtype);
        let mut writer = Checkpoints::new(CheckpointConfig::new(&path));
        prop_assert!(writer.resume::<u64>(&step(&cells), 1, &start).expect("nothing yet").is_none());
        let snapshot = Snapshot::new(&before)
            .and_then(|snapshot| snapshot.with_weights(&trained))
            .expect("a snapshot")
            .with_optimizer(OptimizerState::of(&optimizer, &trained).expect("a state"));
        writer.write(Some(snapshot)).expect("a file");
        let undisturbed = descend(trained, &mut optimizer, before..before + after, dtype);

        // Another process begins with the same values under other identifiers.
        let mut reader = Checkpoints::new(CheckpointConfig::new(&path));
        let begun = network(dtype, 0);
        let saved = reader.resume::<u64>(&step(&cells), 1, &begun).expect("its own checkpoint");
        let saved = saved.expect("a saved step");
        prop_assert!(!saved.is_finished());
        prop_assert_eq!(*saved.progress(), before);
        let resumed = saved.weights(begun).expect("weights");
        let mut optimizer = saved.optimizer(config.init(), &resumed).expect("a state");
        let continued = descend(resumed, &mut optimizer, before..before + after, dtype);
        prop_assert_eq!(bits(&continued), bits(&undisturbed));
        prop_assert_ne!(bits(&continued), bits(&start));
    }
}

/// Weights that the network does not have, or that have another shape.
#[test]
fn weights_that_do_not_fit_are_refused() {
    #[derive(Module, Debug)]
    struct Other {
        weight: Param<Tensor<2>>,
    }
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("checkpoint");
    let cells = cells();
    let trained = network(DType::F32, 0);
    let mut writer = Checkpoints::new(CheckpointConfig::new(&path));
    let none = writer.resume::<u64>(&step(&cells), 1, &trained);
    assert!(none.expect("nothing yet").is_none());
    let snapshot = Snapshot::new(&0u64).and_then(|snapshot| snapshot.with_weights(&trained));
    writer
        .write(Some(snapshot.expect("a snapshot")))
        .expect("a file");

    let mut reader = Checkpoints::new(CheckpointConfig::new(&path));
    let saved = reader.resume::<u64>(&step(&cells), 1, &trained);
    let saved = saved.expect("its own checkpoint").expect("a saved step");
    let refused = |result: Result<()>, what: &str| {
        let error = result.expect_err("another network");
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    let other = |columns| Other {
        weight: Param::from_tensor(Tensor::zeros([SHAPE[0], columns], &Device::default())),
    };
    refused(saved.weights(other(SHAPE[1])).map(drop), "bias");
    refused(saved.weights(other(3)).map(drop), "weight");
    refused(saved.matrix("target", [None, None]).map(drop), "no target");
    refused(saved.indices("labels", 1, 1).map(drop), "no labels");
}

/// Matrices and positions come back as they were, and only where they fit.
#[test]
fn matrices_and_positions_are_checked() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("checkpoint");
    let cells = cells();
    let start = network(DType::F32, 0);
    let matrix = ndarray::array![[1.0, f32::MIN], [1e-45, -0.0], [3.0, 4.0]];
    let mut writer = Checkpoints::new(CheckpointConfig::new(&path));
    let none = writer.resume::<()>(&step(&cells), 1, &start);
    assert!(none.expect("nothing yet").is_none());
    let snapshot = Snapshot::new(&()).expect("a snapshot");
    writer.finish(
        snapshot
            .with_matrix("target", matrix.t())
            .with_indices("labels", &[2, 0, 1]),
    );
    writer.write(None).expect("a file");

    let mut reader = Checkpoints::new(CheckpointConfig::new(&path));
    let saved = reader.resume::<()>(&step(&cells), 1, &start);
    let saved = saved.expect("its own checkpoint").expect("a saved step");
    assert!(saved.is_finished());
    let found = saved
        .matrix("target", [Some(2), Some(3)])
        .expect("a matrix");
    assert_eq!(found.mapv(f32::to_bits), matrix.t().mapv(f32::to_bits));
    assert_eq!(saved.indices("labels", 3, 3).expect("labels"), [2, 0, 1]);
    for dimensions in [[Some(3), None], [None, Some(2)]] {
        assert!(saved.matrix("target", dimensions).is_err());
    }
    for (count, limit) in [(2, 3), (3, 2)] {
        assert!(saved.indices("labels", count, limit).is_err());
    }
    assert!(
        saved.indices("target", 6, 9).is_err(),
        "a matrix of numbers"
    );
    assert!(saved.matrix("labels", [None, None]).is_err(), "positions");
}

/// A value that cannot be is a fault of the file, not of what is computed from it.
#[test]
fn values_that_are_no_numbers_are_faults_of_the_checkpoint() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("checkpoint");
    let cells = cells();
    let sound = network(DType::F32, 0);
    let mut unsound = network(DType::F32, 0);
    let device = unsound.bias.val().device();
    let bias = Tensor::<1>::from_data([1.0, f32::NAN, 2.0], &device);
    unsound.bias = Param::from_tensor(bias);

    let mut writer = Checkpoints::new(CheckpointConfig::new(&path));
    let none = writer.resume::<()>(&step(&cells), 1, &sound);
    assert!(none.expect("nothing yet").is_none());
    let snapshot = Snapshot::new(&())
        .and_then(|snapshot| snapshot.with_weights(&unsound))
        .expect("a snapshot");
    let matrix = ndarray::array![[1.0, 2.0], [f32::INFINITY, 3.0]];
    writer.finish(snapshot.with_matrix("centroids", matrix.view()));
    writer.write(None).expect("a file");

    let mut reader = Checkpoints::new(CheckpointConfig::new(&path));
    let saved = reader.resume::<()>(&step(&cells), 1, &sound);
    let saved = saved.expect("its own checkpoint").expect("a saved step");
    for (error, place) in [
        (saved.weights(sound).map(drop), "value 1 of weights.bias"),
        (
            saved.matrix("centroids", [None, None]).map(drop),
            "value 2 of centroids",
        ),
    ] {
        let error = error.expect_err("no number");
        assert!(
            matches!(&error, Error::Checkpoint { path: found, .. } if *found == path),
            "{error}"
        );
        assert!(error.to_string().contains(place), "{error}");
    }
}
