//! Losses of one's own, weighted losses and sums, in and out of training.

use burn::tensor::Tensor;
use celldec::batches::{Batch, Batches, ReconstructionTarget};
use celldec::description::Description;
use celldec::loss::{self, Sum, Weighted};
use celldec::nn::{
    Activation, Autoencoder, AutoencoderConfig, HeadOutput, InitialWeights, MseHeadConfig,
    NbHeadConfig, ReconstructionHead, ZinbHeadConfig, initialize_weights,
};
use celldec::pairs::{CannotLinkLoss, MustLinkLoss};
use celldec::prelude::*;
use proptest::prelude::*;

use crate::{bits, cpu, default_scdcc, desc, fitted, scdcc, simulated};

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
    let name = loss.description().name().to_string();
    let (output, batch) = output_of::<L::Head>(cells, head);
    let mean = value(loss.forward_no_reduction(&output, &batch).mean());
    let single = value(loss.forward(&output, &batch));
    assert!(close(mean, single), "{name}: {mean} {single}");

    let weighted = value(loss.weighted(0.3).forward(&output, &batch));
    assert!(close(weighted, 0.3 * single), "{name}");
    let sum = loss.weighted(0.3).plus(loss.weighted(2.0));
    let total = value(sum.forward(&output, &batch));
    assert!(close(total, 2.3 * single), "{name}");
    let entries = value(sum.forward_no_reduction(&output, &batch).mean());
    assert!(close(entries, total), "{name}");
    assert_eq!(sum.description().name(), format!("0.3·{name} + 2·{name}"));
    // A history tells the parts of a sum apart.
    let terms = sum.terms(&output, &batch);
    let names: Vec<&str> = terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, [format!("0.3·{name}"), format!("2·{name}")]);
    let parts = terms.into_iter().map(|term| value(term.loss));
    assert!(close(parts.sum(), total), "{name}");
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

    fn description(&self) -> Description {
        self.loss.description()
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
    fn check<H: ReconstructionHead>(plans: [Plan<H>; 2], cells: &Cells) {
        let [found, expected] = plans.each_ref().map(|plan| fitted(plan, cells));
        assert_eq!(bits(&found, cells), bits(&expected, cells), "{plans:?}");
    }
    let scdcc = [
        scdcc(3).with_reconstruction(loss, head.clone()),
        scdcc(3).with_reconstruction(both, head.clone()),
    ];
    check(scdcc, cells);
    let desc = [
        desc().with_reconstruction(loss, head.clone()),
        desc().with_reconstruction(both, head.clone()),
    ];
    check(desc, cells);
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
    let input = Named {
        loss: MseLoss::new(),
        target: ReconstructionTarget::Counts,
    };
    let counts = Named {
        loss: ZinbLoss::new(),
        target: ReconstructionTarget::Input,
    };
    fn error<H: ReconstructionHead>(plan: Plan<H>, cells: &Cells) -> Error {
        let failure = plan.trainer(&cpu()).unwrap().fit(cells).unwrap_err();
        failure.into_parts().0
    }
    for error in [
        error(
            scdcc(3).with_reconstruction(input, MseHeadConfig::new()),
            &cells,
        ),
        error(
            scdcc(3).with_reconstruction(counts, ZinbHeadConfig::new()),
            &cells,
        ),
    ] {
        assert!(
            matches!(
                error,
                Error::Diverged {
                    epoch: 0,
                    batch: 0,
                    ..
                }
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
        let exact = KlDivergence::new();
        let offset = KlDivergence::new().with_offset(1e-2);
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
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        (p * q.log()).sum_dim(1).mean().neg()
    }

    fn description(&self) -> Description {
        Description::new("cross entropy")
    }
}

#[test]
fn a_loss_of_ones_own_trains() {
    let (cells, _) = simulated(60, 30, 2);
    let divergence = fitted(&scdcc(3), &cells);
    let own = fitted(&scdcc(3).with_clustering(CrossEntropy), &cells);
    for (a, b) in divergence.embedding().iter().zip(own.embedding()) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    assert_ne!(bits(&divergence, &cells), bits(&own, &cells));
    let last = own.history().last().unwrap();
    assert_eq!(last.losses[0].0, "cross entropy");
}

/// A weighted clustering loss is the loss times the weight, step by step.
#[test]
fn the_clustering_weight_is_a_factor() {
    let (cells, _) = simulated(60, 30, 3);
    let weighted = scdcc(3).with_clustering(KlDivergence::new().weighted(0.25));
    let product = loss::clustering_from_fn("0.25·clustering", |q, p| {
        KlDivergence::new().forward(q, p) * 0.25
    });
    let product = scdcc(3).with_clustering(product);
    assert_eq!(
        bits(&fitted(&weighted, &cells), &cells),
        bits(&fitted(&product, &cells), &cells)
    );
}

/// Replacing the distance leaves the target as it is: a loss that computes the default's gives the
/// default's bits, smoothed target included.
#[test]
fn another_clustering_loss_keeps_the_target() {
    let (cells, _) = simulated(60, 30, 4);
    let same = loss::clustering_from_fn("clustering", |q, p| KlDivergence::new().forward(q, p));
    let own = fitted(&default_scdcc().with_clustering(same), &cells);
    let default = bits(&fitted(&default_scdcc(), &cells), &cells);
    assert_eq!(bits(&own, &cells), default);
    let plain = fitted(&default_scdcc().with_target(SharpenedTarget::new()), &cells);
    assert_ne!(bits(&plain, &cells), default);
    let unsmoothed = SmoothedTarget::new(SharpenedTarget::new(), 0);
    let unsmoothed = fitted(&default_scdcc().with_target(unsmoothed), &cells);
    assert_eq!(bits(&unsmoothed, &cells), bits(&plain, &cells));
}

/// The terms of a sum stand in the history under names of their own.
#[test]
fn histories_tell_the_parts_of_a_sum_apart() {
    let (cells, _) = simulated(60, 30, 5);
    let sum = NbLoss::new()
        .weighted(0.75)
        .plus(NbLoss::new().weighted(0.25));
    let clustering = KlDivergence::new().plus(CrossEntropy.weighted(0.5));
    let plan = scdcc(3)
        .with_reconstruction(sum, NbHeadConfig::new())
        .with_clustering(clustering);
    let fit = fitted(&plan, &cells);
    let names = |epoch: usize| -> Vec<&str> {
        let losses = &fit.history()[epoch].losses;
        losses.iter().map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(names(0), ["0.75·nb", "0.25·nb"]);
    assert_eq!(
        names(8),
        ["clustering", "0.5·cross entropy", "0.75·nb", "0.25·nb"]
    );
    for record in fit.history() {
        let value = |name: &str| record.losses.iter().find(|(n, _)| n == name).unwrap().1;
        let ratio = value("0.75·nb") / value("0.25·nb");
        assert!((ratio - 3.0).abs() < 1e-5, "{ratio}");
    }
}

/// A loss that no weight changes has no gradient: no step is taken, and nothing panics.
#[test]
fn a_loss_that_depends_on_no_weight_takes_no_step() {
    let (cells, _) = simulated(60, 30, 6);
    let constant = loss::clustering_from_fn("constant", |_, p| p.square().mean());
    let fit = fitted(&default_scdcc().with_clustering(constant), &cells);
    let start = fitted(&default_scdcc().with_epochs(3, 0), &cells);
    assert_eq!(fit.embedding(), start.embedding());
    assert_eq!(fit.clusters(), start.clusters());
    assert_eq!(fit.history().last().unwrap().losses[0].0, "constant");
}
