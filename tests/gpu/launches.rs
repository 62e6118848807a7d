//! How many kernels a training step launches, and that it waits for none of them.
//!
//! An epoch also looks at its result, so steps are counted as what an epoch of twice as many steps
//! has more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use celldec::burn::cubecl::logging::{LaunchObservation, LaunchObserver};
use celldec::model::Phase;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use tracing::span;

use crate::gpu;

/// Cells of the simulated data.
const CELLS: usize = 240;

/// Counts the launches of one thread: tests run beside each other.
struct Launches {
    thread: ThreadId,
    kernels: Mutex<BTreeMap<&'static str, usize>>,
}

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        if thread::current().id() == self.thread {
            let mut kernels = self.kernels.lock().expect("nobody panics with the lock");
            *kernels.entry(kernel).or_default() += 1;
        }
    }
}

thread_local! {
    static WAITS: Cell<usize> = const { Cell::new(0) };
}

/// One observation at a time: another one would replace it.
static ALONE: Mutex<()> = Mutex::new(());

/// How often `work` launches kernels from this thread, by their names.
pub fn launches_of(work: impl FnOnce()) -> BTreeMap<&'static str, usize> {
    let launches = Arc::new(Launches {
        thread: thread::current().id(),
        kernels: Mutex::default(),
    });
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let watching = LaunchObservation::new(launches.clone());
    work();
    drop(watching);
    std::mem::take(&mut *launches.kernels.lock().expect("no panic"))
}

/// Counts how often the thread has waited for the device.
struct Waits;

impl tracing::Subscriber for Waits {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "celldec::host"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        WAITS.set(WAITS.get() + 1);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What the second epoch of every phase took.
type Epochs = BTreeMap<String, (BTreeMap<&'static str, usize>, usize)>;

fn epochs<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells, device: &Device) -> Epochs {
    let launches = Arc::new(Launches {
        thread: thread::current().id(),
        kernels: Mutex::default(),
    });
    let take = || {
        let kernels = std::mem::take(&mut *launches.kernels.lock().expect("no panic"));
        (kernels, WAITS.replace(0))
    };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut epochs = Epochs::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let watching = LaunchObservation::new(launches.clone());
    tracing::subscriber::with_default(Waits, || {
        let mut observer = |event: &Event<'_>| match event {
            Event::EpochFinished(record) => {
                let taken = take();
                let phase = record.phase.to_string();
                let count = seen.entry(phase.clone()).or_default();
                *count += 1;
                if *count == 2 {
                    epochs.insert(phase, taken);
                }
            }
            // Evaluations are no part of steps.
            _ => drop(take()),
        };
        let trainer = plan.trainer(device).expect("a valid plan");
        trainer
            .fit_observed(cells, &mut observer)
            .expect("simulated cells can be fitted");
    });
    drop(watching);
    epochs
}

/// Launches and waits of one step in pretraining and in self-training: those of docs/gpu.md.
fn steps<H: ReconstructionHead>(plan: impl Fn(usize) -> Plan<H>, most: [usize; 2], what: &str) {
    let Some(device) = gpu() else { return };
    let simulation = SimulationConfig::new(CELLS, 60)
        .with_groups(3)
        .with_seed(1)
        .simulate()
        .expect("valid settings");
    let cells = Preprocess::scdcc_reference()
        .fit(&simulation.counts)
        .expect("simulated counts are valid");
    assert_eq!(cells.cells(), CELLS);
    let few = epochs(&plan(CELLS / 2), &cells, &device);
    let many = epochs(&plan(CELLS / 4), &cells, &device);
    assert!(few.len() >= 2, "{what}: {:?}", few.keys());
    for (phase, (few, waits)) in &few {
        let (many, more_waits) = &many[phase];
        let most = most[usize::from(phase == &Phase::SelfTraining.to_string())];
        // Two steps and four.
        let steps = 2;
        let mut launches = 0;
        println!("{what}, {phase}: waits {waits} an epoch");
        for (kernel, count) in many {
            let more = count - few.get(kernel).unwrap_or(&0);
            launches += more;
            if more > 0 {
                let name = kernel.split('<').next().unwrap_or(kernel);
                println!("  {:5.1} {name}", more as f64 / steps as f64);
            }
        }
        println!("  {:5.1} launches a step", launches as f64 / steps as f64);
        assert_eq!(
            waits, more_waits,
            "{what}, {phase}: steps wait for the device"
        );
        assert!(launches > 0, "{what}, {phase}: no launch was seen");
        assert!(
            launches <= most * steps,
            "{what}, {phase}: {launches} launches in {steps} steps"
        );
    }
}

#[test]
fn steps_of_scdcc() {
    steps(
        |batch| {
            Plan::scdcc(3)
                .with_batch_size(batch)
                .with_epochs(3, 3)
                .with_self_training(|phase| phase.with_tolerance(0.0))
                .with_seed(5)
        },
        [41, 28],
        "scDCC",
    );
}

#[test]
fn steps_of_the_published_scdcc() {
    steps(
        |batch| {
            Plan::scdcc_reference(3)
                .with_batch_size(batch)
                .with_epochs(3, 3)
                .with_self_training(|phase| phase.with_tolerance(0.0))
                .with_seed(5)
        },
        [47, 58],
        "published scDCC",
    );
}

#[test]
fn steps_of_desc() {
    steps(
        |batch| {
            Plan::desc()
                .with_start(CentroidStart::Graph(GraphConfig::new(1.0)))
                .with_batch_size(batch)
                .with_epochs(3, 3)
                .with_self_training(|phase| phase.with_tolerance(0.0))
                .with_seed(3)
        },
        [30, 23],
        "DESC",
    );
}
