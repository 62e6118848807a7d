//! Both trainers from start to end, with every kind of start, head and constraint.

use celldec::metrics::adjusted_rand_index;
use celldec::model::EpochRecord;
use celldec::nn::{
    Dispersion, MseHeadConfig, NbHead, NbHeadConfig, ReconstructionHead, ZinbHeadConfig,
};
use celldec::prelude::*;
use celldec::train::{EarlyStopping, TrainingRun};

use crate::{bits, cpu, desc, scdcc, simulated};

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
    let fit = scdcc(3)
        .with_pretraining_epochs(60)
        .with_max_epochs(15)
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
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
    let runs = desc()
        .with_pretraining_epochs(120)
        .with_max_epochs(20)
        .with_resolutions(vec![0.4])
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    let fit = &runs[0].fit;
    check_result(fit, &cells, 6);
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
                pretraining_phases += usize::from(*phase == Phase::Pretraining);
            }
        };
        let runs = desc()
            .with_resolutions(resolutions.to_vec())
            .init(&cpu())
            .unwrap()
            .fit_observed(&cells, &mut observer)
            .unwrap();
        assert_eq!(pretraining_phases, 1);
        runs
    };
    let together = fit(&[0.8, 2.0]);
    assert_eq!(together.len(), 2);
    for run in &together {
        let resolution = run.resolution.unwrap();
        let alone = fit(&[resolution]);
        assert_eq!(
            bits(&alone[0].fit, &cells),
            bits(&run.fit, &cells),
            "resolution {resolution}"
        );
    }
    assert!(together[0].fit.clusters().count() < together[1].fit.clusters().count());
}

#[test]
fn either_trainer_takes_either_start() {
    let (cells, _) = simulated(60, 30, 3);
    let graph = CentroidStart::Graph(GraphConfig::new(1.0));
    let kmeans = CentroidStart::KMeans(KMeansConfig::new(4));
    for start in [graph, kmeans] {
        let fit = scdcc(0)
            .with_start(Some(start.clone()))
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap();
        check_result(&fit, &cells, 6);
        let runs = desc()
            .with_start(Some(start.clone()))
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap();
        assert_eq!(runs.len(), 1);
        let graph = matches!(start, CentroidStart::Graph(_));
        assert_eq!(runs[0].resolution, graph.then_some(1.0));
        assert_eq!(fit.resolution(), runs[0].fit.resolution());
        check_result(&runs[0].fit, &cells, 6);
        if start == CentroidStart::KMeans(KMeansConfig::new(4)) {
            assert_eq!(fit.clusters().count(), 4);
            assert_eq!(runs[0].fit.clusters().count(), 4);
        }
    }
}

#[test]
fn reference_settings_and_resolution_starts_train() {
    let (cells, _) = simulated(60, 30, 3);
    let quick = |config: ScdccConfig| {
        config
            .with_pretraining_epochs(2)
            .with_max_epochs(2)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap()
    };
    check_result(&quick(ScdccConfig::reference(3)), &cells, 32);
    check_result(&quick(ScdccConfig::from_resolution(1.0)), &cells, 32);
    let runs = DescConfig::reference()
        .with_pretraining_epochs(6)
        .with_max_epochs(5)
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    check_result(&runs[0].fit, &cells, 16);
}

/// Neither a number of clusters nor a resolution is given.
#[test]
fn the_number_of_clusters_is_found() {
    let (cells, groups) = simulated(300, 80, 6);
    let types = groups.iter().max().unwrap() + 1;
    let fit = ScdccConfig::auto()
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    assert_eq!(fit.clusters().count(), types);
    assert!(adjusted_rand_index(&groups, fit.clusters().labels()).unwrap() > 0.95);
    assert!(fit.resolution().is_some());
    let runs = DescConfig::auto()
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    assert_eq!(runs[0].resolution, runs[0].fit.resolution());
    assert_eq!(runs[0].fit.clusters().count(), types);
    let labels = runs[0].fit.clusters().labels();
    assert!(adjusted_rand_index(&groups, labels).unwrap() > 0.95);
}

#[test]
fn the_defaults_of_desc_train() {
    let (cells, groups) = simulated(200, 80, 6);
    let config = DescConfig::new().with_resolutions(vec![0.5, 1.0]);
    let runs = config.init(&cpu()).unwrap().fit(&cells).unwrap();
    for run in &runs {
        check_result(&run.fit, &cells, 32);
        let phases = run.fit.history().iter().map(|record| record.phase);
        assert!(
            phases
                .clone()
                .all(|phase| phase != Phase::LayerwisePretraining { layer: 0 })
        );
        assert_eq!(
            phases.filter(|&phase| phase == Phase::Pretraining).count(),
            10
        );
    }
    let labels = runs[0].fit.clusters().labels();
    assert!(adjusted_rand_index(&groups, labels).unwrap() > 0.9);
}

#[test]
fn pretraining_stops_when_its_loss_no_longer_falls() {
    let (cells, _) = simulated(60, 30, 3);
    let rule = EarlyStopping::new(1e9, 2);
    let stopped = scdcc(3).with_early_stopping(Some(rule));
    let fit = stopped.init(&cpu()).unwrap().fit(&cells).unwrap();
    // The first epoch is the best so far, two more bring no fall of a thousand million.
    assert_eq!(fit.status().pretraining_epochs, 3);
    let config = DescConfig::new()
        .with_resolutions(vec![1.0])
        .with_early_stopping(Some(rule));
    let runs = config.init(&cpu()).unwrap().fit(&cells).unwrap();
    assert_eq!(runs[0].fit.status().pretraining_epochs, 3);
}

#[test]
fn an_ensemble_is_its_members() {
    let (cells, groups) = simulated(150, 60, 9);
    let fit = |seed| scdcc(3).with_seed(seed).init(&cpu())?.fit(&cells);
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
fn other_heads_train_in_either_trainer() {
    let (cells, _) = simulated(60, 30, 4);
    for dispersion in [Dispersion::PerGene, Dispersion::PerCellAndGene] {
        let head = NbHeadConfig::new().with_dispersion(dispersion);
        let fit = scdcc(3)
            .init(&cpu())
            .unwrap()
            .with_reconstruction_loss(NbLoss::new(), head.clone())
            .fit(&cells)
            .unwrap();
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
        let runs = desc()
            .with_layerwise(false)
            .with_pretraining_learning_rate(0.01)
            .init(&cpu())
            .unwrap()
            .with_reconstruction_loss(NbLoss::new(), head)
            .fit(&cells)
            .unwrap();
        check_result::<NbHead>(&runs[0].fit, &cells, 6);
    }
    let fit = scdcc(3)
        .init(&cpu())
        .unwrap()
        .with_reconstruction_loss(MseLoss::new(), MseHeadConfig::new())
        .fit(&cells)
        .unwrap();
    check_result(&fit, &cells, 6);
    let runs = desc()
        .with_pretraining_learning_rate(0.01)
        .init(&cpu())
        .unwrap()
        .with_reconstruction_loss(ZinbLoss::new(), ZinbHeadConfig::new())
        .fit(&cells)
        .unwrap();
    check_result(&runs[0].fit, &cells, 6);
}

#[test]
fn widths_can_be_anything() {
    let (cells, _) = simulated(40, 20, 5);
    for widths in [vec![2], vec![64], vec![100, 50, 3], vec![1, 1], vec![5, 40]] {
        let latent = widths[widths.len() - 1];
        let fit = scdcc(3)
            .with_widths(widths.clone())
            .with_pretraining_epochs(2)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap();
        check_result(&fit, &cells, latent);
        let runs = desc()
            .with_start(Some(CentroidStart::KMeans(KMeansConfig::new(3))))
            .with_widths(Some(widths))
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap();
        check_result(&runs[0].fit, &cells, latent);
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
    let trainer = scdcc(3).with_max_epochs(12).init(&cpu()).unwrap();
    let fit = |must: &[(usize, usize)], cannot: &[(usize, usize)]| {
        let pairs = ConstraintPairs::new(must.to_vec(), cannot.to_vec()).unwrap();
        trainer.clone().with_constraints(pairs).fit(&cells).unwrap()
    };
    let free = trainer.fit(&cells).unwrap();
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
    let trainer = scdcc(3).init(&cpu()).unwrap();
    let whole = trainer.fit(&cells).unwrap();
    let mut run = TrainingRun::new(3);
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    let halves = trainer.cluster(autoencoder, &cells, run).unwrap();
    assert_eq!(bits(&whole, &cells), bits(&halves, &cells));

    let trainer = desc().init(&cpu()).unwrap();
    let whole = trainer.fit(&cells).unwrap();
    let mut run = TrainingRun::new(3);
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    let halves = trainer.cluster(autoencoder, &cells, run).unwrap();
    assert_eq!(bits(&whole[0].fit, &cells), bits(&halves[0].fit, &cells));
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
        Event::PhaseStarted { phase, epochs } => phases.push((*phase, *epochs, None)),
        Event::PhaseFinished { phase, epochs, .. } => {
            let last = phases.last_mut().unwrap();
            assert_eq!(last.0, *phase);
            last.2 = Some(*epochs);
        }
        Event::CentroidsFound {
            clusters, labels, ..
        } => {
            centroids += 1;
            assert_eq!(*clusters, 3);
            assert_eq!(labels.len(), 60);
        }
        Event::TargetUpdated { .. } => updates += 1,
        _ => {}
    };
    let fit = scdcc(3)
        .with_update_interval(2)
        .init(&cpu())
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
        assert_eq!((record.phase, record.epoch), (Phase::Pretraining, place));
    }
}

/// Stable labels end self-training; running out of epochs is a normal result too (fault 24).
#[test]
fn the_status_says_why_training_ended() {
    let (cells, _) = simulated(60, 30, 9);
    let fit = |tolerance: f64, epochs: usize| {
        scdcc(3)
            .with_tolerance(tolerance)
            .with_max_epochs(epochs)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap()
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
