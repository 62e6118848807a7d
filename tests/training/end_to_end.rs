//! Both methods from start to end, with every kind of start, head and constraint.

use celldec::metrics::adjusted_rand_index;
use celldec::model::EpochRecord;
use celldec::nn::{
    Dispersion, MseHeadConfig, NbHead, NbHeadConfig, ReconstructionHead, ZinbHeadConfig,
};
use celldec::prelude::*;
use celldec::train::{EarlyStopping, Stage, TrainingRun};

use crate::{bits, cpu, desc, fitted, parameter, scdcc, simulated};

fn check_result<H: ReconstructionHead>(fit: &Fit<H>, cells: &Cells, latent: usize) {
    let clusters = fit.clusters();
    assert_eq!(fit.embedding().dim(), (cells.cells(), latent));
    assert_eq!(clusters.soft().dim(), (cells.cells(), clusters.count()));
    assert_eq!(fit.centroids().dim(), (clusters.count(), latent));
    assert_eq!(clusters.labels().len(), cells.cells());
    assert_eq!(fit.initial_labels().len(), cells.cells());
    assert_eq!(clusters.sizes().iter().sum::<usize>(), cells.cells());
    assert_eq!(clusters.sizes(), fit.status().cluster_sizes);
    for (row, &label) in clusters.soft().rows().into_iter().zip(clusters.labels()) {
        assert!((row.sum() - 1.0).abs() < 1e-5);
        assert!(row.iter().all(|&q| q <= row[label]));
    }
    let status = fit.status();
    assert_eq!(
        fit.history().len(),
        status.pretraining_epochs + status.self_training_epochs
    );
    assert!(
        fit.history()
            .iter()
            .all(|record| record.total_loss().is_finite())
    );
}

fn losses(history: &[EpochRecord], phase: Phase) -> Vec<f64> {
    history
        .iter()
        .filter(|record| record.phase == phase)
        .map(EpochRecord::total_loss)
        .collect()
}

#[test]
fn scdcc_finds_the_groups() {
    let (cells, groups) = simulated(150, 80, 1);
    let fit = fitted(&scdcc(3).with_epochs(60, 15), &cells);
    check_result(&fit, &cells, 6);
    let agreement = adjusted_rand_index(fit.clusters().labels(), &groups).unwrap();
    assert!(agreement > 0.8, "{agreement}");
    let pretraining = losses(fit.history(), Phase::Pretraining);
    assert_eq!(pretraining.len(), 60);
    assert!(pretraining[59] < 0.8 * pretraining[0], "{pretraining:?}");
}

#[test]
fn desc_finds_the_groups() {
    let (cells, groups) = simulated(150, 80, 1);
    let plan = desc()
        .with_published_pretraining(120)
        .with_self_training(|phase| phase.with_max_epochs(20))
        .with_resolutions([0.4]);
    let fit = fitted(&plan, &cells);
    check_result(&fit, &cells, 6);
    let agreement = adjusted_rand_index(fit.clusters().labels(), &groups).unwrap();
    assert!(agreement > 0.8, "{agreement}");
    let pretraining = losses(fit.history(), Phase::Pretraining);
    assert!(pretraining.last() < pretraining.first(), "{pretraining:?}");
}

/// Several resolutions share one pretraining and are the same as single runs.
#[test]
fn resolutions_share_one_pretraining() {
    let (cells, _) = simulated(90, 40, 2);
    let fit = |resolutions: &[f64]| {
        let mut pretraining_phases = 0;
        let mut observer = |event: &Event<'_>| {
            if let Event::PhaseStarted { phase, .. } = event {
                pretraining_phases += usize::from(**phase == Phase::Pretraining);
            }
        };
        let fits = desc()
            .with_resolutions(resolutions.to_vec())
            .trainer(&cpu())
            .unwrap()
            .fit_each_observed(&cells, &mut observer)
            .unwrap();
        assert_eq!(pretraining_phases, 1);
        fits
    };
    let together = fit(&[0.8, 2.0]);
    assert_eq!(together.len(), 2);
    for (one, resolution) in together.iter().zip([0.8, 2.0]) {
        assert_eq!(one.resolution(), Some(resolution));
        let alone = fit(&[resolution]);
        assert_eq!(
            bits(&alone[0], &cells),
            bits(one, &cells),
            "resolution {resolution}"
        );
    }
    assert!(together[0].clusters().count() < together[1].clusters().count());
}

#[test]
fn either_method_takes_either_start() {
    let (cells, _) = simulated(60, 30, 3);
    let graph = CentroidStart::Graph(GraphConfig::new(1.0));
    let kmeans = CentroidStart::KMeans(KMeansConfig::new(4));
    for start in [graph, kmeans] {
        let scdcc = fitted(&scdcc(0).with_start(start.clone()), &cells);
        check_result(&scdcc, &cells, 6);
        let desc = fitted(&desc().with_start(start.clone()), &cells);
        check_result(&desc, &cells, 6);
        let graph = matches!(start, CentroidStart::Graph(_));
        assert_eq!(desc.resolution(), graph.then_some(1.0));
        assert_eq!(scdcc.resolution(), desc.resolution());
        if !graph {
            assert_eq!(scdcc.clusters().count(), 4);
            assert_eq!(desc.clusters().count(), 4);
        }
    }
}

#[test]
fn reference_settings_and_resolution_starts_train() {
    let (cells, _) = simulated(60, 30, 3);
    for plan in [
        Plan::scdcc_reference(3),
        Plan::scdeepcluster(3),
        Plan::scdcc_at_resolution(1.0),
    ] {
        check_result(&fitted(&plan.with_epochs(2, 2), &cells), &cells, 32);
    }
    let plan = Plan::desc_reference()
        .with_published_pretraining(6)
        .with_self_training(|phase| phase.with_max_epochs(5));
    // By the number of cells.
    check_result(&fitted(&plan, &cells), &cells, 16);
}

/// Without pairs the published scDCC is scDeepCluster, under another name.
#[test]
fn scdeepcluster_is_scdcc_without_pairs() {
    let (cells, _) = simulated(60, 30, 3);
    let scdcc = fitted(&Plan::scdcc_reference(3).with_epochs(2, 2), &cells);
    let scdeepcluster = fitted(&Plan::scdeepcluster(3).with_epochs(2, 2), &cells);
    assert_eq!(bits(&scdcc, &cells), bits(&scdeepcluster, &cells));
    assert_eq!(scdcc.model().info().method, "scdcc");
    assert_eq!(scdeepcluster.model().info().method, "scdeepcluster");
}

/// Neither a number of clusters nor a resolution is given.
#[test]
fn the_number_of_clusters_is_found() {
    let (cells, groups) = simulated(300, 80, 6);
    let types = groups.iter().max().unwrap() + 1;
    let fit = fitted(&Plan::scdcc_auto(), &cells);
    assert_eq!(fit.clusters().count(), types);
    assert!(adjusted_rand_index(&groups, fit.clusters().labels()).unwrap() > 0.95);
    assert!(fit.resolution().is_some());
    let fit = fitted(&Plan::desc_auto(), &cells);
    assert!(fit.resolution().is_some());
    assert_eq!(fit.clusters().count(), types);
    assert!(adjusted_rand_index(&groups, fit.clusters().labels()).unwrap() > 0.95);
}

#[test]
fn the_defaults_of_desc_train() {
    let (cells, groups) = simulated(200, 80, 6);
    let plan = Plan::desc().with_resolutions([0.5, 1.0]);
    let fits = plan.trainer(&cpu()).unwrap().fit_each(&cells).unwrap();
    assert_eq!(fits.len(), 2);
    for fit in &fits {
        check_result(fit, &cells, 32);
        let phases = || fit.history().iter().map(|record| &record.phase);
        let layerwise = Phase::LayerwisePretraining { layer: 0 };
        assert!(phases().all(|phase| *phase != layerwise));
        let pretraining = phases().filter(|phase| **phase == Phase::Pretraining);
        assert_eq!(pretraining.count(), 10);
    }
    let labels = fits[0].clusters().labels();
    assert!(adjusted_rand_index(&groups, labels).unwrap() > 0.9);
}

#[test]
fn pretraining_stops_when_its_loss_no_longer_falls() {
    let (cells, _) = simulated(60, 30, 3);
    let rule = EarlyStopping::new(1e9, 2);
    let stopped = scdcc(3).with_pretraining(|phase| phase.with_early_stopping(Some(rule)));
    let fit = fitted(&stopped, &cells);
    // The first epoch is the best so far, two more bring no fall of a thousand million.
    assert_eq!(fit.status().pretraining_epochs, 3);
    let stopped = Plan::desc()
        .with_resolutions([1.0])
        .with_pretraining(|phase| phase.with_early_stopping(Some(rule)));
    let fit = fitted(&stopped, &cells);
    assert_eq!(fit.status().pretraining_epochs, 3);
}

#[test]
fn an_ensemble_is_its_members() {
    let (cells, groups) = simulated(150, 60, 9);
    let fit = |seed| -> Result<Fit<CountHead>> {
        Ok(scdcc(3).with_seed(seed).trainer(&cpu())?.fit(&cells)?)
    };
    let ensemble = Ensemble::fit(3, 5, fit).unwrap();
    for (member, seed) in ensemble.members().iter().zip(5..) {
        assert_eq!(bits(member, &cells), bits(&fit(seed).unwrap(), &cells));
    }
    let consensus = ensemble.consensus();
    assert_eq!(
        consensus.stability.len(),
        ensemble.medoid().clusters().count()
    );
    let alone = ensemble
        .members()
        .iter()
        .map(|member| adjusted_rand_index(&groups, member.clusters().labels()).unwrap());
    let together = adjusted_rand_index(&groups, &consensus.labels).unwrap();
    assert!(
        together >= alone.fold(f64::INFINITY, f64::min),
        "{together}"
    );
    assert!(Ensemble::fit(0, 0, fit).is_err());
}

#[test]
fn other_heads_train_in_either_method() {
    let (cells, _) = simulated(60, 30, 4);
    for dispersion in [Dispersion::PerGene, Dispersion::PerCellAndGene] {
        let head = NbHeadConfig::new().with_dispersion(dispersion);
        let plan = scdcc(3).with_reconstruction(NbLoss::new(), head.clone());
        let fit = fitted(&plan, &cells);
        check_result(&fit, &cells, 6);
        let losses = losses(fit.history(), Phase::Pretraining);
        assert!(losses.last() < losses.first(), "{dispersion:?}: {losses:?}");
        let part = fit.model().network().reconstruction.as_ref().unwrap();
        let per_gene = dispersion == Dispersion::PerGene;
        assert_eq!(part.head.dispersion.is_none(), per_gene);
        if let Some(logits) = &part.head.gene_dispersion {
            let values = logits.val().into_data();
            let values = values.as_slice::<f32>().unwrap();
            assert!(values.iter().any(|&v| v != 0.0), "dispersions are trained");
        }
        let plan = desc_at(0.01)
            .with_layerwise(None)
            .with_reconstruction(NbLoss::new(), head);
        check_result::<NbHead>(&fitted(&plan, &cells), &cells, 6);
    }
    let plan = scdcc(3).with_reconstruction(MseLoss::new(), MseHeadConfig::new());
    check_result(&fitted(&plan, &cells), &cells, 6);
    let plan = desc_at(0.01).with_reconstruction(ZinbLoss::new(), ZinbHeadConfig::new());
    check_result(&fitted(&plan, &cells), &cells, 6);
}

/// DESC whose pretraining begins at another learning rate than 1, its layers at a tenth of it.
fn desc_at(learning_rate: f64) -> Plan<MseHead> {
    let plan = desc();
    let layerwise = plan.layerwise.clone().unwrap();
    let stages = (1..).zip(&layerwise.stages).map(|(power, stage)| {
        let learning_rate = learning_rate * 0.1f64.powi(power);
        Stage::new(learning_rate, stage.epochs)
    });
    let stages = stages.collect();
    plan.with_layerwise(Some(layerwise.with_stages(stages)))
        .with_pretraining(|phase| phase.with_learning_rate(learning_rate))
}

#[test]
fn widths_can_be_anything() {
    let (cells, _) = simulated(40, 20, 5);
    for widths in [vec![2], vec![64], vec![100, 50, 3], vec![1, 1], vec![5, 40]] {
        let latent = widths[widths.len() - 1];
        let plan = scdcc(3).with_widths(widths.clone()).with_epochs(2, 4);
        check_result(&fitted(&plan, &cells), &cells, latent);
        let plan = desc()
            .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
            .with_widths(widths);
        check_result(&fitted(&plan, &cells), &cells, latent);
    }
}

/// How much the constrained pairs share a cluster: the means of Σ q₁q₂.
fn togetherness(fit: &Fit<impl ReconstructionHead>, pairs: &[(usize, usize)]) -> f64 {
    let q = fit.clusters().soft();
    let total: f64 = pairs
        .iter()
        .map(|&(a, b)| f64::from(q.row(a).dot(&q.row(b))))
        .sum();
    total / pairs.len() as f64
}

#[test]
fn constraints_raise_agreement_on_their_pairs() {
    let (cells, groups) = simulated(120, 40, 6);
    let labels: Vec<Option<usize>> = groups.iter().map(|&group| Some(group)).collect();
    let drawn = ConstraintPairs::from_labels(&labels, 120, 1).unwrap();
    let (must, cannot) = (drawn.must_link().to_vec(), drawn.cannot_link().to_vec());
    let plan = scdcc(3).with_epochs(8, 12);
    let fit = |must: &[(usize, usize)], cannot: &[(usize, usize)]| {
        let pairs = ConstraintPairs::new(must.to_vec(), cannot.to_vec()).unwrap();
        fitted(&plan.clone().with_constraints(pairs), &cells)
    };
    let free = fitted(&plan, &cells);
    let only_must = fit(&must, &[]);
    let only_cannot = fit(&[], &cannot);
    let both = fit(&must, &cannot);

    let before = (togetherness(&free, &must), togetherness(&free, &cannot));
    let names = |fit: &Fit<_>| -> Vec<String> {
        let last = fit.history().last().unwrap();
        last.losses.iter().map(|(name, _)| name.clone()).collect()
    };
    assert!(togetherness(&only_must, &must) > before.0);
    assert_eq!(
        names(&only_must),
        ["clustering", "counts", "must-link", "must-link counts"]
    );
    assert!(togetherness(&only_cannot, &cannot) < before.1);
    assert_eq!(names(&only_cannot), ["clustering", "counts", "cannot-link"]);
    let separation = |fit: &Fit<_>| togetherness(fit, &must) - togetherness(fit, &cannot);
    assert!(separation(&both) > separation(&free));
    check_result(&both, &cells, 6);
}

/// A fit in one go and its two halves by hand are the same.
#[test]
fn the_phases_can_be_run_apart() {
    let (cells, _) = simulated(60, 30, 7);
    fn check<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) {
        let trainer = plan.trainer(&cpu()).unwrap();
        let whole = trainer.fit(cells).unwrap();
        let mut run = trainer.run();
        let autoencoder = trainer.pretrain(cells, &mut run).unwrap();
        let halves = trainer.cluster(autoencoder, cells, &mut run).unwrap();
        assert_eq!(bits(&whole, cells), bits(&halves, cells));
    }
    check(&scdcc(3), &cells);
    check(&desc(), &cells);
}

/// A run of another seed would draw other noise than the plan says.
#[test]
fn runs_of_another_seed_are_refused() {
    let (cells, _) = simulated(40, 20, 7);
    let trainer = scdcc(3).trainer(&cpu()).unwrap();
    let mut other = TrainingRun::new(4);
    let refused = trainer.pretrain(&cells, &mut other).unwrap_err();
    assert!(refused.to_string().contains("seed 4"), "{refused}");
    let autoencoder = trainer.pretrain(&cells, &mut trainer.run()).unwrap();
    let refused = trainer
        .cluster(autoencoder, &cells, &mut other)
        .unwrap_err();
    parameter(refused);
    assert!(other.history().is_empty());
}

/// An autoencoder that another fit trained is gone on from: without further pretraining the result
/// is that of clustering alone, with some it is another.
#[test]
fn a_fit_goes_on_from_a_given_autoencoder() {
    let (cells, _) = simulated(60, 30, 7);
    let trainer = scdcc(3).trainer(&cpu()).unwrap();
    let autoencoder = trainer.pretrain(&cells, &mut trainer.run()).unwrap();
    let clustered = trainer
        .cluster(autoencoder.clone(), &cells, &mut trainer.run())
        .unwrap();
    let from = |pretraining: usize| {
        let trainer = scdcc(3)
            .with_epochs(pretraining, 4)
            .trainer(&cpu())
            .unwrap();
        trainer.fit_from(autoencoder.clone(), &cells).unwrap()
    };
    assert_eq!(bits(&from(0), &cells), bits(&clustered, &cells));
    let further = from(2);
    assert_ne!(further.embedding(), clustered.embedding());
    assert_eq!(further.status().pretraining_epochs, 2);
    let (other, _) = simulated(60, 20, 7);
    let refused = trainer.fit_from(autoencoder, &other).unwrap_err();
    assert!(
        matches!(refused.error(), Error::LengthMismatch { .. }),
        "{refused}"
    );
}

#[test]
fn an_observer_sees_every_epoch() {
    let (cells, _) = simulated(60, 30, 8);
    let mut seen: Vec<EpochRecord> = Vec::new();
    let mut phases = Vec::new();
    let mut centroids = 0;
    let mut updates = 0;
    let mut observer = |event: &Event<'_>| match event {
        Event::EpochFinished(record) => seen.push((*record).clone()),
        Event::PhaseStarted { phase, epochs } => phases.push(((*phase).clone(), *epochs, None)),
        Event::PhaseFinished { phase, epochs, .. } => {
            let last = phases.last_mut().unwrap();
            assert_eq!(&last.0, *phase);
            last.2 = Some(*epochs);
        }
        Event::CentroidsFound {
            clusters, labels, ..
        } => {
            centroids += 1;
            assert_eq!(*clusters, 3);
            assert_eq!(labels.len(), 60);
        }
        Event::TargetUpdated { evaluation, .. } => {
            updates += 1;
            assert_eq!(evaluation.embedding.nrows(), cells.cells());
            assert_eq!(evaluation.labels().len(), cells.cells());
        }
        _ => {}
    };
    let fit = scdcc(3)
        .with_self_training(|phase| phase.with_update_interval(2))
        .trainer(&cpu())
        .unwrap()
        .fit_observed(&cells, &mut observer)
        .unwrap();
    assert_eq!(seen, fit.history());
    assert_eq!(seen.len(), 12);
    assert_eq!(
        phases,
        [
            (Phase::Pretraining, 8, Some(8)),
            (Phase::SelfTraining, 4, Some(4))
        ]
    );
    assert_eq!(centroids, 1);
    // Epochs 0 and 2, and the end.
    assert_eq!(updates, 3);
    let changed: Vec<bool> = seen[8..].iter().map(|r| r.changed.is_some()).collect();
    assert_eq!(changed, [true, false, true, false]);
    for (place, record) in seen[..8].iter().enumerate() {
        assert_eq!(record.phase, Phase::Pretraining);
        assert_eq!(record.epoch, place);
    }
}

/// Stable labels end self-training; running out of epochs is a normal result too (fault 24).
#[test]
fn the_status_says_why_training_ended() {
    let (cells, _) = simulated(60, 30, 9);
    let fit = |tolerance: f64, epochs: usize| {
        let plan = scdcc(3)
            .with_self_training(|phase| phase.with_tolerance(tolerance).with_max_epochs(epochs));
        fitted(&plan, &cells)
    };
    let stable = fit(0.99, 10);
    assert!(stable.status().converged);
    assert_eq!(stable.status().self_training_epochs, 1);
    assert!(matches!(
        stable.status().stop_reason,
        StopReason::LabelsStable { changed } if changed < 0.99
    ));
    let unstable = fit(0.0, 3);
    assert!(!unstable.status().converged);
    assert_eq!(unstable.status().self_training_epochs, 3);
    assert!(matches!(
        unstable.status().stop_reason,
        StopReason::MaximumEpochs { .. }
    ));
}
