//! A training run that ended with an error, with what it had reached.

use std::fmt;

use crate::error::{ConstraintError, Error, ParameterError};
use crate::model::Fit;
use crate::nn::{Autoencoder, ReconstructionHead};

/// An error of training, with the state that had been reached: a phase's module after its last
/// completed epoch, a fit's [`LastGood`].
///
/// `?` turns it into an [`Error`] where the state is not wanted.
///
/// ```
/// use celldec::prelude::*;
///
/// /// The result, or the state before training failed.
/// fn or_last_good(trainer: &ScdccTrainer, cells: &Cells) -> Option<Fit<CountHead>> {
///     trainer.fit(cells).or_else(|failure| failure.into_fit().ok_or(())).ok()
/// }
///
/// /// The result or the error alone.
/// fn plainly(trainer: &ScdccTrainer, cells: &Cells) -> Result<Fit<CountHead>> {
///     Ok(trainer.fit(cells)?)
/// }
/// # let _ = (or_last_good, plainly);
/// ```
pub struct Failure<S>(Box<Parts<S>>);

struct Parts<S> {
    error: Error,
    last_good: Option<S>,
}

/// An error of a whole fit.
pub type FitError<H> = Failure<LastGood<H>>;

/// What a fit had reached before it failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LastGood<H: ReconstructionHead> {
    /// The autoencoder after the last completed epoch of pretraining, to go on from with
    /// [`Trainer::cluster`](super::Trainer::cluster).
    Pretraining(Box<Autoencoder<H>>),
    /// The starts that were finished and, last, the one that failed, as it was after its last
    /// completed epoch (or at its start): its [status](Fit::status) says that it
    /// [diverged](crate::model::StopReason::Diverged).
    Fits(Vec<Fit<H>>),
}

impl<S> Failure<S> {
    /// An error with what had been reached, if anything.
    pub fn new(error: impl Into<Error>, last_good: Option<S>) -> Self {
        Self(Box::new(Parts {
            error: error.into(),
            last_good,
        }))
    }

    /// What went wrong.
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    /// What had been reached.
    pub fn last_good(&self) -> Option<&S> {
        self.0.last_good.as_ref()
    }

    /// The error and what had been reached.
    pub fn into_parts(self) -> (Error, Option<S>) {
        (self.0.error, self.0.last_good)
    }

    /// The same error with a state made from this one's.
    pub(crate) fn map<T>(self, map: impl FnOnce(S) -> T) -> Failure<T> {
        let (error, last_good) = self.into_parts();
        Failure::new(error, last_good.map(map))
    }
}

impl<H: ReconstructionHead> Failure<LastGood<H>> {
    /// The last fit that had been reached.
    pub fn into_fit(self) -> Option<Fit<H>> {
        match self.into_parts().1? {
            LastGood::Fits(mut fits) => fits.pop(),
            LastGood::Pretraining(_) => None,
        }
    }

    /// The autoencoder that pretraining had reached.
    pub fn into_autoencoder(self) -> Option<Autoencoder<H>> {
        match self.into_parts().1? {
            LastGood::Pretraining(autoencoder) => Some(*autoencoder),
            LastGood::Fits(_) => None,
        }
    }
}

impl<S> fmt::Debug for Failure<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("error", &self.0.error)
            .field("has_last_good", &self.0.last_good.is_some())
            .finish()
    }
}

impl<S> fmt::Display for Failure<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl<S> std::error::Error for Failure<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.error.source()
    }
}

impl<S> From<Failure<S>> for Error {
    fn from(failure: Failure<S>) -> Self {
        failure.0.error
    }
}

impl<S> From<Error> for Failure<S> {
    fn from(error: Error) -> Self {
        Self::new(error, None)
    }
}

impl<S> From<ParameterError> for Failure<S> {
    fn from(error: ParameterError) -> Self {
        Self::new(error, None)
    }
}

impl<S> From<ConstraintError> for Failure<S> {
    fn from(error: ConstraintError) -> Self {
        Self::new(error, None)
    }
}
