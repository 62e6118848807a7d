//! What self-training does with the decoder, with constraint pairs and every head.

use celldec::batches::Corruption;
use celldec::loss;
use celldec::model::FittedModel;
use celldec::nn::{
    CountDistribution, LinearHead, LinearHeadConfig, Link, MseHeadConfig, NbHeadConfig,
    ReconstructionHead, ZinbHeadConfig,
};
use celldec::prelude::*;
use celldec::train::{DecoderTraining, PairTraining};
use tempfile::TempDir;

use crate::own_parts::{DeepHeadConfig, poisson};
use crate::{cpu, scdcc, simulated, weights};

fn names<H: ReconstructionHead>(fit: &Fit<H>) -> Vec<String> {
    let last = fit.history().last().unwrap();
    last.losses.iter().map(|(name, _)| name.clone()).collect()
}

/// Fits with each form of decoder training, and what must be so in each.
fn check<H: ReconstructionHead>(plan: Plan<H>, cells: &Cells) {
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3), (2, 7)], vec![(0, 5), (9, 4)]).unwrap();
    let plan = plan.with_epochs(2, 2).with_pairs(PairTraining::new(pairs));
    let record = plan.record();
    let loss = record["reconstruction"]["name"].as_str().unwrap();
    for decoder in [
        DecoderTraining::Removed,
        DecoderTraining::Kept,
        DecoderTraining::Joint {
            weight: 1.0,
            corruption: Corruption::Gaussian(1.0),
        },
        DecoderTraining::Joint {
            weight: 0.5,
            corruption: Corruption::Dropout(0.2),
        },
    ] {
        let plan = plan.clone().with_decoder(decoder);
        let trainer = plan.trainer(&cpu()).unwrap();
        let mut run = trainer.run();
        let pretrained = trainer.pretrain(cells, &mut run).unwrap();
        let before = [weights(&pretrained.decoder), weights(&pretrained.head)];
        let encoder = weights(&pretrained.encoder);
        let fit = trainer.cluster(pretrained, cells, &mut run).unwrap();
        let network = fit.model().network();
        let after = network
            .reconstruction
            .as_ref()
            .map(|part| [weights(&part.decoder), weights(&part.head)]);
        assert_ne!(weights(&network.encoder), encoder, "{plan:?}");

        let denoised = fit.model().denoise(cells);
        let without = ["clustering", "must-link", "cannot-link"];
        match decoder {
            DecoderTraining::Removed => {
                assert!(after.is_none());
                assert!(matches!(denoised, Err(Error::NoDecoder)), "{denoised:?}");
                assert_eq!(names(&fit), without);
            }
            DecoderTraining::Kept => {
                assert_eq!(after.unwrap(), before, "{plan:?}");
                assert!(denoised.unwrap().iter().all(|value| value.is_finite()));
                assert_eq!(names(&fit), without);
            }
            DecoderTraining::Joint { weight, .. } => {
                let after = after.unwrap();
                assert_ne!(after[0], before[0], "{plan:?}");
                assert_ne!(after[1], before[1], "{plan:?}");
                assert!(denoised.unwrap().iter().all(|value| value.is_finite()));
                let term = match weight {
                    1.0 => loss.to_string(),
                    _ => format!("{weight}·{loss}"),
                };
                let of_pairs = format!("must-link {term}");
                assert_eq!(
                    names(&fit),
                    ["clustering", &term, "must-link", &of_pairs, "cannot-link"]
                );
            }
            _ => unreachable!("all forms are above"),
        }

        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model");
        fit.model().save(&path).unwrap();
        let loaded = FittedModel::<H>::load(&path, &cpu()).unwrap();
        assert_eq!(&loaded.assign(cells).unwrap(), fit.clusters());
        assert_eq!(loaded.denoise(cells).ok(), fit.model().denoise(cells).ok());
    }
}

#[test]
fn count_heads_train_with_every_form_of_decoder_training() {
    let (cells, _) = simulated(60, 20, 1);
    for distribution in [
        CountDistribution::NegativeBinomial,
        CountDistribution::ZeroInflated,
    ] {
        check(scdcc(3).with_distribution(distribution), &cells);
    }
    check(
        scdcc(3).with_reconstruction(NbLoss::new(), NbHeadConfig::new()),
        &cells,
    );
    check(
        scdcc(3).with_reconstruction(ZinbLoss::new(), ZinbHeadConfig::new()),
        &cells,
    );
}

#[test]
fn heads_of_one_output_train_with_every_form_of_decoder_training() {
    let (cells, _) = simulated(60, 20, 2);
    check(
        scdcc(3).with_reconstruction(MseLoss::new(), MseHeadConfig::new()),
        &cells,
    );
    for link in [Link::Identity, Link::Exp, Link::Softplus, Link::Sigmoid] {
        let squares = loss::from_fn::<LinearHead, _>("squares", |output, batch| {
            (output.expectation() - batch.counts.clone()).square()
        });
        check(
            scdcc(3).with_reconstruction(squares, LinearHeadConfig::new(link)),
            &cells,
        );
    }
}

#[test]
fn a_head_of_ones_own_trains_with_every_form_of_decoder_training() {
    let (cells, _) = simulated(60, 20, 3);
    check(
        scdcc(3).with_reconstruction(poisson(), DeepHeadConfig::new(7)),
        &cells,
    );
}

/// The preset of one method with the decoder training of the other.
#[test]
fn a_desc_can_keep_its_decoder() {
    let (cells, _) = simulated(60, 20, 4);
    let plan = crate::desc().with_start(CentroidStart::KMeans(KMeansConfig::new(3)));
    check(plan, &cells);
}

/// Several blocks, the last one shorter, in the order of the cells.
#[test]
fn denoised_expression_comes_in_blocks_of_cells() {
    let (cells, _) = simulated(2100, 30, 8);
    let fit = crate::fitted(&scdcc(3).with_epochs(1, 1), &cells);
    let whole = fit.model().denoise(&cells).unwrap();
    let mut seen = 0;
    let mut blocks = 0;
    fit.model()
        .denoise_blocks(&cells, |rows, values| {
            assert_eq!(rows.start, seen);
            assert_eq!(values, whole.slice(ndarray::s![rows.clone(), ..]));
            seen = rows.end;
            blocks += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, cells.cells());
    assert!(blocks > 2, "{blocks}");
    let mut calls = 0;
    let stopped = fit.model().denoise_blocks(&cells, |_, _| {
        calls += 1;
        Err(Error::NoDecoder)
    });
    assert!(matches!(stopped, Err(Error::NoDecoder)) && calls == 1);
}
