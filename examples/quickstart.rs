//! Clusters 700 blood cells with scDCC and DESC and compares with their published types.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use celldec::prelude::*;
use clap::Parser;
use indicatif::MultiProgress;

#[path = "shared/bundled.rs"]
mod bundled;
#[path = "shared/exit.rs"]
mod exit;
#[path = "shared/labels.rs"]
mod labels;
#[path = "shared/progress.rs"]
mod progress;
#[path = "shared/report.rs"]
mod report;
#[path = "shared/results.rs"]
mod results;

use labels::KnownTypes;
use progress::Progress;

/// Clusters the bundled 700 blood cells with scDCC and with DESC.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder for the results.
    #[arg(long, value_name = "FOLDER", default_value = "output/quickstart")]
    output: PathBuf,
    /// Compute device: cpu, or what the build offers (ndarray, wgpu, cuda).
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Seed of everything random.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Epochs of pretraining of both methods, in place of each method's default.
    #[arg(long, value_name = "NUMBER")]
    pretraining_epochs: Option<usize>,
    /// The most epochs of self-training of both methods, in place of each method's default.
    #[arg(long, value_name = "NUMBER")]
    max_epochs: Option<usize>,
}

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()), &[])
}

fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let device = celldec::device::by_name(&arguments.device)?;
    let (counts, labels) = bundled::read()?;
    println!("{} cells × {} genes", counts.cells(), counts.genes());
    scdcc(arguments, &counts, &labels, &device)?;
    desc(arguments, &counts, &labels, &device)?;
    println!("\nAll done in {:.1} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// The number of clusters is known.
fn scdcc(
    arguments: &Arguments,
    counts: &CountMatrix,
    labels: &[(String, String)],
    device: &Device,
) -> Result<()> {
    let cells = Preprocess::scdcc().fit(counts)?;
    let types = KnownTypes::new(&labels::join(cells.cell_names(), labels));
    println!("\nscDCC, {} clusters", types.names.len());
    let mut config = ScdccConfig::new(types.names.len()).with_seed(arguments.seed);
    config.pretraining_epochs = arguments
        .pretraining_epochs
        .unwrap_or(config.pretraining_epochs);
    config.max_epochs = arguments.max_epochs.unwrap_or(config.max_epochs);
    let fit = config
        .init(device)?
        .fit_observed(&cells, &mut Progress::new(MultiProgress::new()))?;
    report::print_summary(&fit, Some(&types))?;
    report::print_table(&types, fit.clusters());

    let folder = arguments.output.join("scdcc");
    results::write(&folder, &cells, &fit)?;
    let path = folder.join("model.safetensors");
    fit.model().save(&path)?;

    // A saved model assigns cells that it has never seen; here it sees its training cells again.
    let model = ScdccModel::load(&path, device)?;
    let again = model.assign(&model.prepare(counts)?)?;
    let same = again
        .labels()
        .iter()
        .zip(fit.clusters().labels())
        .filter(|(again, first)| again == first)
        .count();
    println!(
        "\n  written to    {}: {}, model.safetensors",
        folder.display(),
        results::FILES
    );
    println!(
        "  reloaded      the model assigns {same} of {} cells to the same cluster",
        cells.cells()
    );
    Ok(())
}

/// The number of clusters follows from a resolution; several resolutions share one pretraining.
fn desc(
    arguments: &Arguments,
    counts: &CountMatrix,
    labels: &[(String, String)],
    device: &Device,
) -> Result<()> {
    println!("\nDESC, resolutions 0.3, 0.5 and 0.8");
    let cells = Preprocess::desc().fit(counts)?;
    let types = KnownTypes::new(&labels::join(cells.cell_names(), labels));
    let mut config = DescConfig::new()
        .with_resolutions(vec![0.3, 0.5, 0.8])
        .with_seed(arguments.seed);
    config.pretraining_epochs = arguments
        .pretraining_epochs
        .unwrap_or(config.pretraining_epochs);
    config.max_epochs = arguments.max_epochs.unwrap_or(config.max_epochs);
    let runs = config
        .init(device)?
        .fit_observed(&cells, &mut Progress::new(MultiProgress::new()))?;
    for DescRun { resolution, fit } in &runs {
        let name = resolution.map(|r| format!("{r:.1}")).unwrap_or_default();
        println!("\n  resolution    {name}");
        report::print_summary(fit, Some(&types))?;
        let folder = arguments.output.join(format!("desc_{name}"));
        results::write(&folder, &cells, fit)?;
        println!("  written to    {}", folder.display());
    }
    if let Some(last) = runs.last() {
        report::print_table(&types, last.fit.clusters());
    }
    Ok(())
}
