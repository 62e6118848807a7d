//! Watching a training run.

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::Error;
use crate::model::{EpochRecord, Evaluation, Phase};

/// Something that happened during training.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase begins.
    PhaseStarted {
        /// Which phase.
        phase: &'a Phase,
        /// The most epochs it can take.
        epochs: usize,
    },
    /// The device compiles its kernels when a process first uses them: there, the first epochs take
    /// longer than the others. Comes once a run, after its first phase has begun; not on the CPU.
    KernelsCompile,
    /// An epoch ended.
    EpochFinished(&'a EpochRecord),
    /// A phase ended.
    PhaseFinished {
        /// Which phase.
        phase: &'a Phase,
        /// Epochs it took.
        epochs: usize,
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// Initial centroids were found.
    CentroidsFound {
        /// Number of clusters.
        clusters: usize,
        /// Initial label of every cell, below `clusters`.
        labels: &'a [usize],
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// The target distribution was computed anew from all cells.
    TargetUpdated {
        /// Epoch of self-training.
        epoch: usize,
        /// Fraction of cells whose label changed since the last update.
        changed: f64,
        /// What the network says of all cells at this moment: their embedding and soft assignments,
        /// for pictures of clusters as they form, or metrics of one's own.
        evaluation: &'a Evaluation,
    },
    /// A phase, which has just begun, continues where a checkpoint left it. What came before is
    /// not reported again.
    Resumed {
        /// Which phase.
        phase: &'a Phase,
        /// The epoch that comes next.
        epoch: usize,
    },
    /// A checkpoint was written.
    CheckpointSaved {
        /// The file.
        path: &'a Path,
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// A checkpoint could not be written. The old one is untouched and training goes on.
    CheckpointFailed {
        /// The file.
        path: &'a Path,
        /// Why.
        error: &'a Error,
    },
}

/// Receives the events of a training run, and can end it.
///
/// Any `FnMut(&Event)` is an observer; one that returns [`ControlFlow`] ends training with
/// `Break(())`. What has been reached is then the result, whose
/// [stop reason](crate::model::StopReason) is `Interrupted`: from pretraining the centroids are still
/// looked for, so that there are clusters. A run with a
/// [checkpoint](super::CheckpointConfig) writes it and can be taken up where it was interrupted.
///
/// ```
/// use std::ops::ControlFlow::{Break, Continue};
///
/// use celldec::model::StopReason;
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let mut epochs = 0;
/// let fit = Plan::scdcc(3)
///     .trainer(&Device::default())?
///     .fit_observed(&cells, &mut |event: &Event<'_>| {
///         epochs += usize::from(matches!(event, Event::EpochFinished(_)));
///         if epochs < 2 { Continue(()) } else { Break(()) }
///     })?;
/// assert_eq!(fit.status().stop_reason, StopReason::Interrupted);
/// assert_eq!(fit.history().len(), 2);
/// # Ok::<(), celldec::Error>(())
/// ```
pub trait Observer {
    /// Called for every event, on the thread that trains; `Break` ends training.
    fn on_event(&mut self, event: &Event<'_>) -> ControlFlow<()>;
}

/// What a closure that observes may return: nothing, or [`ControlFlow`].
#[diagnostic::on_unimplemented(
    message = "an observer answers with nothing or `ControlFlow<()>`, not `{Self}`"
)]
pub trait Answer {
    /// Whether training goes on.
    fn into_flow(self) -> ControlFlow<()>;
}

impl Answer for () {
    fn into_flow(self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl Answer for ControlFlow<()> {
    fn into_flow(self) -> ControlFlow<()> {
        self
    }
}

impl<F, A> Observer for F
where
    F: FnMut(&Event<'_>) -> A,
    A: Answer,
{
    fn on_event(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        self(event).into_flow()
    }
}
