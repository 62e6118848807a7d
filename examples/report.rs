//! Clusters 700 blood cells and writes pictures, marker genes and a report.
//!
//! ```text
//! cargo run --release --features plot,umap --example report
//! ```
//!
//! Results go to `output/report`, or to the folder named after `--`.
//!
//! Without the feature `umap` cells are shown by the principal components of their embedding.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use celldec::markers::{MarkerConfig, write_markers_csv};
use celldec::prelude::*;
use celldec::view::plot::{Scatter, cluster_table, confidence_histogram, training_curves};
use celldec::view::projection::Projection;
use celldec::view::report::Report;
use ndarray::ArrayView2;

#[path = "shared/bundled.rs"]
mod bundled;

use bundled::Bundled;

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(|| "output/report".into(), PathBuf::from);
    match run(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<()> {
    let data = Bundled::read()?;
    let cells = Preprocess::scdcc().fit(&data.counts)?;
    let types = data.types_of(&cells);
    let fit = Plan::scdcc(10).trainer(&Device::default())?.fit(&cells)?;

    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let projection = project(fit.embedding())?;
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
    let kept = data.counts.select_cells(cells.kept_cells())?;
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
    println!(
        "adjusted Rand index {:.3}; written to {}",
        data.agreement(&cells, fit.clusters())?,
        folder.display()
    );
    Ok(())
}

#[cfg(feature = "umap")]
fn project(embedding: ArrayView2<'_, f32>) -> Result<Projection> {
    celldec::view::projection::UmapConfig::new().project(embedding)
}

#[cfg(not(feature = "umap"))]
fn project(embedding: ArrayView2<'_, f32>) -> Result<Projection> {
    celldec::view::projection::pca(embedding)
}
