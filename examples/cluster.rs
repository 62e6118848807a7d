//! Clusters a data set from the command line.
//!
//! ```text
//! cargo run --release --features h5ad --example cluster -- --help
//! cargo run --release --example cluster -- examples/data/pbmc68k_700_10x --clusters 10 \
//!     --labels examples/data/pbmc68k_700_10x/labels.csv
//! ```

use std::path::Path;
use std::process::ExitCode;

use celldec::cluster::{CentroidStart, KMeansConfig};
use celldec::error::ParameterError;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use clap::Parser;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

#[path = "cluster/arguments.rs"]
mod arguments;
#[path = "cluster/constraints.rs"]
mod constraints;
#[path = "shared/exit.rs"]
mod exit;
#[path = "cluster/input.rs"]
mod input;
#[path = "shared/labels.rs"]
mod labels;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/report.rs"]
mod report;
#[path = "shared/results.rs"]
mod results;

use arguments::{Arguments, Method, Preset};
use input::Input;
use labels::KnownTypes;
use progress::Progress;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.verbose);
    exit::code(run(&arguments))
}

/// Logs warnings, or everything, to the error stream.
fn start_logging(verbose: bool) {
    let levels = if verbose {
        Targets::new().with_default(LevelFilter::DEBUG)
    } else {
        // What a fit warns of is part of its report.
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("celldec::model", LevelFilter::OFF)
    };
    tracing_subscriber::registry()
        .with(fmt::layer().with_target(false).with_writer(std::io::stderr))
        .with(levels)
        .init();
}

fn run(arguments: &Arguments) -> Result<()> {
    // Settings are checked before the data are read, which may take long.
    let device = celldec::device::by_name(&arguments.device)?;
    match arguments.method {
        Method::Scdcc => {
            let trainer = scdcc_config(arguments)?.init(&device)?;
            let preprocess = match arguments.preset {
                Preset::Default => Preprocess::scdcc(),
                Preset::Reference => Preprocess::scdcc_reference(),
            };
            let (input, cells) = prepare(arguments, preprocess)?;
            let mut trainer =
                trainer.with_constraints(read_constraints(arguments, &input, &cells)?);
            if let Some(path) = &arguments.checkpoint {
                trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
            }
            let fit = trainer.fit_observed(&cells, &mut Progress::new(!arguments.verbose))?;
            finish(&arguments.output, &input, &cells, &fit)
        }
        Method::Desc => {
            let mut trainer = desc_config(arguments)?.init(&device)?;
            if let Some(path) = &arguments.checkpoint {
                trainer = trainer.with_checkpoint(CheckpointConfig::new(path));
            }
            let preprocess = match arguments.preset {
                Preset::Default => Preprocess::desc(),
                Preset::Reference => Preprocess::desc_reference(),
            };
            let (input, cells) = prepare(arguments, preprocess)?;
            let runs = trainer.fit_observed(&cells, &mut Progress::new(!arguments.verbose))?;
            for DescRun { resolution, fit } in &runs {
                let mut folder = arguments.output.clone();
                if let (Some(resolution), true) = (resolution, runs.len() > 1) {
                    println!("\n  resolution    {resolution}");
                    folder.push(format!("resolution_{resolution}"));
                }
                finish(&folder, &input, &cells, fit)?;
            }
            Ok(())
        }
    }
}

fn conflict(reason: &str) -> Error {
    ParameterError::Conflict {
        reason: reason.into(),
    }
    .into()
}

fn scdcc_config(arguments: &Arguments) -> Result<ScdccConfig> {
    let clusters = arguments.clusters.unwrap_or_default();
    let mut config = match arguments.preset {
        Preset::Default => ScdccConfig::new(clusters),
        Preset::Reference => ScdccConfig::reference(clusters),
    };
    if arguments.clusters.is_none() {
        config = config.with_start(match arguments.resolution[..] {
            [] => ScdccConfig::auto().start,
            [resolution] => ScdccConfig::from_resolution(resolution).start,
            _ => {
                return Err(conflict(
                    "--method scdcc takes a single resolution; use --method desc for several",
                ));
            }
        });
    }
    config = config.with_seed(arguments.seed);
    if let Some(epochs) = arguments.pretraining_epochs {
        config = config.with_pretraining_epochs(epochs);
    }
    if let Some(epochs) = arguments.max_epochs {
        config = config.with_max_epochs(epochs);
    }
    if let Some(cells) = arguments.batch_size {
        config = config.with_batch_size(cells);
    }
    Ok(config)
}

fn desc_config(arguments: &Arguments) -> Result<DescConfig> {
    if arguments.constraints.is_some() {
        return Err(conflict("--constraints needs --method scdcc"));
    }
    let mut config = match arguments.preset {
        Preset::Default => DescConfig::new(),
        Preset::Reference => DescConfig::reference(),
    };
    if let Some(clusters) = arguments.clusters {
        config = config.with_start(Some(CentroidStart::KMeans(KMeansConfig::new(clusters))));
    } else if arguments.resolution.is_empty() {
        config = config.with_start(DescConfig::auto().start);
    } else {
        config = config.with_resolutions(arguments.resolution.clone());
    }
    config = config.with_seed(arguments.seed);
    if let Some(epochs) = arguments.pretraining_epochs {
        config = config.with_pretraining_epochs(epochs);
    }
    if let Some(epochs) = arguments.max_epochs {
        config = config.with_max_epochs(epochs);
    }
    if let Some(cells) = arguments.batch_size {
        config = config.with_batch_size(cells);
    }
    Ok(config)
}

/// Reads and preprocesses.
fn prepare(arguments: &Arguments, mut preprocess: Preprocess) -> Result<(Input, Cells)> {
    preprocess = preprocess.with_allow_fractional(arguments.allow_fractional);
    if let Some(genes) = arguments.variable_genes {
        let variable_genes = (genes > 0).then(|| VariableGenes::seurat(genes));
        preprocess = preprocess.with_variable_genes(variable_genes);
    }
    preprocess.validate()?;
    // A folder that cannot be made is better known now than after training.
    std::fs::create_dir_all(&arguments.output)
        .map_err(|source| Error::io(&arguments.output, source))?;
    let input = input::read(arguments)?;
    let cells = match &input.batches {
        Some(batches) => preprocess.fit_with_batches(&input.counts, batches)?,
        None => preprocess.fit(&input.counts)?,
    };
    let report = cells.report();
    println!(
        "{} cells × {} genes ({} cells and {} genes left out)",
        cells.cells(),
        cells.genes(),
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

/// Prints and writes the outcome.
fn finish<H: ReconstructionHead>(
    folder: &Path,
    input: &Input,
    cells: &Cells,
    fit: &Fit<H>,
) -> Result<()> {
    let types = input.types.as_ref().map(|types| {
        let kept: Vec<Option<String>> = cells
            .kept_cells()
            .iter()
            .map(|&cell| types[cell].clone())
            .collect();
        KnownTypes::new(&kept)
    });
    report::print_summary(fit, types.as_ref())?;
    results::write(folder, cells, fit)?;
    fit.model().save(folder.join("model.safetensors"))?;
    println!(
        "  written to    {}: {}, model.safetensors",
        folder.display(),
        results::FILES
    );
    if let Some(types) = &types {
        report::print_table(types, fit.clusters());
    }
    Ok(())
}
