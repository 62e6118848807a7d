//! A target and clustering losses of one's own.

use celldec::burn::tensor::Tensor;
use celldec::description::Description;
use celldec::graph::EmbeddedCells;
use celldec::loss;
use celldec::prelude::*;
use celldec_downstream::{short, three_groups};

// program: target, a power of q; at most 15 lines
/// `p_ij ∝ q_ij^power`: sharper than q, with clusters of any size.
struct PoweredTarget {
    power: f32,
}

impl Target for PoweredTarget {
    fn target(&self, q: Tensor<2>, _: &EmbeddedCells<'_>) -> celldec::Result<Tensor<2>> {
        let powers = q.powf_scalar(self.power);
        Ok(powers.clone() / powers.sum_dim(1))
    }

    fn description(&self) -> Description {
        Description::new("powered").with("power", self.power)
    }
}
// end

// program: clustering loss with an entropy term; at most 15 lines
/// Distance to the target, plus the entropy of the cells' assignments.
struct Decided {
    weight: f64,
}

impl ClusteringLoss for Decided {
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        let entropy = (q.clone() * q.clone().clamp_min(1e-8).log())
            .sum_dim(1)
            .mean()
            .neg();
        KlDivergence::new().forward(q, p) + entropy * self.weight
    }

    fn description(&self) -> Description {
        Description::new("decided").with("weight", self.weight)
    }
}
// end

#[test]
fn target_and_loss_of_ones_own_in_both_methods() -> celldec::Result<()> {
    let (cells, groups) = three_groups(90, 1)?;
    let device = Device::default();
    let scdcc = short(Plan::scdcc(3))
        .with_target(PoweredTarget { power: 3.0 })
        .with_clustering(Decided { weight: 0.1 });
    let fit = scdcc.trainer(&device)?.fit(&cells)?;
    assert_eq!(fit.history()[4].losses[0].0, "decided");
    let record = &fit.model().info().settings;
    assert_eq!(record["target"]["settings"]["power"], 3.0);
    assert_eq!(record["clustering"]["settings"]["weight"], 0.1);
    // The smoothing of the default is a part like any other: wrapped around, if it is wanted.
    let smoothed = SmoothedTarget::new(PoweredTarget { power: 3.0 }, 5);
    let desc = short(Plan::desc())
        .with_epochs(60, 3)
        .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
        .with_target(smoothed)
        .with_clustering(Decided { weight: 0.1 });
    let fit = desc.trainer(&device)?.fit(&cells)?;
    let agreement = celldec::metrics::adjusted_rand_index(&groups, fit.clusters().labels())?;
    assert!(agreement > 0.5, "{agreement}");
    Ok(())
}

#[test]
fn the_terms_of_a_sum_stand_apart_in_the_history() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    // program: sum of clustering losses; at most 15 lines
    let entropy = loss::clustering_from_fn("entropy", |q, _| {
        (q.clone() * q.clamp_min(1e-8).log())
            .sum_dim(1)
            .mean()
            .neg()
    });
    let plan = Plan::scdcc(3).with_clustering(KlDivergence::new().plus(entropy.weighted(0.1)));
    // end
    let fit = short(plan).trainer(&Device::default())?.fit(&cells)?;
    for record in &fit.history()[4..] {
        let [(distance, near), (entropy, decided)] = &record.losses[..] else {
            panic!("{:?}", record.losses);
        };
        assert_eq!((&**distance, &**entropy), ("clustering", "0.1·entropy"));
        assert!(*near > 0.0 && *decided > 0.0);
        assert!((record.total_loss() - near - decided).abs() < 1e-12);
    }
    Ok(())
}

#[test]
fn a_target_that_is_none_is_an_error_with_its_name() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    let half = loss::target_from_fn("half", |q, _| Ok(q.narrow(0, 0, 30)));
    let trainer = short(Plan::scdcc(3))
        .with_target(half)
        .trainer(&Device::default())?;
    let failure = trainer.fit(&cells).expect_err("half a target");
    assert!(
        failure.error().to_string().contains("\"half\""),
        "{failure}"
    );
    Ok(())
}
