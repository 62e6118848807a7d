//! Finds clusters.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use indicatif::MultiProgress;

use crate::arguments::{Arguments, Method};
use crate::input::{self, Input};
use crate::output::{self, Found};
use crate::progress::Progress;
use crate::{checks, constraints, prepare_folder, settings};

/// Reads, clusters and writes.
pub fn fit(arguments: &Arguments, device: &Device, bars: &MultiProgress) -> Result<()> {
    match arguments.method {
        Method::Scdcc => {
            let config = settings::scdcc(arguments);
            // Settings are checked before the data are read.
            config.init(device)?;
            let (input, cells) = prepare(arguments)?;
            let constraints = read_constraints(arguments, &input, &cells)?;
            let found = repeated(arguments, |seed| {
                let trainer = config.clone().with_seed(seed).init(device)?;
                let mut trainer = trainer.with_constraints(constraints.clone());
                if let Some(path) = &arguments.checkpoint {
                    trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
                }
                let fit = trainer.fit_observed(&cells, &mut Progress::new(bars.clone()))?;
                Ok(vec![Found::new(None, fit)])
            })?;
            output::finish(arguments, input, &cells, &found)
        }
        Method::Desc => {
            let config = settings::desc(arguments);
            config.init(device)?;
            let (input, cells) = prepare(arguments)?;
            let found = repeated(arguments, |seed| {
                let mut trainer = config.clone().with_seed(seed).init(device)?;
                if let Some(path) = &arguments.checkpoint {
                    trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
                }
                let runs = trainer.fit_observed(&cells, &mut Progress::new(bars.clone()))?;
                let found = runs.into_iter();
                Ok(found
                    .map(|run| Found::new(run.resolution, run.fit))
                    .collect())
            })?;
            output::finish(arguments, input, &cells, &found)
        }
    }
}

/// One run, or the one of several that agrees best with the others.
fn repeated<H: ReconstructionHead>(
    arguments: &Arguments,
    mut run: impl FnMut(u64) -> Result<Vec<Found<H>>>,
) -> Result<Vec<Found<H>>> {
    if arguments.runs == 1 {
        return run(arguments.seed);
    }
    let mut resolution = None;
    let ensemble = Ensemble::fit(arguments.runs, arguments.seed, |seed| {
        println!("seed {seed}");
        // Options ask for a single clustering a run.
        let only = run(seed)?.pop();
        let only = only.ok_or_else(|| checks::conflict("a run found no clusters"))?;
        resolution = only.resolution;
        Ok(only.fit)
    })?;
    Ok(vec![Found {
        resolution,
        fit: ensemble.medoid().clone(),
        consensus: Some(ensemble.consensus().clone()),
    }])
}

/// Reads and preprocesses.
fn prepare(arguments: &Arguments) -> Result<(Input, Cells)> {
    let preprocess = settings::preprocess(arguments)?;
    prepare_folder(&arguments.output)?;
    let input = input::read(arguments)?;
    output::check(arguments, &input)?;
    let cells = input
        .counts
        .fit(&preprocess, input.batch_labels().as_deref())?;
    let report = cells.report();
    println!(
        "{} cells × {} genes of {} ({} cells and {} genes left out)",
        cells.cells(),
        cells.genes(),
        input::name(input.format),
        report.cells_dropped(),
        report.genes_dropped()
    );
    if input.batches.is_some() {
        println!("  scaled within batches {}", cells.batch_names().join(", "));
    }
    Ok((input, cells))
}

fn read_constraints(
    arguments: &Arguments,
    input: &Input,
    cells: &Cells,
) -> Result<ConstraintPairs> {
    let Some(path) = &arguments.constraints else {
        return Ok(ConstraintPairs::default());
    };
    let (pairs, dropped) = constraints::read(path, &input.counts, cells)?;
    println!(
        "  {} must-link and {} cannot-link pairs",
        pairs.must_link().len(),
        pairs.cannot_link().len()
    );
    if dropped > 0 {
        println!("  {dropped} pairs are unused: preprocessing left a cell out");
    }
    Ok(pairs)
}
