//! How long the rest of a fit will take.

use std::time::Instant;

use super::observer::Event;
use super::plan::{DecoderTraining, Plan};
use crate::model::Phase;
use crate::nn::ReconstructionHead;

/// Epochs that self-training is expected to take before anything is known of it: from 2 to 8 on seven real
/// sets, and more where types hardly differ.
const SELF_TRAINING_EPOCHS: f64 = 5.0;
/// What an epoch of self-training takes beside an epoch of pretraining, when the encoder alone trains,
/// on clean cells.
const CLEAN_EPOCH: f64 = 0.3;
/// The same when the decoder trains along, on corrupted cells.
const JOINT_EPOCH: f64 = 1.2;
/// What an epoch of pretraining one layer takes beside one of the whole autoencoder.
const LAYER_EPOCH: f64 = 0.6;
/// What the search for centroids takes beside an epoch of pretraining.
const START: f64 = 0.5;
/// Updates of the target from which the decline of changed labels is told.
const DECLINE_OVER: usize = 6;
/// The fewest of them that tell it.
const FEWEST_UPDATES: usize = 4;

/// How much of a fit is done, and how long the rest will take, told from its plan and its events.
///
/// Every part of a fit has an expected share: until it runs, from what an epoch of pretraining takes;
/// while it runs, from its own epochs. Self-training has no fixed number of epochs: it ends when few
/// labels change, which is foreseen from how their number declines.
///
/// ```
/// use celldec::prelude::*;
/// use celldec::train::TimeLeft;
///
/// let counts = SimulationConfig::new(120, 60).with_groups(3).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let plan = Plan::scdcc(3).with_widths([16, 4]);
/// let mut left = TimeLeft::new(&plan, cells.cells());
/// assert_eq!(left.seconds(), None);
/// let mut told = Vec::new();
/// plan.trainer(&Device::default())?.fit_observed(&cells, &mut |event: &Event<'_>| {
///     left.note(event);
///     told.extend(left.seconds());
/// })?;
/// assert_eq!(told.last(), Some(&0.0));
/// assert_eq!(left.done(), 1.0);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TimeLeft {
    parts: Vec<Part>,
    /// The part that runs.
    running: Option<usize>,
    /// When the last event came.
    last: Option<Instant>,
    /// A smaller fraction of changed labels ends self-training.
    tolerance: f64,
    /// Fractions of changed labels of the present self-training.
    changes: Vec<f64>,
    /// Epochs between two of them.
    update_interval: usize,
}

/// A phase, or the search for centroids, of one fit.
#[derive(Debug, Clone)]
struct Part {
    kind: Kind,
    /// What one of its epochs takes in epochs of pretraining.
    share: f64,
    /// Epochs that it is expected to take in all.
    expected: f64,
    /// The most epochs it can take.
    most: usize,
    /// Epochs that are done.
    done: f64,
    /// Those of them that were timed, and the seconds they took.
    timed: f64,
    seconds: f64,
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Layer,
    Pretraining,
    Start,
    SelfTraining,
}

impl Part {
    fn new(kind: Kind, share: f64, expected: f64, most: usize) -> Self {
        Self {
            kind,
            share,
            expected,
            most,
            done: 0.0,
            timed: 0.0,
            seconds: 0.0,
            is_over: false,
        }
    }

    fn seconds_of_epoch(&self) -> Option<f64> {
        (self.timed > 0.0).then(|| self.seconds / self.timed)
    }

    /// Epochs that it is still expected to take: at least a part of one, until it is over.
    fn epochs_left(&self) -> f64 {
        if self.is_over || self.most as f64 <= self.done {
            0.0
        } else {
            (self.expected - self.done).max(0.5)
        }
    }
}

impl TimeLeft {
    /// For fits of all starts of a plan to so many cells.
    pub fn new<H: ReconstructionHead>(plan: &Plan<H>, cells: usize) -> Self {
        let mut parts = Vec::new();
        if let Some(layerwise) = &plan.layerwise {
            let epochs = layerwise.epochs_with(cells);
            let layers = plan.network.widths.of(cells).len();
            let part = Part::new(Kind::Layer, LAYER_EPOCH, epochs as f64, epochs);
            parts.extend(std::iter::repeat_n(part, layers));
        }
        let epochs = plan.pretraining.epochs_with(cells);
        parts.push(Part::new(Kind::Pretraining, 1.0, epochs as f64, epochs));
        let config = &plan.self_training;
        let share = match plan.decoder {
            DecoderTraining::Joint { .. } => JOINT_EPOCH,
            DecoderTraining::Kept | DecoderTraining::Removed => CLEAN_EPOCH,
        };
        for _ in &plan.starts {
            parts.push(Part::new(Kind::Start, START, 1.0, 1));
            let expected = SELF_TRAINING_EPOCHS.min(config.max_epochs as f64);
            let most = config.max_epochs;
            parts.push(Part::new(Kind::SelfTraining, share, expected, most));
        }
        Self {
            parts,
            running: None,
            last: None,
            tolerance: config.tolerance,
            changes: Vec::new(),
            update_interval: config.update_interval,
        }
    }

    /// Notes what happened. Phases that are not the plan's own are not counted.
    pub fn note(&mut self, event: &Event<'_>) {
        self.note_at(event, Instant::now());
    }

    fn note_at(&mut self, event: &Event<'_>, now: Instant) {
        let before = self.last.replace(now);
        if let (Some(part), Some(before)) = (self.part(), before) {
            part.seconds += (now - before).as_secs_f64();
        }
        match event {
            Event::PhaseStarted { phase, epochs } => {
                self.changes.clear();
                self.running = kind_of(phase).and_then(|kind| self.begin(kind));
                if let Some(part) = self.part() {
                    part.most = *epochs;
                    part.expected = part.expected.min(*epochs as f64);
                }
            }
            Event::Resumed { epoch, .. } => {
                if let Some(part) = self.part() {
                    part.done = *epoch as f64;
                    part.expected = part.expected.max(part.done);
                }
            }
            Event::EpochFinished(_) => {
                if let Some(part) = self.part() {
                    part.done += 1.0;
                    part.timed += 1.0;
                }
            }
            Event::TargetUpdated { changed, .. } => {
                self.changes.push(*changed);
                let left = self.epochs_until_stable();
                if let (Some(part), Some(left)) = (self.part(), left) {
                    part.expected = (part.done + left).min(part.most as f64);
                }
            }
            Event::PhaseFinished { .. } => self.end(),
            Event::CentroidsFound { seconds, .. } => {
                self.running = self.begin(Kind::Start);
                if let Some(part) = self.part() {
                    (part.done, part.timed, part.seconds) = (1.0, 1.0, *seconds);
                }
                self.end();
            }
            _ => {}
        }
    }

    fn part(&mut self) -> Option<&mut Part> {
        self.running.map(|running| &mut self.parts[running])
    }

    /// The first part of a kind that is not over; those before it, which a checkpoint held, are.
    fn begin(&mut self, kind: Kind) -> Option<usize> {
        let mut parts = self.parts.iter();
        let found = parts.position(|part| part.kind == kind && !part.is_over)?;
        for part in &mut self.parts[..found] {
            part.is_over = true;
        }
        Some(found)
    }

    fn end(&mut self) {
        let ended = self.part().map(|part| {
            part.is_over = true;
            part.clone()
        });
        // The next of its kind is expected to be as long.
        if let Some(ended) = ended.filter(|part| part.kind == Kind::SelfTraining) {
            for part in &mut self.parts {
                if part.kind == ended.kind && !part.is_over {
                    part.expected = ended.done;
                }
            }
        }
        self.running = None;
    }

    /// Epochs until few enough labels change, when their number goes on to decline as it did of late.
    fn epochs_until_stable(&self) -> Option<f64> {
        let count = self.changes.len();
        if count < FEWEST_UPDATES {
            return None;
        }
        let of_late = &self.changes[count - count.min(DECLINE_OVER)..];
        let logarithms: Vec<f64> = of_late.iter().map(|change| change.max(1e-6).ln()).collect();
        let middle = (logarithms.len() - 1) as f64 / 2.0;
        let (mut slope, mut weight) = (0.0, 0.0);
        for (number, logarithm) in logarithms.iter().enumerate() {
            slope += (number as f64 - middle) * logarithm;
            weight += (number as f64 - middle).powi(2);
        }
        let slope = slope / weight;
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        let now = mean + slope * middle;
        let updates = (now - self.tolerance.max(1e-6).ln()) / -slope;
        // Labels that hardly settle, or not at all, are no forecast: as long again.
        let most = (4.0 * SELF_TRAINING_EPOCHS).max(count as f64);
        let updates = if slope < 0.0 {
            updates.clamp(1.0, most)
        } else {
            most
        };
        Some(updates * self.update_interval as f64)
    }

    /// Seconds until the end, as far as can be told; `None` before the first epoch.
    pub fn seconds(&self) -> Option<f64> {
        let passed = self.last.map_or(0.0, |last| last.elapsed().as_secs_f64());
        let left = self.seconds_at_last_event()?;
        Some((left - passed).max(0.0))
    }

    fn seconds_at_last_event(&self) -> Option<f64> {
        let unit = self.seconds_of_unit()?;
        let left = self.parts.iter().map(|part| {
            let of_epoch = part.seconds_of_epoch().or_else(|| {
                let mut alike = self.parts.iter().filter(|other| other.kind == part.kind);
                alike.find_map(Part::seconds_of_epoch)
            });
            part.epochs_left() * of_epoch.unwrap_or(unit * part.share)
        });
        Some(left.sum())
    }

    /// The share of the fit that is done, in time, from 0 to 1.
    pub fn done(&self) -> f64 {
        let (mut done, mut all) = (0.0, 0.0);
        for part in &self.parts {
            let epochs = if part.is_over {
                part.done
            } else {
                part.done + part.epochs_left()
            };
            done += part.share * part.done;
            all += part.share * epochs;
        }
        if all > 0.0 { done / all } else { 1.0 }
    }

    /// Seconds of an epoch of pretraining, from all that was timed.
    fn seconds_of_unit(&self) -> Option<f64> {
        let timed = self.parts.iter().filter(|part| part.timed > 0.0);
        let (seconds, units) = timed.fold((0.0, 0.0), |(seconds, units), part| {
            (seconds + part.seconds, units + part.timed * part.share)
        });
        (units > 0.0).then(|| seconds / units)
    }
}

fn kind_of(phase: &Phase) -> Option<Kind> {
    match phase {
        Phase::LayerwisePretraining { .. } => Some(Kind::Layer),
        Phase::Pretraining => Some(Kind::Pretraining),
        Phase::SelfTraining => Some(Kind::SelfTraining),
        Phase::Own { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ndarray::Array2;

    use super::*;
    use crate::model::{EpochRecord, Evaluation};

    /// A fit whose events come at given seconds.
    struct Told {
        left: TimeLeft,
        start: Instant,
        now: f64,
    }

    impl Told {
        fn new(plan: &Plan<crate::nn::CountHead>, cells: usize) -> Self {
            Self {
                left: TimeLeft::new(plan, cells),
                start: Instant::now(),
                now: 0.0,
            }
        }

        fn after(&mut self, seconds: f64, event: &Event<'_>) {
            self.now += seconds;
            let now = self.start + Duration::from_secs_f64(self.now);
            self.left.note_at(event, now);
        }

        fn begins(&mut self, phase: Phase, epochs: usize) {
            let phase = &phase;
            self.after(0.0, &Event::PhaseStarted { phase, epochs });
        }

        fn ends(&mut self, phase: Phase) {
            let (phase, epochs, seconds) = (&phase, 0, 0.0);
            self.after(
                0.0,
                &Event::PhaseFinished {
                    phase,
                    epochs,
                    seconds,
                },
            );
        }

        fn epoch(&mut self, seconds: f64) {
            let record = EpochRecord {
                phase: Phase::Pretraining,
                epoch: 0,
                losses: Vec::new(),
                validation: Vec::new(),
                changed: None,
                seconds,
            };
            self.after(seconds, &Event::EpochFinished(&record));
        }

        fn update(&mut self, changed: f64) {
            let evaluation = Evaluation {
                embedding: Array2::zeros((1, 1)),
                soft_assignments: Array2::zeros((1, 1)),
            };
            let evaluation = &evaluation;
            self.after(
                0.0,
                &Event::TargetUpdated {
                    epoch: 0,
                    changed,
                    evaluation,
                },
            );
        }

        fn finds_centroids(&mut self, seconds: f64) {
            let event = Event::CentroidsFound {
                clusters: 4,
                labels: &[],
                seconds,
            };
            self.after(seconds, &event);
        }

        fn left(&self) -> f64 {
            self.left.seconds_at_last_event().unwrap()
        }

        /// Seconds of the whole fit.
        fn whole(&self) -> f64 {
            self.now + self.left()
        }
    }

    /// That what was told is at most a factor away from what is true.
    fn assert_near(told: f64, seconds: f64, factor: f64) {
        assert!(
            told < seconds * factor && seconds < told * factor,
            "{told} of {seconds}"
        );
    }

    #[test]
    fn the_whole_fit_is_counted_from_its_second_epoch_on() {
        let plan = Plan::scdcc(4);
        let mut told = Told::new(&plan, 10_000);
        assert_eq!(told.left.seconds_at_last_event(), None);
        assert_eq!(told.left.done(), 0.0);
        // 15 epochs of 10 s, a start of 9 s, 16 epochs of 3.8 s with labels that settle evenly.
        told.begins(Phase::Pretraining, 15);
        let whole = 150.0 + 9.0 + 16.0 * 3.8;
        for _ in 0..15 {
            told.epoch(10.0);
            assert_near(told.whole(), whole, 1.3);
        }
        told.ends(Phase::Pretraining);
        told.finds_centroids(9.0);
        assert_near(told.whole(), whole, 1.3);
        told.begins(Phase::SelfTraining, 100);
        for epoch in 0..16 {
            // 0.08 at first, 0.005 at the end.
            told.update(0.08 * 0.84f64.powi(epoch));
            told.epoch(3.8);
            assert_near(told.whole(), whole, 1.3);
            if (4..15).contains(&epoch) {
                assert_near(told.left(), whole - told.now, 1.2);
            }
        }
        assert!(told.left.done() > 0.95);
        told.ends(Phase::SelfTraining);
        assert_eq!(told.left.seconds_at_last_event(), Some(0.0));
        assert_eq!(told.left.done(), 1.0);
    }

    #[test]
    fn labels_that_do_not_settle_take_the_most_epochs_that_are_left() {
        let plan = Plan::scdcc(4).with_epochs(1, 30);
        let mut told = Told::new(&plan, 10_000);
        told.begins(Phase::Pretraining, 1);
        told.epoch(10.0);
        told.ends(Phase::Pretraining);
        told.begins(Phase::SelfTraining, 30);
        for _ in 0..25 {
            told.update(0.2);
            told.epoch(2.0);
        }
        assert_near(told.left(), 10.0, 1.01);
    }

    #[test]
    fn what_a_checkpoint_held_is_not_waited_for() {
        let plan = Plan::scdcc(4).with_epochs(10, 20);
        let mut told = Told::new(&plan, 10_000);
        told.begins(Phase::Pretraining, 10);
        let (phase, epoch) = (&Phase::Pretraining, 6);
        told.after(0.0, &Event::Resumed { phase, epoch });
        told.epoch(5.0);
        assert_near(told.left(), 15.0 + 2.5 + 5.0 * 1.5, 1.01);
        // Another run begins with self-training.
        let mut told = Told::new(&plan, 10_000);
        told.begins(Phase::SelfTraining, 20);
        told.epoch(2.0);
        assert_near(told.left(), 8.0, 1.01);
        // And one that had come far: what is left follows from what changes, not from what was done.
        let mut told = Told::new(&plan.with_epochs(10, 100), 10_000);
        told.begins(Phase::SelfTraining, 100);
        let (phase, epoch) = (&Phase::SelfTraining, 30);
        told.after(0.0, &Event::Resumed { phase, epoch });
        for number in 0..5 {
            told.update(0.08 * 0.5f64.powi(number));
            told.epoch(2.0);
        }
        // At 0.005 with the last update: one more, of which an epoch is done.
        assert_near(told.left(), 1.0, 1.01);
    }

    #[test]
    fn later_starts_are_expected_to_be_as_long_as_the_first() {
        let plan = Plan::scdcc(4)
            .with_epochs(2, 100)
            .with_resolutions([0.3, 0.8]);
        let mut told = Told::new(&plan, 10_000);
        told.begins(Phase::Pretraining, 2);
        told.epoch(10.0);
        told.epoch(10.0);
        told.ends(Phase::Pretraining);
        told.finds_centroids(7.0);
        told.begins(Phase::SelfTraining, 100);
        for _ in 0..40 {
            told.epoch(3.0);
        }
        told.ends(Phase::SelfTraining);
        assert_near(told.left(), 7.0 + 120.0, 1.001);
    }
}
