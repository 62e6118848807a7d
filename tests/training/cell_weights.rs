//! Weights of cells: equal ones change nothing, and a cell without weight teaches nothing.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use celldec::batches::{Batch, Batches};
use celldec::counts::CountMatrix;
use celldec::error::ParameterError;
use celldec::loss;
use celldec::nn::{
    Activation, Autoencoder, AutoencoderConfig, CountDistribution, InitialWeights, LinearHead,
    LinearHeadConfig, MseHeadConfig, NbHeadConfig, ReconstructionHead, ZinbHeadConfig,
    initialize_weights,
};
use celldec::prelude::*;
use ndarray::Array2;

use crate::{
    bits, cpu, default_scdcc, desc, fitted, largest_difference, parameter, scdcc, simulated,
    weights,
};

/// Fits with equal weights and without any; the largest differences by the largest value.
fn check_equal_weights<H: ReconstructionHead>(plan: Plan<H>, cells: &Cells) {
    let plain = fitted(&plan, cells);
    let weighted = cells
        .clone()
        .with_weights(&vec![2.5; cells.cells()])
        .unwrap();
    assert_eq!(weighted.weights().unwrap(), vec![1.0; cells.cells()]);
    let weighted = fitted(&plan, &weighted);
    let denoised = |fit: &Fit<H>| fit.model().denoise(cells).unwrap_or_default();
    for (what, a, b) in [
        (
            "embedding",
            plain.embedding().to_owned(),
            weighted.embedding().to_owned(),
        ),
        (
            "soft assignment",
            plain.clusters().soft().to_owned(),
            weighted.clusters().soft().to_owned(),
        ),
        ("centroids", plain.centroids(), weighted.centroids()),
        ("denoised expression", denoised(&plain), denoised(&weighted)),
    ] {
        let largest = a
            .iter()
            .fold(1.0f32, |largest, value| largest.max(value.abs()));
        let difference = largest_difference(&a, &b) / largest;
        assert!(difference < 1e-5, "{what}: {difference:e} in {plan:?}");
    }
}

#[test]
fn equal_weights_are_none() {
    let (cells, _) = simulated(80, 30, 1);
    check_equal_weights(default_scdcc(), &cells);
    check_equal_weights(scdcc(3).with_epochs(4, 2), &cells);
    check_equal_weights(desc(), &cells);
    let squares = MseLoss::new()
        .weighted(0.5)
        .plus(MseLoss::new().weighted(0.25));
    let plan = scdcc(3)
        .with_epochs(4, 2)
        .with_reconstruction(squares, MseHeadConfig::new())
        .with_clustering(KlDivergence::new().weighted(0.5));
    check_equal_weights(plan, &cells);
}

#[test]
fn unequal_weights_change_the_fit_and_its_checkpoint() {
    let (cells, groups) = simulated(80, 30, 2);
    let by_group: Vec<f64> = groups.iter().map(|&group| 1.0 + group as f64).collect();
    let weighted = cells.clone().with_weights(&by_group).unwrap();
    let mean: f32 = weighted.weights().unwrap().iter().sum::<f32>() / 80.0;
    assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    assert_ne!(
        weighted.fingerprint().unwrap(),
        cells.fingerprint().unwrap()
    );
    let (plain, other) = (fitted(&scdcc(3), &cells), fitted(&scdcc(3), &weighted));
    assert_ne!(bits(&plain, &cells), bits(&other, &cells));

    let folder = tempfile::tempdir().unwrap();
    let checkpoint = CheckpointConfig::new(folder.path().join("checkpoint"));
    let trainer = scdcc(3).trainer(&cpu()).unwrap();
    let trainer = trainer.with_checkpoint(checkpoint);
    let written = trainer.fit(&weighted).unwrap();
    assert_eq!(bits(&written, &cells), bits(&other, &cells));
    let refused = trainer.fit(&cells).unwrap_err();
    assert!(
        matches!(refused.error(), Error::CheckpointMismatch { .. }),
        "{refused}"
    );
}

#[test]
fn impossible_weights_are_refused() {
    let (cells, _) = simulated(20, 10, 3);
    let refused = |weights: &[f64]| cells.clone().with_weights(weights).unwrap_err();
    let error = refused(&[1.0; 19]);
    assert!(
        matches!(
            error,
            Error::LengthMismatch {
                expected: 20,
                found: 19,
                ..
            }
        ),
        "{error}"
    );
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        let mut weights = vec![1.0; 20];
        weights[7] = wrong;
        let error = parameter(refused(&weights));
        assert!(
            matches!(error, ParameterError::OutOfRange { .. }),
            "{error}"
        );
    }
    parameter(refused(&[0.0; 20]));
}

/// The gradient of every parameter, bit by bit; none where there is none.
fn gradients(module: &impl Module, gradients: &Gradients) -> Vec<Option<Vec<u32>>> {
    struct Collect<'a>(&'a Gradients, Vec<Option<Vec<u32>>>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).map(|gradient| {
                let values = gradient.into_data_as::<f32>();
                let values = values.as_slice::<f32>().unwrap();
                values.iter().map(|value| value.to_bits()).collect()
            });
            self.1.push(gradient);
        }
    }
    let mut collect = Collect(gradients, Vec::new());
    module.visit(&mut collect);
    collect.1
}

/// The batch with everything that a loss reads of one of its rows changed.
fn with_another_row(batch: &Batch, row: usize) -> Batch {
    let genes = batch.input.dims()[1];
    let other = |values: &Tensor<2>| {
        let changed = values.clone().slice([row..row + 1, 0..genes]) * 3.0 + 2.0;
        values
            .clone()
            .slice_assign([row..row + 1, 0..genes], changed)
    };
    Batch {
        input: other(&batch.input),
        counts: other(&batch.counts),
        ..batch.clone()
    }
}

/// The cell at row 2 of a batch has no weight: whatever it is, the gradients are the same.
fn check_no_influence<L: ReconstructionLoss>(
    cells: &Cells,
    loss: &L,
    head: &<L::Head as ReconstructionHead>::Config,
) {
    let device = cpu().autodiff();
    let autoencoder: Autoencoder<L::Head> =
        AutoencoderConfig::symmetric(cells.genes(), &[8, 4], Activation::Linear)
            .init(head, &device);
    let autoencoder = initialize_weights(autoencoder, InitialWeights::Pytorch, 5);
    let batch = Batches::new(cells, &device).batch(&[0, 3, 5, 9]).unwrap();
    assert!(batch.weights.is_some());
    let of = |batch: &Batch| {
        let output = autoencoder.forward(batch.input.clone());
        let terms = loss.terms(&output, batch).into_iter();
        let total = terms.map(|term| term.loss).reduce(|a, b| a + b).unwrap();
        gradients(&autoencoder, &total.backward())
    };
    let name = loss.description();
    let found = of(&batch);
    assert!(found.iter().all(Option::is_some), "{name:?}");
    assert_eq!(found, of(&with_another_row(&batch, 2)), "{name:?}");
    // A cell with weight has influence.
    assert_ne!(found, of(&with_another_row(&batch, 1)), "{name:?}");
}

#[test]
fn a_cell_of_weight_zero_has_no_part_in_the_gradient_of_a_reconstruction() {
    let (cells, _) = simulated(20, 15, 4);
    let mut weights = vec![1.0; 20];
    weights[5] = 0.0;
    let cells = &cells.with_weights(&weights).unwrap();
    check_no_influence(cells, &MseLoss::new(), &MseHeadConfig::new());
    check_no_influence(cells, &NbLoss::new(), &NbHeadConfig::new());
    check_no_influence(cells, &ZinbLoss::new(), &ZinbHeadConfig::new());
    for distribution in [
        CountDistribution::NegativeBinomial,
        CountDistribution::ZeroInflated,
    ] {
        check_no_influence(cells, &CountLoss::new(), &distribution);
    }
    let sum = NbLoss::new().weighted(0.3).plus(NbLoss::new());
    check_no_influence(cells, &sum, &NbHeadConfig::new());
    // One's own, which says nothing of weights.
    let squares = loss::from_fn::<LinearHead, _>("squares", |output, batch| {
        (output.logits.clone() - batch.counts.clone()).square()
    });
    check_no_influence(cells, &squares, &LinearHeadConfig::identity());
}

#[test]
fn a_cell_of_weight_zero_has_no_part_in_the_gradient_of_the_clustering_loss() {
    let device = cpu().autodiff();
    let q = || Tensor::<2>::from_floats([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], &device);
    let p = || Tensor::<2>::from_floats([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]], &device);
    let weights = Tensor::<1>::from_floats([1.5, 0.0, 1.5], &device);
    let by_row = |terms: &dyn Fn(Tensor<2>) -> Tensor<1>| -> Vec<f32> {
        let q = q().require_grad();
        let gradients = terms(q.clone()).backward();
        let gradient = q.grad(&gradients).unwrap().abs().sum_dim(1);
        gradient.into_data_as::<f32>().try_to_vec().unwrap()
    };
    let total = |terms: Vec<loss::Term>| terms.into_iter().map(|t| t.loss).reduce(|a, b| a + b);
    let divergence = KlDivergence::new();
    let sum = KlDivergence::new().weighted(0.5).plus(divergence);
    for loss in [&divergence as &dyn ClusteringLoss, &sum] {
        let plain = by_row(&|q| total(loss.terms(q, p(), None)).unwrap());
        let weighed = by_row(&|q| total(loss.terms(q, p(), Some(&weights))).unwrap());
        assert_eq!(weighed[1], 0.0);
        for row in [0, 2] {
            let ratio = weighed[row] / plain[row];
            assert!((ratio - 1.5).abs() < 1e-5, "{ratio}");
        }
    }
    // A loss of the batch as a whole has no cells to weigh.
    let whole = loss::clustering_from_fn("whole", |q, p| (q - p).square().mean());
    let plain = by_row(&|q| total(whole.terms(q, p(), None)).unwrap());
    let weighed = by_row(&|q| total(whole.terms(q, p(), Some(&weights))).unwrap());
    assert_eq!(plain, weighed);
}

/// Pretraining with a cell of weight zero: whatever the cell is, the autoencoder is the same.
#[test]
fn a_cell_of_weight_zero_teaches_pretraining_nothing() {
    let counts = |of_last: f32| {
        let dense = Array2::from_shape_fn((40, 12), |(cell, gene)| {
            let value = ((cell * 7 + gene * 5) % 11 + cell % 3 * (gene % 4)) as f32;
            if cell == 39 {
                value * of_last + 1.0
            } else {
                value
            }
        });
        CountMatrix::from_dense(dense.view()).unwrap()
    };
    let mut weight = vec![1.0; 40];
    weight[39] = 0.0;
    let cells = Preprocess::scdcc_reference().fit(&counts(1.0)).unwrap();
    let other = cells.preprocessing().transform(&counts(4.0)).unwrap();
    assert_eq!((cells.cells(), other.cells()), (40, 40));
    assert_ne!(cells.fingerprint().unwrap(), other.fingerprint().unwrap());
    fn check<H: ReconstructionHead>(plan: &Plan<H>, cells: [&Cells; 2], weight: &[f64]) {
        let trainer = plan.trainer(&cpu()).unwrap();
        let pretrained =
            |cells: &Cells| weights(&trainer.pretrain(cells, &mut trainer.run()).unwrap());
        let [plain, other] = cells.map(pretrained);
        assert_ne!(plain, other, "the cell has influence: {plan:?}");
        let [plain, other] =
            cells.map(|cells| pretrained(&cells.clone().with_weights(weight).unwrap()));
        assert_eq!(plain, other, "{plan:?}");
    }
    check(&scdcc(3), [&cells, &other], &weight);
    check(
        &scdcc(3).with_distribution(CountDistribution::NegativeBinomial),
        [&cells, &other],
        &weight,
    );
    // Layer by layer too.
    check(&desc(), [&cells, &other], &weight);
}
