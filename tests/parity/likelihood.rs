//! The likelihoods against mpmath values without epsilon (`mp_*` in the fixture).

mod batch;
mod properties;

use burn::tensor::DType;
use celldec::kernel::likelihood::{DISPERSION_MAX, DISPERSION_MIN};
use celldec::kernel::special::softplus;

use crate::fixtures::Fixture;
use batch::{Batch, FLOOR, Path, QUANTITIES, describe};

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

/// Compares a quantity at a time; an error is relative to the exact value or to `floor`.
fn compare(
    what: &str,
    batch: &Batch,
    found: impl Fn(usize) -> [f64; 4],
    exact: impl Fn(usize) -> [f64; 4],
    floor: impl Fn(usize, usize) -> f64,
    quantities: std::ops::Range<usize>,
    bounds: (f64, f64),
) {
    let points = batch.entries();
    let found: Vec<_> = (0..points).map(found).collect();
    let exact: Vec<_> = (0..points).map(exact).collect();
    for quantity in quantities {
        let mut errors = Errors::default();
        for i in 0..points {
            let floor = floor(i, quantity);
            errors.record(found[i][quantity], exact[i][quantity], floor, || {
                describe(batch, i)
            });
        }
        errors.check(
            &format!("{what} {}", QUANTITIES[quantity]),
            bounds.0,
            bounds.1,
        );
    }
}

fn grid_case(inflated: bool) -> (Grid, std::ops::Range<usize>) {
    let grid = grid(inflated, false);
    assert_eq!(grid.exact.len(), 4410);
    // The fixture has no exact gradients of the plain negative binomial.
    (grid, if inflated { 0..4 } else { 0..1 })
}

#[test]
fn oracle_matches_exact_values() {
    for inflated in [true, false] {
        let (Grid { batch, exact }, quantities) = grid_case(inflated);
        compare(
            "oracle",
            &batch,
            |i| batch.exact(i),
            |i| exact[i],
            |i, quantity| stationary_floor(&batch, i, quantity),
            quantities,
            (1e-10, 1e-13),
        );
    }
}

#[test]
fn composed_double_matches_exact_values() {
    for inflated in [true, false] {
        let (Grid { batch, exact }, quantities) = grid_case(inflated);
        let found = batch.run(Path::Composed(DType::F64));
        compare(
            "composed f64",
            &batch,
            |i| found.at(i),
            |i| exact[i],
            |i, quantity| stationary_floor(&batch, i, quantity),
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
            &batch,
            |i| found.at(i),
            |i| batch.exact(i),
            |i, quantity| stationary_floor(&batch, i, quantity),
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
            &batch,
            |i| points[i],
            |i| batch.exact(i),
            |_, _| FLOOR,
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
