//! A loss of one's own for pairs of cells.

use celldec::burn::tensor::Tensor;
use celldec::description::Description;
use celldec::prelude::*;
use celldec::train::PairTraining;
use celldec_downstream::{short, three_groups};

// program: loss of pairs; at most 15 lines
/// Half the squared difference of two cells' assignments: bounded, whatever the pair.
struct Difference;

impl ConstraintLoss for Difference {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        (first - second).square().sum_dim(1).squeeze_dim(1) * 0.5
    }

    fn description(&self) -> Description {
        Description::new("difference")
    }
}
// end

#[test]
fn pairs_train_by_a_loss_of_ones_own() -> celldec::Result<()> {
    let (cells, groups) = three_groups(90, 1)?;
    let known: Vec<Option<usize>> = groups.iter().map(|&group| Some(group)).collect();
    let pairs = ConstraintPairs::from_labels(&known, 60, 3)?;
    let training = PairTraining::published(pairs.clone())
        .with_must_link_loss(Difference.weighted(2.0))
        .with_pair_errors(0.1);
    let fit = short(Plan::scdcc(3))
        .with_pairs(training)
        .trainer(&Device::default())?
        .fit(&cells)?;
    let losses = |epoch: usize| fit.history()[4 + epoch].losses.clone();
    let names: Vec<String> = losses(0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["clustering", "2·difference", "cannot-link"]);
    assert!(
        losses(2)[1].1 < losses(0)[1].1,
        "{:?} {:?}",
        losses(0),
        losses(2)
    );
    let record = &fit.model().info().settings["pairs"];
    assert_eq!(record["must_link_loss"]["settings"]["weight"], 2.0);
    assert_eq!(record["must_link_pairs"], pairs.must_link().len());
    Ok(())
}
