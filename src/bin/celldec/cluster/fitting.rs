//! Trains: the only place beside the settings that knows plans and trainers.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::train::{DataSize, TimeLeft};

use super::arguments::{ClusterArguments, Method};
use super::progress::Progress;
use super::settings;
use super::work::{Found, Work};
use crate::console::Console;
use crate::refusal::conflict;

/// Reads, clusters and writes.
pub fn run(arguments: &ClusterArguments, devices: &[Device], console: &Console) -> Result<()> {
    match arguments.method {
        Method::Scdcc => fit(arguments, devices, console, &settings::scdcc(arguments)),
        Method::Desc => fit(arguments, devices, console, &settings::desc(arguments)),
    }
}

fn fit<H: ReconstructionHead>(
    arguments: &ClusterArguments,
    devices: &[Device],
    console: &Console,
    plan: &Plan<H>,
) -> Result<()> {
    let preprocess = settings::preprocess(arguments)?;
    let file = arguments.cells.file()?;
    // Settings are checked before the data are read.
    let trainer = plan.trainer_on(devices)?;
    let work = Work::prepare(arguments, console, &file, &preprocess)?;
    let memory = trainer.memory(&DataSize::of(work.cells()));
    console.say(format_args!("  takes about   {memory}"));
    let pairs = work.read_constraints()?;
    let found = repeated(arguments, console, |seed| {
        let mut plan = plan.clone().with_seed(seed);
        if !pairs.is_empty() {
            plan = plan.with_constraints(pairs.clone());
        }
        let mut trainer = plan.trainer_on(devices)?;
        if let Some(path) = &arguments.checkpoint {
            trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
        }
        if let Some(limit) = arguments.memory_limit() {
            trainer = trainer.with_memory_limit(limit);
        }
        let left = TimeLeft::new(&plan, work.cells().cells());
        let mut progress = Progress::new(console.clone(), left);
        let fits = trainer.fit_each_observed(work.cells(), &mut progress)?;
        Ok(fits.into_iter().map(Found::new).collect())
    })?;
    work.finish(&found)
}

/// One run, or the one of several that agrees best with the others.
fn repeated<H: ReconstructionHead>(
    arguments: &ClusterArguments,
    console: &Console,
    mut run: impl FnMut(u64) -> Result<Vec<Found<H>>>,
) -> Result<Vec<Found<H>>> {
    if arguments.runs == 1 {
        return run(arguments.seed);
    }
    let ensemble = Ensemble::fit(arguments.runs, arguments.seed, |seed| {
        console.say(format_args!("seed {seed}"));
        // Options ask for a single clustering a run.
        let only = run(seed)?.pop();
        let only = only.ok_or_else(|| conflict("a run found no clusters"))?;
        Ok(only.fit)
    })?;
    Ok(vec![Found {
        fit: ensemble.medoid().clone(),
        consensus: Some(ensemble.consensus().clone()),
    }])
}
