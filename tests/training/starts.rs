//! Several starts: one fit for each, all on one pretraining.

use celldec::error::ParameterError;
use celldec::prelude::*;

use crate::{bits, cpu, default_scdcc, fitted, no_work, parameter, simulated};

fn three_starts() -> [CentroidStart; 3] {
    [
        CentroidStart::KMeans(KMeansConfig::new(3)),
        CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(4)),
        CentroidStart::Graph(GraphConfig::new(1.0)),
    ]
}

#[test]
fn fits_from_several_starts_share_one_pretraining_and_equal_single_fits() {
    let (cells, _) = simulated(80, 30, 1);
    let plan = default_scdcc().with_starts(three_starts());
    let (mut pretraining, mut searches) = (0, 0);
    let mut observer = |event: &Event<'_>| match event {
        Event::PhaseStarted { phase, .. } => {
            pretraining += usize::from(**phase == Phase::Pretraining);
        }
        Event::CentroidsFound { .. } => searches += 1,
        _ => {}
    };
    let trainer = plan.trainer(&cpu()).unwrap();
    let fits = trainer.fit_each_observed(&cells, &mut observer).unwrap();
    assert_eq!((fits.len(), pretraining, searches), (3, 1, 3));
    let unobserved = trainer.fit_each(&cells).unwrap();
    for ((fit, again), start) in fits.iter().zip(&unobserved).zip(three_starts()) {
        let alone = fitted(&default_scdcc().with_start(start), &cells);
        assert_eq!(bits(fit, &cells), bits(&alone, &cells));
        assert_eq!(bits(again, &cells), bits(&alone, &cells));
        assert_eq!(fit.status(), alone.status());
        assert_eq!(fit.resolution(), alone.resolution());
        // Each model says where it started, not where the others did.
        assert_eq!(fit.model().info(), alone.model().info());
    }
    assert_eq!(fits[2].resolution(), Some(1.0));
}

#[test]
fn a_plan_with_several_starts_has_no_single_fit() {
    let (cells, _) = simulated(40, 20, 2);
    let trainer = default_scdcc()
        .with_starts(three_starts())
        .trainer(&cpu())
        .unwrap();
    let autoencoder = trainer.pretrain(&cells, &mut trainer.run()).unwrap();
    for refused in [
        trainer.fit(&cells),
        trainer.fit_observed(&cells, &mut no_work),
        trainer.fit_from(autoencoder.clone(), &cells),
        trainer.cluster(
            autoencoder.clone(),
            &cells,
            &mut trainer.run_observed(&mut no_work),
        ),
    ] {
        let error = parameter(refused.unwrap_err());
        assert!(matches!(error, ParameterError::Conflict { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("3 starts") && text.contains("fit_each"),
            "{text}"
        );
    }
    let each = trainer.cluster_each(autoencoder, &cells, &mut trainer.run());
    assert_eq!(each.unwrap().len(), 3);

    let error = default_scdcc().with_starts([]).trainer(&cpu()).unwrap_err();
    assert!(parameter(error).to_string().contains("at least one start"));
    // One start in a list is one start.
    let [first, ..] = three_starts();
    let one = fitted(&default_scdcc().with_starts([first.clone()]), &cells);
    let same = fitted(&default_scdcc().with_start(first), &cells);
    assert_eq!(bits(&one, &cells), bits(&same, &cells));
}

/// A start that the cells do not allow is seen before any work, also when it is the last.
#[test]
fn every_start_is_checked_before_any_work() {
    let (cells, _) = simulated(20, 10, 3);
    let plan = default_scdcc().with_starts([
        CentroidStart::KMeans(KMeansConfig::new(3)),
        CentroidStart::KMeans(KMeansConfig::new(21)),
    ]);
    let trainer = plan.trainer(&cpu()).unwrap();
    let refused = trainer.fit_each_observed(&cells, &mut no_work).unwrap_err();
    assert_eq!(
        parameter(refused),
        ParameterError::Clusters {
            clusters: 21,
            cells: 20
        }
    );
}
