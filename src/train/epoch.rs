//! One epoch of gradient steps: the loop that every phase shares.

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::replicas::{Share, with_replicas};
use crate::batches::{Batches, Corruption, EpochPlan, Noise, Workers, fold_ahead};
use crate::error::{Error, Result};
use crate::kernel::{computes_on, host};
use crate::loss::Term;
use crate::model::{Phase, is_finite};
use crate::optim::{LearningRateSteps, OptimizerState};

/// A term of a step that is on the device still.
struct UnreadTerm {
    term: Term,
    batch: usize,
    rows: usize,
}

/// Mean of every term over the rows of an epoch, in the order in which terms first appeared.
#[derive(Debug, Default)]
pub(super) struct MeanLosses {
    sums: Vec<(String, f64, usize)>,
}

impl MeanLosses {
    fn add(&mut self, name: &str, value: f64, rows: usize) {
        match self.sums.iter_mut().find(|(known, ..)| known == name) {
            Some((_, sum, total)) => {
                *sum += value * rows as f64;
                *total += rows;
            }
            None => self
                .sums
                .push((name.to_string(), value * rows as f64, rows)),
        }
    }

    pub fn total(&self) -> f64 {
        self.sums
            .iter()
            .map(|(_, sum, rows)| sum / *rows as f64)
            .sum()
    }

    pub fn into_named(self) -> Vec<(String, f64)> {
        self.sums
            .into_iter()
            .map(|(name, sum, rows)| (name, sum / rows as f64))
            .collect()
    }
}

/// Where in a run an epoch is: for messages and for the addresses of random streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochAddress<'a> {
    pub phase: &'a Phase,
    pub epoch: usize,
}

impl EpochAddress<'_> {
    /// The epoch's address in [random streams](crate::random), unique across phases.
    pub fn stream(&self) -> u64 {
        (self.phase.stream() << 32) | self.epoch as u64
    }

    /// A corruption with the random streams of this epoch.
    pub fn noise(self, corruption: Corruption, seed: u64) -> Noise {
        Noise {
            corruption,
            seed,
            epoch: self.stream(),
        }
    }

    /// The error that `term` became non-finite in a batch of this epoch.
    pub fn diverged(self, term: impl Into<String>, batch: usize) -> Error {
        Error::Diverged {
            term: term.into(),
            phase: self.phase.to_string(),
            epoch: self.epoch,
            batch,
        }
    }

    /// The error that `term` became non-finite in a batch, which is the fault of the step before it
    /// where weights are not finite either.
    fn diverged_from<M: Module>(self, model: &M, term: String, batch: usize) -> Error {
        match is_finite(&model.valid()) {
            Ok(true) => self.diverged(term, batch),
            Ok(false) => self.diverged(GRADIENT, batch.saturating_sub(1)),
            Err(error) => error,
        }
    }

    /// The model after so many steps, unless a weight is not finite.
    fn finite<M: Module>(self, model: M, steps: usize) -> Result<M> {
        if is_finite(&model.valid())? {
            Ok(model)
        } else {
            Err(self.diverged(GRADIENT, steps.saturating_sub(1)))
        }
    }
}

/// Optimizer, learning rate and the gradient steps taken with them.
pub(super) struct Steps {
    optimizer: ModuleOptimizer,
    learning_rate: LearningRateSteps,
    taken: usize,
}

impl Steps {
    /// Steps that go on after `taken` ones.
    pub fn new(
        optimizer: ModuleOptimizer,
        mut learning_rate: LearningRateSteps,
        taken: usize,
    ) -> Self {
        learning_rate.skip(taken);
        Self {
            optimizer,
            learning_rate,
            taken,
        }
    }

    /// How many steps were taken, for a checkpoint.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The optimizer's state, for a checkpoint.
    ///
    /// # Errors
    /// What the backend says when it cannot be read.
    pub fn state<M: Module>(&self, model: &M) -> Result<OptimizerState, String> {
        OptimizerState::of(&self.optimizer, model)
    }

    /// One step for every batch of the plan. `prepare` reads a batch, while the one before it trains;
    /// `forward` returns the terms whose sum is minimised, computed on a device.
    ///
    /// On the backend `flex` losses are read as they come. Elsewhere they stay on the device until the
    /// end of the epoch, so that no step waits for the one before it.
    ///
    /// # Errors
    /// The first of `prepare`.
    /// [`Error::Diverged`] as soon as a term is not finite, before the step is taken (elsewhere,
    /// at the end of the epoch); and when a step with finite terms made a weight non-finite, which later
    /// terms or the end of the epoch show. The caller has the model of the epoch before.
    /// [`Error::Device`] when the device has failed.
    pub fn epoch<M: Module, P: Send>(
        &mut self,
        model: M,
        (batches, plan): (&Batches<'_>, &EpochPlan),
        at: EpochAddress<'_>,
        losses: &mut MeanLosses,
        prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
        forward: impl Fn(&M, P, &Device) -> Vec<Term>,
    ) -> Result<M> {
        let device = batches.device();
        let at_once = computes_on(device);
        let mut unread = Vec::new();
        let step = |model: M, batch: usize, rows: usize, prepared: P| {
            let mut total: Option<Tensor<1>> = None;
            for term in forward(&model, prepared, device) {
                total = Some(match total {
                    Some(sum) => sum + term.loss.clone(),
                    None => term.loss.clone(),
                });
                if !at_once {
                    let loss = term.loss.inner();
                    let term = Term { loss, ..term };
                    unread.push(UnreadTerm { term, batch, rows });
                    continue;
                }
                let value = f64::from(term.loss.into_scalar::<f32>());
                if !value.is_finite() {
                    return Err(at.diverged_from(&model, term.name, batch));
                }
                losses.add(&term.name, value, rows);
            }
            Ok(match total {
                // Where all that a loss depends on is frozen, there is no step to take.
                Some(total) if total.is_tracked() => {
                    let gradients = GradientsParams::from_grads(total.backward(), &model);
                    self.take(model, gradients)
                }
                _ => model,
            })
        };
        let (model, steps) = fold_batches(batches, plan, prepare, model, step)?;
        read_terms(unread, at, losses)?;
        at.finite(model, steps)
    }

    /// As [`epoch`](Self::epoch), with every batch shared by all devices of `batches`.
    ///
    /// # Errors
    /// As [`epoch`](Self::epoch); a term that is not finite is always seen before the step.
    pub fn shared_epoch<M: Module, P: Send>(
        &mut self,
        model: M,
        (batches, plan): (&Batches<'_>, &EpochPlan),
        at: EpochAddress<'_>,
        losses: &mut MeanLosses,
        prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
        forward: impl Fn(&M, P, &Device) -> Vec<Term> + Sync,
    ) -> Result<M> {
        let others = batches.other_devices();
        if others.is_empty() {
            return self.epoch(model, (batches, plan), at, losses, prepare, forward);
        }
        let prepare =
            |batches: &Batches<'_>, rows: &[usize]| Share::prepare(batches, rows, &prepare);
        let (model, steps) = with_replicas(&others, model, &forward, |model, replicas| {
            let step = |model: M, batch: usize, rows: usize, shares: Vec<Share<P>>| {
                let (terms, gradients) = replicas.step(&model, shares, batches.device())?;
                for (name, value) in terms {
                    if !value.is_finite() {
                        return Err(at.diverged_from(&model, name, batch));
                    }
                    losses.add(&name, value, rows);
                }
                Ok(match gradients {
                    Some(gradients) => self.take(model, gradients),
                    None => model,
                })
            };
            fold_batches(batches, plan, prepare, model, step)
        })?;
        at.finite(model, steps)
    }

    /// Takes a step.
    fn take<M: Module>(&mut self, model: M, gradients: GradientsParams) -> M {
        self.taken += 1;
        self.optimizer
            .step(self.learning_rate.step(), model, gradients)
    }
}

/// Calls `step` with every batch of the plan: its number in the epoch, how many rows it has, and
/// what `prepare` made of it while the one before it trained. Returns the last state, and how many
/// batches there were.
fn fold_batches<S, P: Send>(
    batches: &Batches<'_>,
    plan: &EpochPlan,
    prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
    start: S,
    mut step: impl FnMut(S, usize, usize, P) -> Result<S>,
) -> Result<(S, usize)> {
    let workers = Workers::of(batches.device());
    let mut steps = 0;
    let mut visit = |state: S, group: usize, batches: &Batches<'_>| {
        let rows = plan.batches(group);
        let first = steps;
        steps += rows.len();
        fold_ahead(
            &rows,
            workers,
            |rows| prepare(batches, rows),
            state,
            |state, batch, prepared| step(state, first + batch, rows[batch].len(), prepared?),
        )
    };
    let state = if plan.reads_cells() {
        batches.fold_groups(plan.groups(), start, visit)?
    } else {
        visit(start, 0, batches)?
    };
    Ok((state, steps))
}

/// The mean of every term over cells that are kept apart, without a step.
///
/// # Errors
/// The first of `prepare`; [`Error::Diverged`] when a term is not finite; [`Error::Device`] when the
/// device has failed.
pub(super) fn validation_losses<M, P: Send>(
    model: &M,
    (batches, plan): (&Batches<'_>, &EpochPlan),
    at: EpochAddress<'_>,
    prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
    forward: impl Fn(&M, P, &Device) -> Vec<Term>,
) -> Result<MeanLosses> {
    let mut unread = Vec::new();
    let visit = |(), batch: usize, rows: usize, prepared: P| {
        for term in forward(model, prepared, batches.device()) {
            let loss = term.loss.inner();
            let term = Term { loss, ..term };
            unread.push(UnreadTerm { term, batch, rows });
        }
        Ok(())
    };
    fold_batches(batches, plan, prepare, (), visit)?;
    let mut losses = MeanLosses::default();
    read_terms(unread, at, &mut losses).map_err(|error| match error {
        Error::Diverged {
            term,
            phase,
            epoch,
            batch,
        } => Error::Diverged {
            term: format!("validation {term}"),
            phase,
            epoch,
            batch,
        },
        other => other,
    })?;
    Ok(losses)
}

/// Reads the terms of an epoch's steps, all at once.
fn read_terms(
    unread: Vec<UnreadTerm>,
    at: EpochAddress<'_>,
    losses: &mut MeanLosses,
) -> Result<()> {
    let values = unread.iter().map(|term| term.term.loss.clone()).collect();
    let values = host::read(values).map_err(|reason| Error::Device { reason })?;
    for (UnreadTerm { term, batch, rows }, value) in unread.into_iter().zip(values) {
        if !value.is_finite() {
            return Err(at.diverged(term.name, batch));
        }
        losses.add(&term.name, f64::from(value), rows);
    }
    Ok(())
}

/// The term that a non-finite weight after finite losses is put down to.
const GRADIENT: &str = "the gradient";
