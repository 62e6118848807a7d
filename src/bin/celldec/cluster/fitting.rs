//! Trains: the only place beside the settings that knows the methods' trainers.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use super::arguments::{ClusterArguments, Method};
use super::progress::Progress;
use super::settings;
use super::work::{Found, Work};
use crate::console::Console;
use crate::refusal::conflict;

/// Reads, clusters and writes.
pub fn run(arguments: &ClusterArguments, device: &Device, console: &Console) -> Result<()> {
    let preprocess = settings::preprocess(arguments)?;
    let file = arguments.cells.file()?;
    let progress = || Progress::new(console.clone());
    match arguments.method {
        Method::Scdcc => {
            let config = settings::scdcc(arguments);
            // Settings are checked before the data are read.
            config.init(device)?;
            let work = Work::prepare(arguments, console, &file, &preprocess)?;
            let constraints = work.read_constraints()?;
            let found = repeated(arguments, console, |seed| {
                let trainer = config.clone().with_seed(seed).init(device)?;
                let mut trainer = trainer.with_constraints(constraints.clone());
                if let Some(path) = &arguments.checkpoint {
                    trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
                }
                let fit = trainer.fit_observed(work.cells(), &mut progress())?;
                Ok(vec![Found::new(None, fit)])
            })?;
            work.finish(&found)
        }
        Method::Desc => {
            let config = settings::desc(arguments);
            config.init(device)?;
            let work = Work::prepare(arguments, console, &file, &preprocess)?;
            let found = repeated(arguments, console, |seed| {
                let mut trainer = config.clone().with_seed(seed).init(device)?;
                if let Some(path) = &arguments.checkpoint {
                    trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
                }
                let runs = trainer.fit_observed(work.cells(), &mut progress())?;
                let found = runs.into_iter();
                Ok(found
                    .map(|run| Found::new(run.resolution, run.fit))
                    .collect())
            })?;
            work.finish(&found)
        }
    }
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
    let mut resolution = None;
    let ensemble = Ensemble::fit(arguments.runs, arguments.seed, |seed| {
        console.say(format_args!("seed {seed}"));
        // Options ask for a single clustering a run.
        let only = run(seed)?.pop();
        let only = only.ok_or_else(|| conflict("a run found no clusters"))?;
        resolution = only.resolution;
        Ok(only.fit)
    })?;
    Ok(vec![Found {
        resolution,
        fit: ensemble.medoid().clone(),
        consensus: Some(ensemble.consensus().clone()),
    }])
}
