//! Soft assignment, target, KL divergence and constraint losses with their gradients by embedding
//! and centroids, against the original's formulas in f64 and f32, and against finite differences.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use celldec::loss::{ClusteringLoss, KlDivergence, SharpenedTarget};
use celldec::nn::{ClusteringLayer, SimilarityKernel};
use celldec::pairs::{CannotLinkLoss, ConstraintLoss, MustLinkLoss};
use celldec::random::{Purpose, stream};
use proptest::prelude::*;
use rand::RngExt;

use crate::fixtures::Fixture;
use crate::tensors::{absolute, autodiff, check, number, numbers, relative_to_largest, tensor};

/// The required agreement: absolute for values, relative to the largest entry for gradients.
const BOUND: f64 = 1e-5;

/// What a loss is computed from and by: the loss of (z, centroids), and its two gradients.
struct Outcome {
    value: f64,
    by_z: Vec<f64>,
    by_centroids: Vec<f64>,
}

fn layer(centroids: Tensor<2>, kernel: &SimilarityKernel) -> ClusteringLayer {
    ClusteringLayer {
        centroids: Param::from_tensor(centroids),
        kernel: kernel.clone(),
    }
}

/// The loss of soft assignments `[cells, clusters]`, with its gradients.
fn outcome(
    z: Tensor<2>,
    centroids: Tensor<2>,
    kernel: &SimilarityKernel,
    loss: impl Fn(Tensor<2>) -> Tensor<1>,
) -> Outcome {
    let z = z.require_grad();
    let layer = layer(centroids, kernel);
    let value = loss(layer.forward(z.clone()));
    let gradients = value.backward();
    let by_centroids = layer.centroids.val().grad(&gradients);
    Outcome {
        value: number(value.inner()),
        by_z: numbers(z.grad(&gradients).expect("a gradient by z")),
        by_centroids: numbers(by_centroids.expect("a gradient by the centroids")),
    }
}

fn rows(q: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let rows = Tensor::from_data(TensorData::from(rows.as_slice()), &q.device());
    q.clone().select(0, rows)
}

struct Case {
    fixture: Fixture,
    kernel: SimilarityKernel,
    name: &'static str,
    dtype: DType,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (name, alpha) in [("alpha1", 1.0), ("alpha2", 2.0)] {
            for dtype in [DType::F32, DType::F64] {
                cases.push(Self {
                    fixture: Fixture::open("c_soft_assign"),
                    kernel: SimilarityKernel::StudentT { alpha },
                    name,
                    dtype,
                });
            }
        }
        cases
    }

    fn input(&self, key: &str) -> Tensor<2> {
        tensor(&self.fixture, key, &autodiff(), self.dtype)
    }

    /// Our numbers of either type against the reference's of either type.
    fn compare(&self, what: &str, bound: f64, error: impl Fn(&str) -> f64) {
        for reference in ["f64", "f32"] {
            let title = format!("{} {what}, {:?} against {reference}", self.name, self.dtype);
            check(&title, error(reference), bound);
        }
    }

    fn compare_loss(&self, what: &str, loss: impl Fn(Tensor<2>) -> Tensor<1>) {
        let found = outcome(self.input("z"), self.input("mu"), &self.kernel, loss);
        let reference = |part: &str, numbers: &str| {
            self.fixture
                .values(&format!("{}_{what}{part}_{numbers}", self.name))
        };
        self.compare(what, BOUND, |numbers| {
            absolute(&[found.value], &reference("", numbers))
        });
        self.compare(&format!("{what} by z"), BOUND, |numbers| {
            relative_to_largest(&found.by_z, &reference("_grad_z", numbers))
        });
        self.compare(&format!("{what} by centroids"), BOUND, |numbers| {
            relative_to_largest(&found.by_centroids, &reference("_grad_mu", numbers))
        });
    }

    /// The reference's target, as a constant.
    fn target(&self) -> Tensor<2> {
        let key = format!("{}_p_f64", self.name);
        tensor(&self.fixture, &key, &autodiff(), self.dtype)
    }
}

#[test]
fn assignments_and_targets_match_the_reference() {
    for case in Case::all() {
        let q = layer(case.input("mu"), &case.kernel).forward(case.input("z"));
        let p = SharpenedTarget::new().forward(q.clone().inner());
        let (q, p) = (numbers(q.inner()), numbers(p));
        for (what, found) in [("q", q), ("p", p)] {
            case.compare(what, BOUND, |reference| {
                let key = format!("{}_{what}_{reference}", case.name);
                absolute(&found, &case.fixture.values(&key))
            });
        }
    }
}

#[test]
fn the_divergence_of_scdcc_matches_the_reference() {
    for case in Case::all() {
        let p = case.target();
        let loss = KlDivergence::new().with_offset(1e-6);
        case.compare_loss("kl_scdcc", |q| loss.forward(q, p.clone()));
    }
}

/// Keras clips both distributions to [1e-7, 1]; no entry here is that small, so it is the exact
/// divergence.
#[test]
fn the_exact_divergence_matches_keras() {
    for case in Case::all() {
        let p = case.target();
        assert!(numbers(p.clone().inner()).iter().all(|&p| p > 1e-7));
        case.compare_loss("kl_keras", |q| KlDivergence::new().forward(q, p.clone()));
    }
}

#[test]
fn constraint_losses_match_the_reference() {
    for case in Case::all() {
        let first = case.fixture.indices("pair_i1");
        let second = case.fixture.indices("pair_i2");
        case.compare_loss("ml", |q| {
            MustLinkLoss::new().forward(rows(&q, &first), rows(&q, &second))
        });
        case.compare_loss("cl", |q| {
            CannotLinkLoss::new().forward(rows(&q, &first), rows(&q, &second))
        });
    }
}

/// The Gaussian kernel by its formula, one cell and one centroid at a time. (The original's sums
/// exponentials over dimensions, which is not a Gaussian of the distance.)
#[test]
fn the_gaussian_kernel_matches_its_formula() {
    let fixture = Fixture::open("c_soft_assign");
    let (z, mu) = (fixture.values("z"), fixture.values("mu"));
    for bandwidth in [1.0, 2.5] {
        let mut expected = Vec::new();
        for cell in z.chunks(32) {
            let similarity: Vec<f64> = mu
                .chunks(32)
                .map(|centroid| {
                    let distance: f64 = cell
                        .iter()
                        .zip(centroid)
                        .map(|(a, b)| (a - b).powi(2))
                        .sum();
                    (-distance / (2.0 * bandwidth * bandwidth)).exp()
                })
                .collect();
            let total: f64 = similarity.iter().sum();
            expected.extend(similarity.iter().map(|s| s / total));
        }
        let kernel = SimilarityKernel::Gaussian { bandwidth };
        for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, BOUND)] {
            let input = |key| tensor(&fixture, key, &autodiff(), dtype);
            let q = layer(input("mu"), &kernel).forward(input("z"));
            check(
                &format!("Gaussian q, bandwidth {bandwidth}, {dtype:?}"),
                absolute(&numbers(q.inner()), &expected),
                bound,
            );
        }
    }
}

/// A loss of soft assignments, by name.
type NamedLoss = (&'static str, Box<dyn Fn(Tensor<2>) -> Tensor<1>>);

/// Central differences in f64 of every loss by every coordinate of embedding and centroids.
#[test]
fn gradients_match_finite_differences() {
    const CELLS: usize = 7;
    const CLUSTERS: usize = 3;
    const LATENT: usize = 4;
    const STEP: f64 = 1e-5;
    let mut random = stream(11, Purpose::Simulation, 0, 0);
    let mut draw =
        |count: usize| -> Vec<f64> { (0..count).map(|_| random.random_range(-1.5..1.5)).collect() };
    let (z, centroids) = (draw(CELLS * LATENT), draw(CLUSTERS * LATENT));
    let device = autodiff();
    let matrix = |values: &[f64]| -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len() / LATENT, LATENT]);
        Tensor::from_data(data, (&device, DType::F64))
    };
    let kernels = [
        SimilarityKernel::StudentT { alpha: 1.0 },
        SimilarityKernel::StudentT { alpha: 2.5 },
        SimilarityKernel::Gaussian { bandwidth: 0.8 },
    ];
    for kernel in kernels {
        let q = layer(matrix(&centroids), &kernel)
            .forward(matrix(&z))
            .inner();
        let target = Tensor::from_inner(SharpenedTarget::new().forward(q));
        let offset_target = target.clone();
        let (first, second) = (vec![0, 2, 4], vec![1, 3, 4]);
        let (first_too, second_too) = (first.clone(), second.clone());
        let losses: Vec<NamedLoss> = vec![
            (
                "KL",
                Box::new(move |q| KlDivergence::new().forward(q, target.clone())),
            ),
            (
                "KL with offset",
                Box::new(move |q| {
                    let loss = KlDivergence::new().with_offset(1e-2);
                    loss.forward(q, offset_target.clone())
                }),
            ),
            (
                "must-link",
                Box::new(move |q| MustLinkLoss::new().forward(rows(&q, &first), rows(&q, &second))),
            ),
            (
                "cannot-link",
                Box::new(move |q| {
                    CannotLinkLoss::new().forward(rows(&q, &first_too), rows(&q, &second_too))
                }),
            ),
        ];
        for (name, loss) in losses {
            let found = outcome(matrix(&z), matrix(&centroids), &kernel, &loss);
            let value = |z: &[f64], centroids: &[f64]| {
                let q = layer(matrix(centroids), &kernel).forward(matrix(z));
                number(loss(q).inner())
            };
            let by_z: Vec<f64> = (0..z.len())
                .map(|i| central(STEP, &z, i, |moved| value(moved, &centroids)))
                .collect();
            let by_centroids: Vec<f64> = (0..centroids.len())
                .map(|i| central(STEP, &centroids, i, |moved| value(&z, moved)))
                .collect();
            for (what, found, expected) in [
                ("z", &found.by_z, by_z),
                ("centroids", &found.by_centroids, by_centroids),
            ] {
                check(
                    &format!("{name}, {kernel:?}, by {what}"),
                    relative_to_largest(found, &expected),
                    1e-7,
                );
            }
        }
    }
}

fn central(step: f64, values: &[f64], i: usize, f: impl Fn(&[f64]) -> f64) -> f64 {
    let mut moved = values.to_vec();
    moved[i] = values[i] + step;
    let above = f(&moved);
    moved[i] = values[i] - step;
    (above - f(&moved)) / (2.0 * step)
}

fn single(values: &[f32], columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [values.len() / columns, columns]),
        device,
    )
}

/// Fault 14: assignments that are exactly one-hot, right, wrong, and targets with zeros.
#[test]
fn losses_of_one_hot_assignments_are_finite() {
    let certain = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    for (first, second) in [
        (certain, certain),
        (certain, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]),
    ] {
        let losses: [NamedLoss; 3] = [
            (
                "KL",
                Box::new(move |q| {
                    let p = single(&second, 2, &autodiff());
                    KlDivergence::new().forward(q, p)
                }),
            ),
            (
                "must-link",
                Box::new(move |q| MustLinkLoss::new().forward(q, single(&second, 2, &autodiff()))),
            ),
            (
                "cannot-link",
                Box::new(move |q| {
                    CannotLinkLoss::new().forward(q, single(&second, 2, &autodiff()))
                }),
            ),
        ];
        for (name, loss) in losses {
            let q = single(&first, 2, &autodiff()).require_grad();
            let value = loss(q.clone());
            let gradients = value.backward();
            let gradient = numbers(q.grad(&gradients).expect("a gradient"));
            let value = number(value.inner());
            assert!(value.is_finite(), "{name}: {value}");
            assert!(
                gradient.iter().all(|g| g.is_finite()),
                "{name}: {gradient:?}"
            );
        }
    }
    let target = SharpenedTarget::new().forward(single(&certain, 2, &Device::default()));
    assert_eq!(numbers(target), certain.map(f64::from));
}

/// Fault 14 through the clustering layer: cells so far from the other centroids that q rounds to
/// one-hot.
#[test]
fn gradients_through_saturated_assignments_are_finite() {
    for kernel in [
        SimilarityKernel::StudentT { alpha: 1.0 },
        SimilarityKernel::StudentT { alpha: 30.0 },
        SimilarityKernel::Gaussian { bandwidth: 0.1 },
    ] {
        let device = autodiff();
        let z = [0.0, 0.0, 1e4, 0.0, 0.0, 0.0];
        let centroids = [0.0, 0.0, 1e4, 0.0];
        // The last cell's target is the far cluster.
        let p = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let found = outcome(
            single(&z, 2, &device),
            single(&centroids, 2, &device),
            &kernel,
            |q| KlDivergence::new().forward(q, single(&p, 2, &device)),
        );
        assert!(found.value.is_finite(), "{kernel:?}: {}", found.value);
        for gradient in [&found.by_z, &found.by_centroids] {
            assert!(
                gradient.iter().all(|g| g.is_finite()),
                "{kernel:?}: {gradient:?}"
            );
        }
    }
}

fn kernels() -> impl Strategy<Value = SimilarityKernel> {
    prop_oneof![
        (0.1f64..20.0).prop_map(|alpha| SimilarityKernel::StudentT { alpha }),
        (0.05f64..20.0).prop_map(|bandwidth| SimilarityKernel::Gaussian { bandwidth }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the cells: rows of q and p are distributions.
    #[test]
    fn rows_of_assignments_and_targets_sum_to_one(
        z in prop::collection::vec(-1e3f32..1e3, 3..60),
        centroids in prop::collection::vec(-1e3f32..1e3, 6..18),
        kernel in kernels(),
    ) {
        let device = Device::default();
        let latent = 3;
        let z = &z[..z.len() / latent * latent];
        let centroids = &centroids[..centroids.len() / latent * latent];
        let clusters = centroids.len() / latent;
        let q = layer(single(centroids, latent, &device), &kernel)
            .forward(single(z, latent, &device));
        let p = SharpenedTarget::new().forward(q.clone());
        for (what, distribution) in [("q", numbers(q)), ("p", numbers(p))] {
            for row in distribution.chunks(clusters) {
                let total: f64 = row.iter().sum();
                prop_assert!((total - 1.0).abs() < 1e-5, "{what}: {row:?}");
                prop_assert!(row.iter().all(|&v| (0.0..=1.0).contains(&v)), "{what}: {row:?}");
            }
        }
    }

    /// The target of permuted cells is the permuted target.
    #[test]
    fn targets_follow_the_order_of_cells(
        similarities in prop::collection::vec(1e-3f32..1.0, 8..80),
        seed: u64,
    ) {
        let device = Device::default();
        let clusters = 4;
        let mut q: Vec<Vec<f32>> = similarities
            .chunks_exact(clusters)
            .map(|row| row.iter().map(|v| v / row.iter().sum::<f32>()).collect())
            .collect();
        let target = SharpenedTarget::new();
        let p = numbers(target.forward(single(&q.concat(), clusters, &device)));
        let order = celldec::batches::epoch_order(q.len(), true, seed, 0);
        q = order.iter().map(|&cell| q[cell].clone()).collect();
        let permuted = numbers(target.forward(single(&q.concat(), clusters, &device)));
        for (place, &cell) in order.iter().enumerate() {
            for cluster in 0..clusters {
                let (found, expected) =
                    (permuted[place * clusters + cluster], p[cell * clusters + cluster]);
                prop_assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    /// The divergence is not negative, and zero for q = p.
    #[test]
    fn the_divergence_is_that_of_distributions(
        values in prop::collection::vec(1e-3f32..1.0, 8..40),
    ) {
        let device = Device::default();
        let half = values.len() / 8 * 4;
        let rows = |values: &[f32]| -> Vec<f32> {
            values
                .chunks_exact(4)
                .flat_map(|row| {
                    let total: f32 = row.iter().sum();
                    row.iter().map(move |v| v / total)
                })
                .collect()
        };
        let (q, p) = (rows(&values[..half]), rows(&values[half..2 * half]));
        let loss = KlDivergence::new();
        let divergence = |q: &[f32], p: &[f32]| {
            number(loss.forward(single(q, 4, &device), single(p, 4, &device)))
        };
        prop_assert!(divergence(&q, &p) > -1e-6);
        prop_assert!(divergence(&p, &p).abs() < 1e-7);
    }
}
