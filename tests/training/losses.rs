//! Losses of one's own, weighted losses and sums, in and out of training.

use burn::tensor::Tensor;
use celldec::batches::{Batch, Batches, ReconstructionTarget};
use celldec::loss::{CannotLinkLoss, MustLinkLoss, Sum, Weighted};
use celldec::nn::{
    Activation, Autoencoder, AutoencoderConfig, HeadOutput, InitialWeights, MseHeadConfig,
    NbHeadConfig, ReconstructionHead, ZinbHeadConfig, initialize_weights,
};
use celldec::prelude::*;
use proptest::prelude::*;

use crate::{bits, cpu, desc, scdcc, simulated};

fn value(tensor: Tensor<1>) -> f32 {
    tensor.into_scalar()
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs()).max(1.0)
}

/// The output of a fresh head for some cells.
fn output_of<H: ReconstructionHead>(cells: &Cells, head: &H::Config) -> (H::Output, Batch) {
    let autoencoder: Autoencoder<H> =
        AutoencoderConfig::symmetric(cells.genes(), &[8, 4], Activation::Linear).init(head, &cpu());
    let autoencoder = initialize_weights(autoencoder, InitialWeights::Pytorch, 5);
    let batch = Batches::new(cells, &cpu()).batch(&[0, 3, 5, 9]).unwrap();
    (autoencoder.forward(batch.input.clone()), batch)
}

/// `forward` is the mean of `forward_no_reduction`, and weights and sums are what they say.
fn check_combinations<L>(cells: &Cells, loss: L, head: &<L::Head as ReconstructionHead>::Config)
where
    L: ReconstructionLoss + Copy,
{
    let (output, batch) = output_of::<L::Head>(cells, head);
    let mean = value(loss.forward_no_reduction(&output, &batch).mean());
    let single = value(loss.forward(&output, &batch));
    assert!(close(mean, single), "{}: {mean} {single}", loss.name());

    let weighted = value(loss.weighted(0.3).forward(&output, &batch));
    assert!(close(weighted, 0.3 * single), "{}", loss.name());
    let sum = loss.weighted(0.3).plus(loss.weighted(2.0));
    let total = value(sum.forward(&output, &batch));
    assert!(close(total, 2.3 * single), "{}", loss.name());
    let entries = value(sum.forward_no_reduction(&output, &batch).mean());
    assert!(close(entries, total), "{}", loss.name());
    assert_eq!(
        sum.name(),
        format!("0.3·{name} + 2·{name}", name = loss.name())
    );
    assert_eq!(sum.target(), loss.target());
    let more = loss.weighted(0.3).plus(Named {
        loss,
        target: ReconstructionTarget::Both,
    });
    assert_eq!(more.target(), ReconstructionTarget::Both);
}

/// A loss that names other tensors than it reads.
#[derive(Clone, Copy)]
struct Named<L> {
    loss: L,
    target: ReconstructionTarget,
}

impl<L: ReconstructionLoss> ReconstructionLoss for Named<L> {
    type Head = L::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<2> {
        self.loss.forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<1> {
        self.loss.forward(output, batch)
    }

    fn target(&self) -> ReconstructionTarget {
        self.target
    }

    fn name(&self) -> String {
        self.loss.name()
    }
}

/// Trains both phases of scDCC, and DESC's layers, with a loss and with one that names more.
fn check_target<L>(cells: &Cells, loss: L, head: &<L::Head as ReconstructionHead>::Config)
where
    L: ReconstructionLoss + Copy + 'static,
    <L::Head as ReconstructionHead>::Config: Clone,
{
    let both = Named {
        loss,
        target: ReconstructionTarget::Both,
    };
    let trainer = || scdcc(3).init(&cpu()).unwrap();
    let found = trainer()
        .with_reconstruction_loss(loss, head.clone())
        .fit(cells)
        .unwrap();
    let expected = trainer()
        .with_reconstruction_loss(both, head.clone())
        .fit(cells)
        .unwrap();
    assert_eq!(
        bits(&found, cells),
        bits(&expected, cells),
        "{}",
        loss.name()
    );

    let trainer = || desc().init(&cpu()).unwrap();
    let found = trainer()
        .with_reconstruction_loss(loss, head.clone())
        .fit(cells)
        .unwrap();
    let expected = trainer()
        .with_reconstruction_loss(both, head.clone())
        .fit(cells)
        .unwrap();
    let (found, expected) = (&found[0].fit, &expected[0].fit);
    assert_eq!(bits(found, cells), bits(expected, cells), "{}", loss.name());
}

#[test]
fn tensors_that_a_loss_does_not_name_change_nothing() {
    let (cells, _) = simulated(60, 30, 5);
    check_target(&cells, MseLoss::new(), &MseHeadConfig::new());
    check_target(&cells, NbLoss::new(), &NbHeadConfig::new());
    check_target(&cells, ZinbLoss::new(), &ZinbHeadConfig::new());
}

#[test]
fn a_loss_that_reads_more_than_it_names_is_an_error() {
    let (cells, _) = simulated(60, 30, 6);
    let trainer = || scdcc(3).init(&cpu()).unwrap();
    let input = Named {
        loss: MseLoss::new(),
        target: ReconstructionTarget::Counts,
    };
    let counts = Named {
        loss: ZinbLoss::new(),
        target: ReconstructionTarget::Input,
    };
    for error in [
        trainer()
            .with_reconstruction_loss(input, MseHeadConfig::new())
            .fit(&cells)
            .err(),
        trainer()
            .with_reconstruction_loss(counts, ZinbHeadConfig::new())
            .fit(&cells)
            .err(),
    ] {
        assert!(
            matches!(
                error,
                Some(Error::Diverged {
                    epoch: 0,
                    batch: 0,
                    ..
                })
            ),
            "{error:?}"
        );
    }
}

#[test]
fn reconstruction_losses_combine() {
    let (cells, _) = simulated(20, 15, 1);
    check_combinations(&cells, MseLoss::new(), &MseHeadConfig::new());
    check_combinations(&cells, NbLoss::new(), &NbHeadConfig::new());
    check_combinations(&cells, ZinbLoss::new(), &ZinbHeadConfig::new());
}

fn distributions(values: &[f32], columns: usize) -> Tensor<2> {
    let rows: Vec<f32> = values
        .chunks_exact(columns)
        .flat_map(|row| {
            let total: f32 = row.iter().sum();
            row.iter().map(move |value| value / total)
        })
        .collect();
    let count = rows.len() / columns;
    let flat: Tensor<1> = Tensor::from_data(rows.as_slice(), &cpu());
    flat.reshape([count, columns])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn clustering_and_constraint_losses_combine(
        values in prop::collection::vec(1e-3f32..1.0, 24),
        first in 0.0f64..3.0,
        second in 0.0f64..3.0,
    ) {
        let (q, p) = (distributions(&values[..12], 4), distributions(&values[12..], 4));
        let exact = KlSelfTraining::new();
        let offset = KlSelfTraining::new().with_offset(1e-2);
        let single = |loss: &dyn ClusteringLoss| value(loss.forward(q.clone(), p.clone()));
        let sum: Sum<Weighted<_>, Weighted<_>> = exact.weighted(first).plus(offset.weighted(second));
        let expected = first as f32 * single(&exact) + second as f32 * single(&offset);
        prop_assert!(close(single(&sum), expected));

        for loss in [&MustLinkLoss::new() as &dyn ConstraintLoss, &CannotLinkLoss::new()] {
            let pairs = loss.forward_no_reduction(q.clone(), p.clone());
            prop_assert_eq!(pairs.dims(), [3]);
            let mean = value(loss.forward(q.clone(), p.clone()));
            prop_assert!(close(value(pairs.mean()), mean));
        }
        let must_link = MustLinkLoss::new();
        let weighted = value(Weighted::new(must_link, first).forward(q.clone(), p.clone()));
        prop_assert!(close(weighted, first as f32 * value(must_link.forward(q, p))));
    }
}

/// A clustering loss as a user would write it: the cross entropy to the target, which has the
/// gradients of the divergence.
struct CrossEntropy;

impl ClusteringLoss for CrossEntropy {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        KlSelfTraining::new().target(q)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        (p * q.log()).sum_dim(1).mean().neg()
    }

    fn name(&self) -> String {
        "cross entropy".into()
    }
}

#[test]
fn a_loss_of_ones_own_trains() {
    let (cells, _) = simulated(60, 30, 2);
    let trainer = scdcc(3).init(&cpu()).unwrap();
    let divergence = trainer.fit(&cells).unwrap();
    let own = trainer
        .with_clustering_loss(CrossEntropy)
        .fit(&cells)
        .unwrap();
    for (a, b) in divergence.embedding().iter().zip(own.embedding()) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    assert_ne!(bits(&divergence, &cells), bits(&own, &cells));
    let last = own.history().last().unwrap();
    assert_eq!(last.losses[0].0, "cross entropy");
}

/// The weight of the clustering loss is that of a weighted clustering loss.
#[test]
fn the_clustering_weight_is_a_weighted_loss() {
    let (cells, _) = simulated(60, 30, 3);
    let config = scdcc(3);
    let by_setting = config
        .clone()
        .with_clustering_weight(0.25)
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    let by_loss = config
        .init(&cpu())
        .unwrap()
        .with_clustering_loss(KlSelfTraining::new().weighted(0.25))
        .fit(&cells)
        .unwrap();
    assert_eq!(bits(&by_setting, &cells), bits(&by_loss, &cells));
}
