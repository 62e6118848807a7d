//! Finite differences, agreement of the paths with each other, and inputs at the edge of what
//! floats hold.

use burn::tensor::DType;
use celldec::kernel::likelihood::{
    DISPERSION_MAX, DISPERSION_MIN, MEAN_MAX, MEAN_MIN, nb_nll_point, zinb_nll_point,
};
use celldec::kernel::special::{sigmoid, softplus};
use celldec::random::{Purpose, stream};
use proptest::prelude::*;
use rand::RngExt;

use super::batch::{Batch, FLOOR, Path, QUANTITIES, describe};

/// One of the inputs of a batch.
type Field = fn(&mut Batch) -> &mut Vec<f64>;

/// A batch of random entries; `extreme` makes some of them as bad as inputs get.
fn random_batch(seed: u64, cells: usize, genes: usize, inflated: bool, extreme: bool) -> Batch {
    let mut random = stream(seed, Purpose::Simulation, 0, 0);
    let mut logits = |rows: usize| -> Vec<f64> {
        (0..rows * genes)
            .map(|_| match extreme && random.random_bool(0.2) {
                true => [-100.0, 100.0, -50.0, 30.0, 0.0][random.random_range(0..5)],
                false => random.random_range(-4.0f32..4.0),
            })
            .map(f64::from)
            .collect()
    };
    let (mean, dispersion) = (logits(cells), logits(cells));
    let dropout = inflated.then(|| logits(cells));
    let counts = (0..cells * genes)
        .map(|i| match random.random_range(0..10) {
            // Every third cell is without counts.
            _ if i / genes % 3 == 2 => 0.0,
            0..=6 => 0.0,
            7 | 8 => f64::from(random.random_range(1..20)),
            _ if extreme => [1e7, 123_456.0, 1e3, 1.5][random.random_range(0..4)],
            _ => f64::from(random.random_range(20..2000)),
        })
        .collect();
    let size_factors = (0..cells)
        .map(|_| f64::from(random.random_range(0.01f32.ln()..100f32.ln()).exp()))
        .collect();
    Batch {
        cells,
        genes,
        counts,
        size_factors,
        mean,
        dispersion,
        dropout,
    }
}

#[test]
fn oracle_gradients_match_finite_differences() {
    let mut random = stream(3, Purpose::Simulation, 0, 0);
    for i in 0..400 {
        let x = [0.0, 1.0, 2.5, 17.0, 300.0][i % 5];
        let at = [
            random.random_range(-5.0..6.0),
            random.random_range(-4.0..6.0),
            random.random_range(-5.0..5.0),
        ];
        let zinb = |p: [f64; 3]| zinb_nll_point(x, p[0], p[1], p[2]);
        let nb = |p: [f64; 3]| nb_nll_point(x, p[0], p[1]);
        let step = 1e-4;
        for k in 0..3 {
            // Five points: the error is of order step⁴.
            let slope = |value: &dyn Fn([f64; 3]) -> f64| {
                let moved = |by: f64| {
                    let mut p = at;
                    p[k] += by * step;
                    value(p)
                };
                (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * step)
            };
            let found = zinb(at).1[k];
            let expected = slope(&|p| zinb(p).0);
            let scale = zinb(at).0.abs().max(1.0);
            assert!((found - expected).abs() < 1e-9 * scale, "{x} {at:?} {k}");
            if k < 2 {
                let expected = slope(&|p| nb(p).0);
                assert!(
                    (nb(at).1[k] - expected).abs() < 1e-9 * scale,
                    "{x} {at:?} {k}"
                );
            }
        }
    }
}

#[test]
fn composed_gradients_match_finite_differences_in_every_input() {
    for (inflated, by_gene) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut batch = random_batch(5, 6, 4, inflated, false);
        if by_gene {
            batch.dispersion.truncate(4);
        }
        let path = Path::Composed(DType::F64);
        let outcome = batch.run(path);
        let fields: [(&str, Field, &Vec<f64>); 4] = [
            ("mean", |b| &mut b.mean, &outcome.mean),
            ("dispersion", |b| &mut b.dispersion, &outcome.dispersion),
            (
                "size factors",
                |b| &mut b.size_factors,
                &outcome.size_factors,
            ),
            (
                "dropout",
                |b| b.dropout.get_or_insert_default(),
                &outcome.dropout,
            ),
        ];
        for (name, field, gradient) in fields {
            for (i, found) in gradient.iter().enumerate() {
                let scale = if name == "size factors" {
                    batch.size_factors[i]
                } else {
                    1.0
                };
                let step = 1e-4 * scale;
                let total = |by: f64| {
                    let mut moved = batch.clone();
                    field(&mut moved)[i] += by * step;
                    moved.run(path).values.iter().sum::<f64>()
                };
                let slope =
                    (8.0 * (total(1.0) - total(-1.0)) - (total(2.0) - total(-2.0))) / (12.0 * step);
                let error = (slope - found).abs() * scale;
                assert!(
                    error < 1e-8 * total(0.0).abs(),
                    "{name} {i}: {slope} {found}"
                );
            }
        }
    }
}

/// An error of `f32` arithmetic: relative to the exact value, or to the terms it is the
/// difference of.
fn agrees(batch: &Batch, i: usize, found: [f64; 4]) -> Result<(), String> {
    let exact = batch.exact(i);
    let x = batch.counts[i];
    let cell = i / batch.genes;
    let log_mean =
        batch.mean[i].clamp(MEAN_MIN.ln(), MEAN_MAX.ln()) + batch.size_factors[cell].ln();
    let dispersion = batch.dispersion[i % batch.dispersion.len()];
    let theta = softplus(dispersion).clamp(DISPERSION_MIN, DISPERSION_MAX);
    let mean = log_mean.exp();
    let pull = (x + mean) * theta / (theta + mean);
    // Rounding ln μ, of size ten, moves value and gradients as a relative change of μ of 1e-6.
    let scales = [
        exact[0].abs() + 0.01 * pull,
        exact[1].abs() + 0.01 * pull,
        exact[2].abs() + 0.01 * sigmoid(dispersion) * pull / theta,
        exact[3].abs(),
    ];
    for quantity in 0..4 {
        let error = (found[quantity] - exact[quantity]).abs();
        let finite = found[quantity].is_finite();
        if !finite || error > 2e-4 * scales[quantity].max(FLOOR) {
            return Err(format!(
                "{}: found {} exact {} ({})",
                QUANTITIES[quantity],
                found[quantity],
                exact[quantity],
                describe(batch, i)
            ));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Fused, composed and exact agree, values and gradients, on ordinary and extreme inputs:
    /// logits of ±100, both bounds of the dispersion, counts to 10⁷, cells without counts, one
    /// cell only.
    #[test]
    fn fused_and_composed_agree(
        seed in any::<u64>(),
        cells in 1usize..6,
        genes in 1usize..80,
        inflated in any::<bool>(),
        extreme in any::<bool>(),
    ) {
        let batch = random_batch(seed, cells, genes, inflated, extreme);
        let composed = batch.run(Path::Composed(DType::F32));
        let fused = batch.run(Path::Fused);
        let mut sum = 0.0;
        for i in 0..batch.entries() {
            prop_assert_eq!(agrees(&batch, i, composed.at(i)), Ok(()));
            let exact = batch.exact(i);
            // The fused value is a mean, checked below; the exact one stands in for it here.
            let dropout = fused.dropout.get(i).copied().unwrap_or(0.0);
            let gradients = [exact[0], fused.mean[i], fused.dispersion[i], dropout];
            prop_assert_eq!(agrees(&batch, i, gradients), Ok(()));
            sum += exact[0];
        }
        let mean = sum / batch.entries() as f64;
        prop_assert!((fused.values[0] - mean).abs() <= 1e-5 * mean.abs().max(1e-3), "{} {mean}", fused.values[0]);
    }

    /// One dispersion a gene is the dispersion repeated for every cell, its gradient the sum.
    #[test]
    fn gene_wise_dispersion_is_the_repeated_one(
        seed in any::<u64>(),
        cells in 1usize..30,
        genes in 1usize..40,
        inflated in any::<bool>(),
    ) {
        let mut by_gene = random_batch(seed, cells, genes, inflated, false);
        by_gene.dispersion.truncate(genes);
        let mut repeated = by_gene.clone();
        repeated.dispersion = by_gene.dispersion.repeat(cells);
        for path in [Path::Fused, Path::Composed(DType::F32)] {
            let (found, expected) = (by_gene.run(path), repeated.run(path));
            prop_assert_eq!(&found.values, &expected.values);
            prop_assert_eq!(&found.mean, &expected.mean);
            prop_assert_eq!(found.dispersion.len(), genes);
            for gene in 0..genes {
                let parts = || (0..cells).map(|cell| expected.dispersion[cell * genes + gene]);
                let size: f64 = parts().map(f64::abs).sum();
                prop_assert!((found.dispersion[gene] - parts().sum::<f64>()).abs() <= 1e-5 * size.max(FLOOR));
            }
        }
    }
}

/// Every combination of the worst logits, counts and size factors.
#[test]
fn extreme_inputs_give_finite_losses_and_gradients() {
    let logits = [-100.0, -20.0, 0.0, 20.0, 100.0, 1e30, -1e30];
    let counts = [0.0, 1.0, 0.5, 1e6, 1e7, 16_777_217.0];
    for inflated in [true, false] {
        let mut batch = Batch {
            cells: 0,
            genes: 1,
            counts: vec![],
            size_factors: vec![],
            mean: vec![],
            dispersion: vec![],
            dropout: inflated.then(Vec::new),
        };
        for mean in logits {
            for dispersion in logits {
                for dropout in logits {
                    for count in counts {
                        for size_factor in [0.01, 1.0, 100.0] {
                            batch.cells += 1;
                            batch.counts.push(f64::from(count as f32));
                            batch.size_factors.push(size_factor);
                            batch.mean.push(mean);
                            batch.dispersion.push(dispersion);
                            if let Some(logits) = &mut batch.dropout {
                                logits.push(dropout);
                            }
                        }
                    }
                }
            }
        }
        for path in [
            Path::Fused,
            Path::Composed(DType::F32),
            Path::Composed(DType::F64),
        ] {
            let outcome = batch.run(path);
            for numbers in [
                &outcome.values,
                &outcome.mean,
                &outcome.dispersion,
                &outcome.dropout,
                &outcome.size_factors,
            ] {
                let bad = numbers.iter().position(|v| !v.is_finite());
                assert!(
                    bad.is_none(),
                    "{path:?}: {}",
                    describe(&batch, bad.unwrap_or(0))
                );
            }
        }
    }
}

#[test]
fn not_a_number_is_not_hidden() {
    let batch = random_batch(11, 3, 70, true, false);
    let mutations: [Field; 5] = [
        |b| &mut b.mean,
        |b| &mut b.dispersion,
        |b| b.dropout.get_or_insert_default(),
        |b| &mut b.counts,
        |b| &mut b.size_factors,
    ];
    for (k, field) in mutations.into_iter().enumerate() {
        let length = field(&mut batch.clone()).len();
        for i in (0..length).step_by(29) {
            let mut poisoned = batch.clone();
            field(&mut poisoned)[i] = f64::NAN;
            for path in [Path::Fused, Path::Composed(DType::F32)] {
                let values = poisoned.run(path).values;
                assert!(
                    values.iter().any(|v| v.is_nan()),
                    "input {k} entry {i} {path:?}"
                );
            }
        }
    }
}

/// As with `torch.clamp`: nothing passes beyond a bound, everything at it.
#[test]
fn clamps_stop_the_gradient_beyond_their_bounds_only() {
    let (low, high) = (MEAN_MIN.ln() as f32, MEAN_MAX.ln() as f32);
    let mut by_mean = random_batch(13, 1, 8, true, false);
    by_mean.counts = [0.0, 3.0].repeat(4);
    by_mean.mean = [low.next_down(), low, high, high.next_up()]
        .iter()
        .flat_map(|&logit| [f64::from(logit); 2])
        .collect();
    by_mean.dispersion = vec![0.0; 8];
    by_mean.size_factors = vec![1.0];
    let mut by_dispersion = by_mean.clone();
    by_dispersion.mean = vec![0.0; 8];
    // softplus is the identity at 10⁴; ln(e^(10⁻⁴) − 1) is −9.2103.
    by_dispersion.dispersion = [-9.2104f32, -9.2102, 1e4, 1e4f32.next_up()]
        .iter()
        .flat_map(|&logit| [f64::from(logit); 2])
        .collect();
    let expected = [true, true, false, false, false, false, true, true];
    for path in [Path::Fused, Path::Composed(DType::F32)] {
        let zero = |gradient: &[f64]| gradient.iter().map(|&g| g == 0.0).collect::<Vec<_>>();
        assert_eq!(zero(&by_mean.run(path).mean), expected, "{path:?}");
        let gradient = by_dispersion.run(path).dispersion;
        assert_eq!(zero(&gradient), expected, "{path:?}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for (inflated, by_gene) in [(true, false), (true, true), (false, true)] {
        let mut batch = random_batch(17, 61, 130, inflated, true);
        if by_gene {
            batch.dispersion.truncate(130);
        }
        let [one, two, eight] = [1, 2, 8].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            let outcome = pool.install(|| batch.run(Path::Fused));
            [
                outcome.values,
                outcome.mean,
                outcome.dispersion,
                outcome.dropout,
            ]
            .map(|numbers| numbers.into_iter().map(f64::to_bits).collect::<Vec<_>>())
        });
        assert!(one == two && one == eight);
    }
}
