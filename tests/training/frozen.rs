//! Frozen parts keep their weights bit by bit, the others train.

use burn::optim::grad_clipping::GradientClippingConfig;
use celldec::nn::{CountDistribution, ReconstructionHead};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::train::{DecoderTraining, Part};

use crate::checkpoint::check_every_checkpoint;
use crate::{cpu, default_scdcc, desc, fitted, scdcc, simulated, weights};

const PARTS: [Part; 4] = [Part::Encoder, Part::Decoder, Part::Head, Part::Centroids];

/// Every set of parts that leaves something to train in both phases.
fn sets() -> impl Iterator<Item = Vec<Part>> {
    (1..16u32)
        .map(|set| {
            let parts = PARTS.iter().enumerate();
            let parts = parts.filter(|(bit, _)| set & (1 << bit) != 0);
            parts.map(|(_, part)| *part).collect::<Vec<_>>()
        })
        .filter(|set| {
            let all = |parts: &[Part]| parts.iter().all(|part| set.contains(part));
            !all(&PARTS[..3]) && !all(&[Part::Encoder, Part::Centroids])
        })
}

/// Weights of encoder, decoder and head.
fn pretrained<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> [Vec<u32>; 3] {
    let trainer = plan.trainer(&cpu()).unwrap();
    let autoencoder = trainer.pretrain(cells, &mut trainer.run()).unwrap();
    [
        weights(&autoencoder.encoder),
        weights(&autoencoder.decoder),
        weights(&autoencoder.head),
    ]
}

/// Weights of encoder, decoder, head and centroids.
fn clustered<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> [Vec<u32>; 4] {
    let fit = fitted(plan, cells);
    let network = fit.model().network();
    let decoder = network.reconstruction.as_ref();
    [
        weights(&network.encoder),
        decoder.map_or(Vec::new(), |part| weights(&part.decoder)),
        decoder.map_or(Vec::new(), |part| weights(&part.head)),
        weights(&network.clustering),
    ]
}

/// An optimizer that moves every weight in every step, with or without a gradient.
fn restless() -> OptimizerConfig {
    OptimizerConfig::sgd(0.9)
        .with_weight_decay(0.1)
        .with_clipping(GradientClippingConfig::Norm(1.0))
}

fn check<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells, trained: &[Part]) {
    let plan = plan
        .clone()
        .with_pretraining(|phase| phase.with_optimizer(restless()).with_learning_rate(0.01))
        .with_self_training(|phase| phase.with_optimizer(restless()).with_learning_rate(0.01));
    for frozen in sets() {
        let plan = plan.clone().with_frozen(frozen.clone());
        let start = plan
            .clone()
            .with_layerwise(None)
            .with_pretraining(|phase| phase.with_epochs(0));
        let (before, after) = (pretrained(&start, cells), pretrained(&plan, cells));
        for (number, part) in PARTS[..3].iter().enumerate() {
            let kept = before[number] == after[number];
            assert_eq!(kept, frozen.contains(part), "{part:?} of {frozen:?}");
        }
        let start = plan
            .clone()
            .with_self_training(|phase| phase.with_max_epochs(0));
        let (before, after) = (clustered(&start, cells), clustered(&plan, cells));
        for (number, part) in PARTS.iter().enumerate() {
            let kept = before[number] == after[number];
            let trains = trained.contains(part) && !frozen.contains(part);
            assert_eq!(kept, !trains, "{part:?} of {frozen:?}");
        }
    }
}

#[test]
fn frozen_parts_keep_their_weights_in_joint_training() {
    let (cells, _) = simulated(60, 20, 1);
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    let plan = scdcc(3).with_epochs(1, 1).with_constraints(pairs);
    check(&plan, &cells, &PARTS);
}

#[test]
fn frozen_parts_keep_their_weights_beside_a_kept_decoder() {
    let (cells, _) = simulated(60, 20, 2);
    let trained = [Part::Encoder, Part::Centroids];
    check(&default_scdcc().with_epochs(1, 1), &cells, &trained);
}

#[test]
fn frozen_parts_keep_their_weights_layer_by_layer() {
    let (cells, _) = simulated(60, 20, 3);
    let plan = desc()
        .with_published_pretraining(2)
        .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
        .with_self_training(|phase| phase.with_max_epochs(1));
    let layerwise = plan.layerwise.clone().unwrap().with_optimizer(restless());
    let plan = plan
        .with_layerwise(Some(layerwise))
        .with_decoder(DecoderTraining::Removed);
    check(&plan, &cells, &[Part::Encoder, Part::Centroids]);
}

/// A frozen part has no state in the optimizer, and needs none to be resumed.
#[test]
fn fits_with_frozen_parts_resume_at_every_checkpoint() {
    let (cells, _) = simulated(60, 20, 4);
    let plan = scdcc(3)
        .with_epochs(2, 2)
        .with_distribution(CountDistribution::NegativeBinomial);
    for frozen in [
        vec![Part::Encoder],
        vec![Part::Decoder, Part::Centroids],
        vec![Part::Head],
    ] {
        check_every_checkpoint(&plan.clone().with_frozen(frozen), &cells);
    }
}

/// What is frozen is a matter of the plan that trains, not of the one before: a part that one plan
/// froze trains in the next, and the other way round.
#[test]
fn a_part_is_frozen_by_the_plan_that_trains() {
    let (cells, _) = simulated(60, 20, 5);
    let plan = |frozen: &[Part]| scdcc(3).with_epochs(1, 1).with_frozen(frozen.to_vec());
    let of = |frozen_first: &[Part], frozen_next: &[Part]| {
        let first = plan(frozen_first).trainer(&cpu()).unwrap();
        let next = plan(frozen_next).trainer(&cpu()).unwrap();
        let autoencoder = first.pretrain(&cells, &mut first.run()).unwrap();
        let before = [
            weights(&autoencoder.encoder),
            weights(&autoencoder.decoder),
            weights(&autoencoder.head),
        ];
        let fit = next
            .cluster(autoencoder.clone(), &cells, &mut next.run())
            .unwrap();
        let network = fit.model().network();
        let part = network.reconstruction.as_ref().unwrap();
        let after = [
            weights(&network.encoder),
            weights(&part.decoder),
            weights(&part.head),
        ];
        // And with further pretraining before.
        let further = next.pretrain_from(autoencoder, &cells, &mut next.run());
        let further = further.unwrap();
        let further = [
            weights(&further.encoder),
            weights(&further.decoder),
            weights(&further.head),
        ];
        [0, 1, 2].map(|part| (before[part] == after[part], before[part] == further[part]))
    };
    let (trained, kept) = ((false, false), (true, true));
    assert_eq!(
        of(&[Part::Encoder, Part::Head], &[]),
        [trained, trained, trained]
    );
    assert_eq!(of(&[], &[Part::Encoder, Part::Head]), [kept, trained, kept]);
    assert_eq!(
        of(&[Part::Encoder], &[Part::Decoder]),
        [trained, kept, trained]
    );
}
