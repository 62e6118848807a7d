//! The likelihoods against mpmath values without epsilon (`mp_*` in the fixture), finite
//! differences, each other, and inputs at the edge of what floats hold.

use burn::tensor::{DType, Device, Tensor, TensorData};
use celldec::kernel::likelihood::{
    DISPERSION_MAX, DISPERSION_MIN, MEAN_MAX, MEAN_MIN, nb_negative_log_likelihood,
    nb_negative_log_likelihood_mean, nb_nll_point, zinb_negative_log_likelihood,
    zinb_negative_log_likelihood_mean, zinb_nll_point,
};
use celldec::kernel::special::{sigmoid, softplus};
use celldec::random::{Purpose, stream};
use proptest::prelude::*;
use rand::RngExt;

use crate::fixtures::Fixture;

/// A batch: everything the tensor functions take, as plain numbers.
#[derive(Debug, Clone)]
struct Batch {
    cells: usize,
    genes: usize,
    counts: Vec<f64>,
    size_factors: Vec<f64>,
    mean: Vec<f64>,
    dispersion: Vec<f64>,
    dropout: Option<Vec<f64>>,
}

/// What comes back: values of all entries or their mean, and the gradient of their **sum** by
/// mean, dispersion and dropout logits and by the size factors.
struct Outcome {
    values: Vec<f64>,
    mean: Vec<f64>,
    dispersion: Vec<f64>,
    dropout: Vec<f64>,
    size_factors: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Path {
    /// Tensor operations.
    Composed(DType),
    /// The mean function on the CPU backend in `f32`.
    Fused,
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .into_data_as::<f64>()
        .try_to_vec()
        .expect("numbers of the type asked for")
}

impl Batch {
    fn entries(&self) -> usize {
        self.cells * self.genes
    }

    fn run(&self, path: Path) -> Outcome {
        let dtype = match path {
            Path::Composed(dtype) => dtype,
            Path::Fused => DType::F32,
        };
        let plain = Device::default();
        let device = plain.clone().autodiff();
        let matrix = |values: &[f64], device: &Device| {
            let data = TensorData::new(values.to_vec(), [values.len() / self.genes, self.genes]);
            Tensor::<2>::from_data(data, (device, dtype))
        };
        let counts = matrix(&self.counts, &plain);
        let size_factors = Tensor::<1>::from_data(
            TensorData::from(self.size_factors.as_slice()),
            (&plain, dtype),
        );
        let mean = matrix(&self.mean, &device).require_grad();
        let dispersion = matrix(&self.dispersion, &device).require_grad();
        let dropout = self
            .dropout
            .as_ref()
            .map(|logits| matrix(logits, &device).require_grad());
        let mut tracked_size_factors = None;
        let (values, gradients, factor) = match path {
            Path::Composed(_) => {
                let size_factors = size_factors.autodiff().require_grad();
                tracked_size_factors = Some(size_factors.clone());
                let values = match &dropout {
                    Some(dropout) => zinb_negative_log_likelihood(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                        dropout.clone(),
                    ),
                    None => nb_negative_log_likelihood(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                    ),
                };
                let gradients = values.clone().sum().backward();
                (numbers(values.inner()), gradients, 1.0)
            }
            Path::Fused => {
                let value = match &dropout {
                    Some(dropout) => zinb_negative_log_likelihood_mean(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                        dropout.clone(),
                    ),
                    None => nb_negative_log_likelihood_mean(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                    ),
                };
                let gradients = value.backward();
                (numbers(value.inner()), gradients, self.entries() as f64)
            }
        };
        let gradient = |logits: &Tensor<2>| -> Vec<f64> {
            numbers(logits.grad(&gradients).expect("a gradient"))
                .into_iter()
                .map(|g| g * factor)
                .collect()
        };
        Outcome {
            values,
            mean: gradient(&mean),
            dispersion: gradient(&dispersion),
            dropout: dropout.as_ref().map(gradient).unwrap_or_default(),
            size_factors: tracked_size_factors.map_or_else(Vec::new, |s| {
                numbers(s.grad(&gradients).expect("a gradient"))
            }),
        }
    }

    /// The batch of one entry.
    fn entry(&self, index: usize) -> Self {
        let at = |values: &Vec<f64>| vec![values[index % values.len()]];
        Self {
            cells: 1,
            genes: 1,
            counts: at(&self.counts),
            size_factors: vec![self.size_factors[index / self.genes]],
            mean: at(&self.mean),
            dispersion: at(&self.dispersion),
            dropout: self.dropout.as_ref().map(at),
        }
    }

    /// The `f64` oracle at one entry: value and derivatives by the three logits.
    fn exact(&self, index: usize) -> [f64; 4] {
        let mean = self.mean[index];
        // The bounds as `f32` rounds them belong to the range.
        let inside = (MEAN_MIN.ln() as f32 as f64).min(MEAN_MIN.ln()) <= mean
            && mean <= (MEAN_MAX.ln() as f32 as f64).max(MEAN_MAX.ln());
        let log_mean =
            mean.clamp(MEAN_MIN.ln(), MEAN_MAX.ln()) + self.size_factors[index / self.genes].ln();
        let log_mean = if inside {
            mean + self.size_factors[index / self.genes].ln()
        } else {
            log_mean
        };
        let dispersion = self.dispersion[index % self.dispersion.len()];
        let [value, by_mean, by_dispersion, by_dropout] = match &self.dropout {
            Some(dropout) => {
                let (value, [m, d, l]) =
                    zinb_nll_point(self.counts[index], log_mean, dispersion, dropout[index]);
                [value, m, d, l]
            }
            None => {
                let (value, [m, d]) = nb_nll_point(self.counts[index], log_mean, dispersion);
                [value, m, d, 0.0]
            }
        };
        [
            value,
            if inside { by_mean } else { 0.0 },
            by_dispersion,
            by_dropout,
        ]
    }
}

/// The grid of the fixture, turned into logits, with the exact answers.
struct Grid {
    batch: Batch,
    /// Value and derivatives by the logits, by the chain rule from the fixture's.
    exact: Vec<[f64; 4]>,
}

/// ln(eᶿ − 1), moved by single rounding steps if need be so that the clamp does not act.
fn inverse_softplus(theta: f64, single: bool) -> f64 {
    let mut logit = theta + (-(-theta).exp_m1()).ln();
    if single {
        logit = f64::from(logit as f32);
    }
    while softplus(logit) < DISPERSION_MIN {
        logit = match single {
            true => f64::from((logit as f32).next_up()),
            false => logit.next_up(),
        };
    }
    assert!(softplus(logit) <= DISPERSION_MAX);
    logit
}

fn grid(inflated: bool, single: bool) -> Grid {
    let round = |x: f64| if single { f64::from(x as f32) } else { x };
    let fixture = Fixture::open("a_zinb_grid");
    let column = |name: &str| fixture.values(name);
    let (mean, disp, pi) = (column("in_mean"), column("in_disp"), column("in_pi"));
    let prefix = if inflated { "mp_zinb" } else { "mp_nb" };
    let value = column(&format!("{prefix}_nll"));
    let exact = if inflated {
        let by_mean = column("mp_zinb_grad_mean");
        let by_disp = column("mp_zinb_grad_disp");
        let by_pi = column("mp_zinb_grad_pi");
        (0..value.len())
            .map(|i| {
                [
                    value[i],
                    by_mean[i] * mean[i],
                    by_disp[i] * -(-disp[i]).exp_m1(),
                    by_pi[i] * pi[i] * (1.0 - pi[i]),
                ]
            })
            .collect()
    } else {
        value.iter().map(|&v| [v, 0.0, 0.0, 0.0]).collect()
    };
    Grid {
        batch: Batch {
            cells: value.len(),
            genes: 1,
            counts: column("in_x"),
            size_factors: column("in_size_factor").into_iter().map(round).collect(),
            mean: mean.iter().map(|m| round(m.ln())).collect(),
            dispersion: disp.iter().map(|&d| inverse_softplus(d, single)).collect(),
            dropout: inflated.then(|| pi.iter().map(|p| round((p / (1.0 - p)).ln())).collect()),
        },
        exact,
    }
}

/// The exact values below which an error is absolute.
const FLOOR: f64 = 1e-6;

/// Errors relative to the exact value, or to a floor where that is larger.
#[derive(Default)]
struct Errors {
    relative: Vec<f64>,
    worst: (f64, String),
}

impl Errors {
    fn record(&mut self, found: f64, exact: f64, floor: f64, place: impl Fn() -> String) {
        let error = (found - exact).abs() / exact.abs().max(floor);
        if error.is_nan() || error > self.worst.0 {
            self.worst = (
                if error.is_nan() { f64::INFINITY } else { error },
                format!("{} found {found:e} exact {exact:e}", place()),
            );
        }
        self.relative.push(error);
    }

    fn median(&mut self) -> f64 {
        self.relative.sort_by(f64::total_cmp);
        self.relative[self.relative.len() / 2]
    }

    fn check(&mut self, what: &str, worst: f64, median: f64) {
        let found = self.median();
        println!("{what}: worst {:.1e}, median {found:.1e}", self.worst.0);
        assert!(self.worst.0 <= worst, "{what}: {:?}", self.worst);
        assert!(found <= median, "{what}: median {found:e}");
    }
}

const QUANTITIES: [&str; 4] = ["value", "by mean", "by dispersion", "by dropout"];

/// Compares a quantity at a time; an error is relative to the exact value or to `floor`.
fn compare(
    what: &str,
    found: impl Fn(usize) -> [f64; 4],
    exact: impl Fn(usize) -> [f64; 4],
    place: impl Fn(usize) -> String,
    floor: impl Fn(usize, usize) -> f64,
    points: usize,
    quantities: std::ops::Range<usize>,
    bounds: (f64, f64),
) {
    let found: Vec<_> = (0..points).map(found).collect();
    let exact: Vec<_> = (0..points).map(exact).collect();
    for quantity in quantities {
        let mut errors = Errors::default();
        for i in 0..points {
            let floor = floor(i, quantity);
            errors.record(found[i][quantity], exact[i][quantity], floor, || place(i));
        }
        errors.check(
            &format!("{what} {}", QUANTITIES[quantity]),
            bounds.0,
            bounds.1,
        );
    }
}

impl Outcome {
    fn at(&self, i: usize) -> [f64; 4] {
        let dropout = self.dropout.get(i).copied().unwrap_or(0.0);
        [self.values[i], self.mean[i], self.dispersion[i], dropout]
    }
}

fn describe(batch: &Batch, i: usize) -> String {
    format!(
        "x {} mean {:e} s {} theta {:e} dropout {:?}",
        batch.counts[i],
        batch.mean[i].exp(),
        batch.size_factors[i / batch.genes],
        softplus(batch.dispersion[i % batch.dispersion.len()]),
        batch.dropout.as_ref().map(|logits| sigmoid(logits[i])),
    )
}

fn grid_case(inflated: bool) -> (Grid, usize, std::ops::Range<usize>) {
    let grid = grid(inflated, false);
    let points = grid.exact.len();
    assert_eq!(points, 4410);
    // The fixture has no exact gradients of the plain negative binomial.
    (grid, points, if inflated { 0..4 } else { 0..1 })
}

#[test]
fn oracle_matches_exact_values() {
    for inflated in [true, false] {
        let (Grid { batch, exact }, points, quantities) = grid_case(inflated);
        compare(
            "oracle",
            |i| batch.exact(i),
            |i| exact[i],
            |i| describe(&batch, i),
            |i, quantity| stationary_floor(&batch, i, quantity),
            points,
            quantities,
            (1e-9, 1e-13),
        );
    }
}

#[test]
fn composed_double_matches_exact_values() {
    for inflated in [true, false] {
        let (Grid { batch, exact }, points, quantities) = grid_case(inflated);
        let found = batch.run(Path::Composed(DType::F64));
        compare(
            "composed f64",
            |i| found.at(i),
            |i| exact[i],
            |i| describe(&batch, i),
            |i, quantity| stationary_floor(&batch, i, quantity),
            points,
            quantities,
            (1e-9, 1e-13),
        );
    }
}

/// Rounding the logits to `f32` alone changes some answers by more than the tolerance (a mean
/// equal to the count has a gradient that is all rounding), so the exact answer is the oracle's
/// at the rounded logits.
fn single_grid(inflated: bool) -> Batch {
    grid(inflated, true).batch
}

/// Where the mean equals the count within a thousandth, the derivative (μ − x) θ / (θ + μ) is all
/// rounding of the inputs, or of the logarithm of the mean; its error is then measured against a
/// thousandth of its first term. The fused pass, whose logarithm of the mean is in `f64`, does
/// not need this at the rounded inputs.
fn stationary_floor(batch: &Batch, i: usize, quantity: usize) -> f64 {
    let x = batch.counts[i];
    let mean = (batch.mean[i] + batch.size_factors[i / batch.genes].ln()).exp();
    if quantity != 1 || (mean - x).abs() > 1e-3 * x {
        return FLOOR;
    }
    let theta = softplus(batch.dispersion[i % batch.dispersion.len()]);
    FLOOR.max(1e-3 * x * theta / (theta + mean))
}

#[test]
fn composed_single_matches_exact_values() {
    for inflated in [true, false] {
        let batch = single_grid(inflated);
        let found = batch.run(Path::Composed(DType::F32));
        let stationary = (0..batch.entries())
            .filter(|&i| stationary_floor(&batch, i, 1) > FLOOR)
            .count();
        assert!(stationary <= 42, "{stationary} of 4410 points");
        compare(
            "composed f32",
            |i| found.at(i),
            |i| batch.exact(i),
            |i| describe(&batch, i),
            |i, quantity| stationary_floor(&batch, i, quantity),
            batch.entries(),
            0..4,
            (2e-4, 1e-5),
        );
    }
}

#[test]
fn fused_matches_exact_values() {
    for inflated in [true, false] {
        let batch = single_grid(inflated);
        let points: Vec<_> = (0..batch.entries())
            .map(|i| batch.entry(i).run(Path::Fused).at(0))
            .collect();
        compare(
            "fused f32",
            |i| points[i],
            |i| batch.exact(i),
            |i| describe(&batch, i),
            |_, _| FLOOR,
            batch.entries(),
            0..4,
            (2e-4, 1e-5),
        );
    }
}

#[test]
fn fused_rounding_stays_near_the_exact_values() {
    let Grid { exact, .. } = grid(true, false);
    let batch = single_grid(true);
    let mut errors = Errors::default();
    for (i, exact) in exact.iter().enumerate() {
        let found = batch.entry(i).run(Path::Fused).values[0];
        errors.record(found, exact[0], FLOOR, || describe(&batch, i));
    }
    errors.check("fused f32 value, logits rounded", 2e-4, 1e-5);
}
