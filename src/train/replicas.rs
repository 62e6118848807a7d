//! Steps that several devices share: data-parallel training.
//!
//! Every device has a replica of the model. A batch is cut into contiguous shares, one a device; each
//! computes loss and gradients of its share, weighed by its part of the rows, so that the sum of all is
//! the loss of the batch. Gradients are summed on the first device, where the optimizer is, and the next
//! step begins with its weights on all of them.
//!
//! burn's collective operations exist on servers of CubeCL only. What passes between devices therefore
//! passes through the memory of the host, which every backend can read and write, and in the order of the
//! devices: equal lists of devices give equal bits.
//!
//! GPU backends order their work by thread. So each device but the first has a thread for a whole epoch,
//! and no tensor that a step makes leaves the thread of its device.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::batches::Batches;
use crate::error::{Error, Result};
use crate::kernel::{host, on_stream_of};
use crate::loss::Term;

/// What a device is to compute of a batch.
pub(super) struct Share<P> {
    prepared: P,
    /// Its part of the rows of the batch.
    weight: f64,
}

impl<P> Share<P> {
    /// The shares of a batch, each read for its device. There are fewer of them than devices where
    /// there are fewer rows.
    pub fn prepare(
        batches: &Batches<'_>,
        rows: &[usize],
        prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P>,
    ) -> Result<Vec<Self>> {
        let devices = batches.on_each_device();
        let shares = cut(rows, devices.len());
        let shares = devices.iter().zip(shares).map(|(batches, share)| {
            Ok(Self {
                prepared: prepare(batches, share)?,
                weight: share.len() as f64 / rows.len() as f64,
            })
        });
        shares.collect()
    }
}

/// Contiguous shares of rows that differ by one row at most; none is empty.
fn cut(rows: &[usize], shares: usize) -> impl Iterator<Item = &[usize]> {
    let (count, shares) = (rows.len(), shares.min(rows.len()));
    (0..shares).map(move |share| &rows[share * count / shares..(share + 1) * count / shares])
}

/// The weighed values of terms, and the gradients of their sum, if it has any.
type Step = (Vec<(String, f64)>, Option<GradientsParams>);

/// A step of a device other than the first: its weights before, in the order of the model.
struct Job<P> {
    weights: Arc<Vec<Vec<f32>>>,
    share: Share<P>,
}

/// What became of a [`Job`].
struct Answer {
    terms: Vec<(String, f64)>,
    /// Gradients in the order of the model's trained parameters.
    gradients: Vec<Option<Vec<f32>>>,
}

/// The way to the thread of a device and back.
struct Replica<P> {
    jobs: Sender<Job<P>>,
    answers: Receiver<Result<Answer>>,
}

/// The devices that share steps with the first one.
pub(super) struct Replicas<'a, P, F> {
    replicas: Vec<Replica<P>>,
    forward: &'a F,
}

/// Calls `lead` with the model and its replicas on other devices, which are gone when this returns.
///
/// # Errors
/// That of `lead`, and [`Error::Device`] when a device cannot be driven.
pub(super) fn with_replicas<M, P, F, R>(
    devices: &[Device],
    model: M,
    forward: &F,
    lead: impl FnOnce(M, &Replicas<'_, P, F>) -> Result<R>,
) -> Result<R>
where
    M: Module,
    P: Send,
    F: Fn(&M, P, &Device) -> Vec<Term> + Sync,
{
    thread::scope(|scope| {
        let mut replicas = Vec::new();
        let mut threads = Vec::new();
        for (place, device) in devices.iter().enumerate() {
            let (jobs, received) = channel();
            let (answer, answers) = channel();
            let model = model.clone();
            let thread = thread::Builder::new()
                .name("celldec replica".into())
                .spawn_scoped(scope, move || {
                    let serve = move || serve(model, device, forward, &received, &answer);
                    in_a_pool(move || on_stream_of(place, serve))
                })
                .map_err(failed)?;
            threads.push(thread);
            replicas.push(Replica { jobs, answers });
        }
        let replicas = Replicas { replicas, forward };
        let result = lead(model, &replicas);
        // Without jobs to come, threads end.
        drop(replicas);
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(panic) => resume_unwind(panic),
            }
        }
        result
    })
}

/// Runs work on a thread with a pool of its own: a CPU backend that waited for the pool of all might wait
/// for a thread of it that waits for this device.
fn in_a_pool(work: impl FnOnce() + Send) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "celldec replica".into())
        .build()
        .map_err(failed)?;
    pool.install(work);
    Ok(())
}

fn failed(reason: impl ToString) -> Error {
    Error::Device {
        reason: reason.to_string(),
    }
}

/// Answers jobs with a replica of the model on `device`, until there are none.
fn serve<M: Module, P>(
    model: M,
    device: &Device,
    forward: &impl Fn(&M, P, &Device) -> Vec<Term>,
    jobs: &Receiver<Job<P>>,
    answers: &Sender<Result<Answer>>,
) {
    let mut model = model.fork(device);
    for Job { weights, share } in jobs {
        model = model.map(&mut Renewed(weights.iter()));
        drop(weights);
        // Nobody receives when another device has failed.
        if answers
            .send(answer(&model, share, device, forward))
            .is_err()
        {
            return;
        }
    }
}

/// A step of a replica, in memory of the host.
fn answer<M: Module, P>(
    model: &M,
    share: Share<P>,
    device: &Device,
    forward: &impl Fn(&M, P, &Device) -> Vec<Term>,
) -> Result<Answer> {
    let weight = share.weight;
    let (terms, gradients) = compute(model, share, device, forward);
    let mut collected = Collected::default();
    if let Some(gradients) = gradients {
        collected.gradients = gradients;
        model.visit(&mut collected);
    }
    let count = terms.len();
    let (names, mut values): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
    values.extend(collected.found);
    let mut values = host::read_lists(values).map_err(failed)?;
    let mut gradients = values.split_off(count).into_iter();
    let values: Result<Vec<f32>, String> = values.into_iter().map(host::only).collect();
    Ok(Answer {
        terms: weighed(names, values.map_err(failed)?, weight),
        gradients: collected
            .has_one
            .into_iter()
            .map(|has_one| if has_one { gradients.next() } else { None })
            .collect(),
    })
}

/// The unread terms of a share, and the gradients of its part of the batch's loss.
fn compute<M: Module, P>(
    model: &M,
    share: Share<P>,
    device: &Device,
    forward: &impl Fn(&M, P, &Device) -> Vec<Term>,
) -> (Vec<(String, Tensor<1>)>, Option<GradientsParams>) {
    let terms = forward(model, share.prepared, device);
    let losses = terms.iter().map(|term| term.loss.clone());
    let total = losses.reduce(|sum, loss| sum + loss);
    // Where all that a loss depends on is frozen, there is no step to take.
    let total = total.filter(Tensor::is_tracked);
    let gradients =
        total.map(|total| GradientsParams::from_grads((total * share.weight).backward(), model));
    let unread = terms.into_iter().map(|term| (term.name, term.loss.inner()));
    (unread.collect(), gradients)
}

fn weighed(names: Vec<String>, values: Vec<f32>, weight: f64) -> Vec<(String, f64)> {
    let values = values.into_iter().map(|value| f64::from(value) * weight);
    names.into_iter().zip(values).collect()
}

impl<P, F> Replicas<'_, P, F> {
    /// The terms of a batch and their gradients on the first device, by all devices together.
    ///
    /// # Errors
    /// [`Error::Device`] when a device has failed.
    pub fn step<M>(&self, model: &M, shares: Vec<Share<P>>, device: &Device) -> Result<Step>
    where
        M: Module,
        F: Fn(&M, P, &Device) -> Vec<Term>,
    {
        let mut weights = Weights(Vec::new());
        model.visit(&mut weights);
        let weights = Arc::new(host::read_lists(weights.0).map_err(failed)?);
        let mut shares = shares.into_iter();
        let first = shares.next().expect("a batch has rows");
        let mut working = Vec::new();
        for (replica, share) in self.replicas.iter().zip(shares) {
            let weights = Arc::clone(&weights);
            // A thread that has ended gives no answer either.
            let _ = replica.jobs.send(Job { weights, share });
            working.push(&replica.answers);
        }
        let weight = first.weight;
        let (terms, own) = compute(model, first, device, self.forward);
        let (names, values): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
        let values = host::read(values).map_err(failed)?;
        let mut sum = weighed(names, values, weight);
        let mut others = Vec::new();
        for answers in working {
            // `with_replicas` finds out why a thread has ended.
            let ended = |_| failed("a device gives no answer");
            let Answer { terms, gradients } = answers.recv().map_err(ended)??;
            let names = |terms: &[(String, f64)]| -> Vec<String> {
                terms.iter().map(|(name, _)| name.clone()).collect()
            };
            if !sum
                .iter()
                .map(|term| &term.0)
                .eq(terms.iter().map(|term| &term.0))
            {
                return Err(failed(format!(
                    "a loss has the terms {:?} of one share of a batch and {:?} of another; train it \
                     on one device",
                    names(&sum),
                    names(&terms)
                )));
            }
            for ((_, sum), (_, value)) in sum.iter_mut().zip(terms) {
                *sum += value;
            }
            others.push(gradients.into_iter());
        }
        let gradients = own.map(|gradients| {
            let mut summed = Summed { gradients, others };
            model.visit(&mut summed);
            summed.gradients
        });
        Ok((sum, gradients))
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// The weights that training moves.
struct Weights(Vec<Tensor<1>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0.push(flat(param.base().inner()));
        }
    }
}

/// Puts weights in the place of those that training moves.
struct Renewed<'a>(std::slice::Iter<'a, Vec<f32>>);

impl ModuleMapper for Renewed<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let values = self.0.next().expect("replicas have the same parameters");
        param.map(|old| {
            let data = TensorData::new(values.clone(), old.dims());
            Tensor::from_data(data, &old.device()).require_grad()
        })
    }
}

/// The gradients of the parameters that training moves.
#[derive(Default)]
struct Collected {
    gradients: GradientsParams,
    /// Whether each of them has a gradient.
    has_one: Vec<bool>,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for Collected {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let gradient = self.gradients.remove::<D>(param.id);
            self.has_one.push(gradient.is_some());
            self.found.extend(gradient.map(flat));
        }
    }
}

/// Adds the gradients of the other devices to those of the first one.
struct Summed {
    gradients: GradientsParams,
    others: Vec<std::vec::IntoIter<Option<Vec<f32>>>>,
}

impl ModuleVisitor for Summed {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let mut sum = self.gradients.remove::<D>(param.id);
        let weights = param.base();
        let device = weights.device().inner();
        for gradients in &mut self.others {
            let Some(values) = gradients.next().flatten() else {
                continue;
            };
            let data = TensorData::new(values, weights.dims());
            let gradient = Tensor::from_data(data, &device);
            sum = Some(match sum {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
        if let Some(sum) = sum {
            self.gradients.register(param.id, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_every_row_once_and_differ_by_one_row() {
        for count in 1..20 {
            let rows: Vec<usize> = (0..count).map(|row| row * 3).collect();
            for devices in 1..6 {
                let shares: Vec<&[usize]> = cut(&rows, devices).collect();
                assert_eq!(shares.len(), devices.min(count));
                assert_eq!(shares.concat(), rows);
                let sizes = || shares.iter().map(|share| share.len());
                let (least, most) = (sizes().min().unwrap(), sizes().max().unwrap());
                assert!(least > 0 && most - least <= 1, "{shares:?}");
            }
        }
    }
}
