//! Errors of a fit in programs with error types of their own.

use std::error::Error as StdError;
use std::fmt;

use celldec::nn::ReconstructionHead;
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::train::Failure;
use celldec_downstream::{short, three_groups};

/// A trainer whose pretraining diverges in its second epoch at the latest.
fn diverging() -> celldec::Result<DescTrainer> {
    short(Plan::desc())
        .with_pretraining(|phase| {
            let descent = OptimizerConfig::sgd(0.0);
            phase.with_optimizer(descent).with_learning_rate(1e18)
        })
        .trainer(&Device::default())
}

/// As anyhow asks of every error.
fn any(trainer: &DescTrainer, cells: &Cells) -> Result<usize, Box<dyn StdError + Send + Sync>> {
    Ok(trainer.fit(cells)?.model().clusters())
}

fn plain(trainer: &DescTrainer, cells: &Cells) -> celldec::Result<usize> {
    Ok(trainer.fit(cells)?.model().clusters())
}

// program: an error type of one's own; at most 30 lines
#[derive(Debug)]
enum AtlasError {
    Clustering(celldec::Error),
    NoCells,
}

impl From<celldec::Error> for AtlasError {
    fn from(error: celldec::Error) -> Self {
        Self::Clustering(error)
    }
}

/// `?` converts once: the error of a fit holds what was reached, so it is a type of its own.
impl<S> From<Failure<S>> for AtlasError {
    fn from(failure: Failure<S>) -> Self {
        Self::Clustering(failure.into())
    }
}

fn atlas(trainer: &DescTrainer, counts: Option<&CountMatrix>) -> Result<usize, AtlasError> {
    let counts = counts.ok_or(AtlasError::NoCells)?;
    let cells = Preprocess::scdcc().fit(counts)?;
    Ok(trainer.fit(&cells)?.model().clusters())
}
// end

impl fmt::Display for AtlasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clustering(error) => write!(f, "clustering: {error}"),
            Self::NoCells => f.write_str("no cells"),
        }
    }
}

#[test]
fn a_question_mark_takes_the_error_of_a_fit_anywhere() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    let trainer = diverging()?;
    let message = plain(&trainer, &cells).expect_err("diverges").to_string();
    assert!(message.contains("pretraining"), "{message}");
    assert_eq!(
        any(&trainer, &cells).expect_err("diverges").to_string(),
        message
    );
    let error = atlas(&trainer, Some(cells.counts()?)).expect_err("diverges");
    assert_eq!(error.to_string(), format!("clustering: {message}"));
    assert_eq!(
        atlas(&trainer, None).expect_err("none").to_string(),
        "no cells"
    );
    Ok(())
}

#[test]
fn the_error_holds_what_was_reached() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    let failure = diverging()?.fit(&cells).expect_err("diverges");
    assert!(matches!(failure.error(), Error::Diverged { .. }));
    let reached = failure.into_autoencoder().expect("the weights before");
    assert_eq!(reached.encoder.latent(), 4);
    Ok(())
}

/// Errors pass between threads, and hold nothing that is borrowed.
#[test]
fn errors_are_sent_between_threads() {
    fn sent<E: StdError + Send + Sync + 'static>() {}
    fn all<H: ReconstructionHead>() {
        sent::<FitError<H>>();
    }
    sent::<celldec::Error>();
    all::<CountHead>();
    all::<MseHead>();
}
