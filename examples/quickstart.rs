//! Clusters 700 blood cells with scDCC and DESC and compares with their published types.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```
//!
//! Results go to `output/quickstart`, or to the folder named after `--`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use celldec::io::{write_columns_csv, write_matrix_csv};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

#[path = "shared/bundled.rs"]
mod bundled;

use bundled::Bundled;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(|| "output/quickstart".into(), PathBuf::from);
    match run(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<()> {
    let start = Instant::now();
    let device = Device::default();
    let data = Bundled::read()?;
    println!(
        "{} cells × {} genes",
        data.counts.cells(),
        data.counts.genes()
    );
    scdcc(&data, &device, folder)?;
    desc(&data, &device, folder)?;
    println!("\nAll done in {:.1} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// The number of clusters is known.
fn scdcc(data: &Bundled, device: &Device, folder: &Path) -> Result<()> {
    println!("\nscDCC, 10 clusters");
    let cells = Preprocess::scdcc().fit(&data.counts)?;
    let trainer = Plan::scdcc(10).trainer(device)?;
    let fit = trainer.fit_observed(&cells, &mut print_phases)?;
    finish(data, &cells, &fit, &folder.join("scdcc"))?;

    // A saved model assigns cells that it has never seen; here it sees its training cells again.
    let path = folder.join("scdcc/model.safetensors");
    fit.model().save(&path)?;
    let model = ScdccModel::load(&path, device)?;
    let again = model.assign(&model.prepare(&data.counts)?)?;
    let pairs = again.labels().iter().zip(fit.clusters().labels());
    println!(
        "  reloaded      the model assigns {} of {} cells to the same cluster",
        pairs.filter(|(again, first)| again == first).count(),
        cells.cells()
    );
    Ok(())
}

/// The number of clusters follows from a resolution; several resolutions share one pretraining.
fn desc(data: &Bundled, device: &Device, folder: &Path) -> Result<()> {
    println!("\nDESC, resolutions 0.3, 0.5 and 0.8");
    let cells = Preprocess::desc().fit(&data.counts)?;
    let plan = Plan::desc().with_resolutions([0.3, 0.5, 0.8]);
    let trainer = plan.trainer(device)?;
    for fit in trainer.fit_each_observed(&cells, &mut print_phases)? {
        let name = fit.resolution().map(|r| format!("{r:.1}"));
        let name = name.unwrap_or_default();
        println!("\n  resolution    {name}");
        finish(data, &cells, &fit, &folder.join(format!("desc_{name}")))?;
    }
    Ok(())
}

/// An observer is a function of what happens during training.
fn print_phases(event: &Event<'_>) {
    match event {
        Event::PhaseFinished {
            phase,
            epochs,
            seconds,
        } => println!(
            "  {:<32} {epochs:>4} epochs   {seconds:>6.1} s",
            phase.to_string()
        ),
        Event::CentroidsFound {
            clusters, seconds, ..
        } => println!(
            "  {:<32} {clusters:>4} clusters {seconds:>6.1} s",
            "initial centroids"
        ),
        _ => {}
    }
}

/// Prints what a fit found and writes labels, soft assignments and the embedding.
fn finish<H: ReconstructionHead>(
    data: &Bundled,
    cells: &Cells,
    fit: &Fit<H>,
    folder: &Path,
) -> Result<()> {
    let clusters = fit.clusters();
    println!(
        "  clusters      {} with {:?} cells",
        clusters.count(),
        clusters.sizes()
    );
    println!(
        "  training      {}",
        if fit.status().converged {
            "converged"
        } else {
            "not converged, more epochs may help"
        }
    );
    println!(
        "  agreement     adjusted Rand index {:.3} with the published types",
        data.agreement(cells, clusters)?
    );

    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let names = cells.cell_names();
    let labels: Vec<String> = clusters.labels().iter().map(usize::to_string).collect();
    write_columns_csv(
        folder.join("labels.csv"),
        &[("cell", names), ("cluster", &labels)],
    )?;
    let numbered = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i}")).collect()
    };
    write_matrix_csv(
        folder.join("soft_assignments.csv"),
        names,
        &numbered("cluster_", clusters.count()),
        clusters.soft(),
    )?;
    write_matrix_csv(
        folder.join("embedding.csv"),
        names,
        &numbered("z_", fit.embedding().ncols()),
        fit.embedding(),
    )?;
    println!("  written to    {}", folder.display());
    Ok(())
}
