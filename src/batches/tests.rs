use ndarray::Array2;
use proptest::prelude::*;

use super::*;
use crate::counts::{CountMatrix, SimulationConfig};
use crate::nn::Expression;
use crate::preprocess::Preprocess;

#[test]
fn a_single_last_row_joins_the_batch_before() {
    let order: Vec<usize> = (0..9).collect();
    let sizes: Vec<usize> = split(&order, 4).iter().map(|b| b.len()).collect();
    assert_eq!(sizes, [4, 5]);
    let sizes: Vec<usize> = split(&order[..1], 4).iter().map(|b| b.len()).collect();
    assert_eq!(sizes, [1]);
}

#[test]
fn a_batch_larger_than_the_data_is_clamped() {
    let order: Vec<usize> = (0..3).collect();
    assert_eq!(split(&order, 100), vec![&order[..]]);
}

proptest! {
    #[test]
    fn batches_cover_every_row_once(count in 1usize..500, size in 1usize..64, seed: u64) {
        let order = epoch_order(count, true, seed, 3);
        let mut seen: Vec<usize> = split(&order, size).concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn dropout_keeps_the_mean(rate in 0.0f64..0.8, seed: u64) {
        let mut values = vec![1f32; 20_000];
        Corruption::Dropout(rate).apply(&mut values, seed, 0, 0);
        let mean: f32 = values.iter().sum::<f32>() / values.len() as f32;
        let standard_error = (rate / (1.0 - rate) / values.len() as f64).sqrt() as f32;
        prop_assert!((mean - 1.0).abs() <= 6.0 * standard_error + 1e-4);
    }
}

#[test]
fn the_noise_of_a_cell_depends_on_seed_epoch_and_cell_alone() {
    let simulation = SimulationConfig::new(30, 100).simulate().expect("counts");
    let cells = Preprocess::scdcc().fit(&simulation.counts).expect("cells");
    let batches = Batches::new(&cells, &Device::default());
    for corruption in [Corruption::Gaussian(2.5), Corruption::Dropout(0.2)] {
        let noisy = |rows: &[usize], seed, epoch| {
            let input = batches
                .corrupted_input(rows, corruption, seed, epoch)
                .unwrap();
            input
                .into_data_as::<f32>()
                .try_to_vec::<f32>()
                .expect("f32")
        };
        let (batch, genes) = (noisy(&[3, 9, 4], 1, 2), cells.genes());
        assert_eq!(batch[genes..2 * genes], noisy(&[9], 1, 2));
        assert_ne!(noisy(&[9], 1, 2), noisy(&[9], 2, 2));
        assert_ne!(noisy(&[9], 1, 2), noisy(&[9], 1, 3));
        let noise = |row| {
            let mut values = vec![1.0; genes];
            corruption.apply(&mut values, 1, 2, row);
            values
        };
        assert_ne!(noise(9), noise(4));
    }
}

/// Cells of which about so many of 100 counts are not zero.
fn cells(percent: usize) -> Cells {
    let counts = Array2::from_shape_fn((40, 60), |(cell, gene)| {
        let draw = (cell * 7919 + gene * 104_729) % 10_007 % 100;
        if draw < percent {
            (draw + 1) as f32
        } else {
            0.0
        }
    });
    let counts = CountMatrix::from_dense(counts.view()).expect("counts");
    Preprocess::scdcc().fit(&counts).expect("cells")
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    let data = tensor.into_data_as::<f32>();
    data.try_to_vec::<f32>().expect("floats")
}

#[cfg(feature = "flex")]
#[test]
fn clean_input_is_sparse_where_most_counts_are_zero() {
    let device = Device::flex();
    for device in [device.clone(), device.autodiff()] {
        for (percent, sparse) in [(5, true), (15, true), (30, false), (90, false)] {
            let cells = cells(percent);
            let input = Batches::new(&cells, &device)
                .network_input(&[3, 1])
                .unwrap();
            assert_eq!(
                matches!(input.expression, Expression::Sparse(_)),
                sparse,
                "{percent}"
            );
        }
    }
}

/// Whatever is sparse, is corrupted or is read by the loss: network and loss get the values
/// they ask for, and the loss no others.
#[test]
fn a_reconstruction_reads_what_it_needs() {
    let rows = [5, 0, 9];
    let device = Device::default();
    for percent in [5, 90] {
        let cells = cells(percent);
        let batches = Batches::new(&cells, &device);
        let clean = values(batches.input(&rows).unwrap());
        for corruption in [Corruption::None, Corruption::Gaussian(1.0)] {
            let noise = Noise {
                corruption,
                seed: 1,
                epoch: 2,
            };
            let corrupted = values(batches.corrupted_input(&rows, corruption, 1, 2).unwrap());
            for target in [
                ReconstructionTarget::Input,
                ReconstructionTarget::Counts,
                ReconstructionTarget::Both,
            ] {
                let rows = batches
                    .read_reconstruction(&rows, target, noise, true)
                    .unwrap();
                let inputs = rows.into_inputs(&device);
                let close = |found: NetworkInput, expected: &[f32]| {
                    let found = values(found.expression.into_tensor(&device));
                    assert_eq!(found.len(), expected.len());
                    for (found, expected) in found.iter().zip(expected) {
                        assert!((found - expected).abs() <= 2e-6, "{found} {expected}");
                    }
                };
                close(inputs.clean, &clean);
                close(inputs.corrupted, &corrupted);
                let input = values(inputs.batch.input);
                if target.input() {
                    assert_eq!(input, clean);
                } else {
                    assert!(input.len() == 1 && input[0].is_nan());
                }
                let counts = values(inputs.batch.counts);
                assert_eq!(counts.len() == clean.len(), target.counts());
            }
        }
    }
}

#[test]
fn noise_has_the_deviation_asked_for() {
    let mut values = vec![0f32; 50_000];
    Corruption::Gaussian(2.5).apply(&mut values, 1, 0, 0);
    let mean: f64 = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 50_000.0;
    let variance: f64 = values
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / 50_000.0;
    assert!(mean.abs() < 0.05, "{mean}");
    assert!((variance.sqrt() - 2.5).abs() < 0.04, "{variance}");
}
