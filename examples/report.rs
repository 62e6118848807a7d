//! Clusters 700 blood cells and writes pictures, marker genes and a report.
//!
//! ```text
//! cargo run --release --features plot,umap --example report
//! ```
//!
//! Without the feature `umap` cells are shown by the principal components of their embedding.

use std::path::PathBuf;
use std::process::ExitCode;

use celldec::markers::{MarkerConfig, write_markers_csv};
use celldec::prelude::*;
use celldec::view::plot::{Scatter, cluster_table, confidence_histogram, training_curves};
use celldec::view::projection::Projection;
use celldec::view::report::Report;
use clap::Parser;
use ndarray::ArrayView2;

#[path = "shared/bundled.rs"]
mod bundled;
#[path = "shared/exit.rs"]
mod exit;

/// Clusters the bundled 700 blood cells and writes pictures, marker genes and a report.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder for the results.
    #[arg(long, value_name = "FOLDER", default_value = "output/report")]
    output: PathBuf,
    /// Seed of everything random.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()), &[])
}

fn run(arguments: &Arguments) -> Result<()> {
    let (counts, labels) = bundled::read()?;
    let cells = Preprocess::scdcc().fit(&counts)?;
    // The labels are in the order of the matrix; preprocessing may drop cells.
    let types: Vec<&str> = cells
        .kept_cells()
        .iter()
        .map(|&cell| labels[cell].1.as_str())
        .collect();
    let fit = ScdccConfig::new(10)
        .with_seed(arguments.seed)
        .init(&Device::default())?
        .fit(&cells)?;

    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let projection = project(fit.embedding(), arguments.seed)?;
    let scatter = Scatter::new(&projection);
    scatter
        .by_cluster(fit.clusters())?
        .save(folder.join("clusters.png"))?;
    scatter.by_label(&types)?.save(folder.join("types.png"))?;
    scatter
        .by_confidence(fit.clusters())?
        .save(folder.join("confidence.png"))?;
    cluster_table(fit.clusters().labels(), &types)?.save(folder.join("table.svg"))?;
    confidence_histogram(fit.clusters())?.save(folder.join("histogram.svg"))?;
    training_curves(fit.history())?.save(folder.join("training.svg"))?;

    // Among all genes, of the cells that were clustered.
    let kept = counts.select_cells(cells.kept_cells())?;
    let markers = MarkerConfig::new().find(&kept, fit.clusters().labels())?;
    write_markers_csv(folder.join("markers.csv"), &markers)?;
    if let Some(best) = markers.first().and_then(|markers| markers.genes.first()) {
        let picture = scatter.by_gene(&cells, &best.name)?;
        picture.save(folder.join("first_marker.png"))?;
    }

    Report::new(&fit, &cells)
        .with_title("700 blood cells")
        .with_annotation("cell type", &types)
        .with_projection(&projection)
        .with_markers(&markers)
        .save(folder.join("report.html"))?;
    println!("written to {}", folder.display());
    Ok(())
}

#[cfg(feature = "umap")]
fn project(embedding: ArrayView2<'_, f32>, seed: u64) -> Result<Projection> {
    let settings = celldec::view::projection::UmapConfig::new();
    settings.with_seed(seed).project(embedding)
}

#[cfg(not(feature = "umap"))]
fn project(embedding: ArrayView2<'_, f32>, _seed: u64) -> Result<Projection> {
    celldec::view::projection::pca(embedding)
}
