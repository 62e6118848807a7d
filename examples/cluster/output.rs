//! What a run leaves behind: a summary on the screen, and files.

use std::path::Path;
#[cfg(feature = "h5ad")]
use std::path::PathBuf;

use celldec::io::{write_columns_csv, write_matrix_csv};
use celldec::markers::{ClusterMarkers, MarkerConfig, write_markers_csv};
use celldec::metrics::Consensus;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use ndarray::ArrayView2;

use crate::arguments::{Arguments, Output};
use crate::checks::outputs;
use crate::input::Input;
use crate::labels::KnownTypes;
use crate::{report, results};

/// Marker genes written of each cluster.
const MARKERS: usize = 100;

/// One clustering.
pub struct Found<H: ReconstructionHead> {
    /// The resolution asked for, of several.
    pub resolution: Option<f64>,
    pub fit: Fit<H>,
    /// Agreement with the same under other seeds.
    pub consensus: Option<Consensus>,
}

impl<H: ReconstructionHead> Found<H> {
    pub fn new(resolution: Option<f64>, fit: Fit<H>) -> Self {
        Self {
            resolution,
            fit,
            consensus: None,
        }
    }
}

/// Refuses, before training, what could not be written afterwards.
pub fn check(arguments: &Arguments, input: &Input) -> Result<()> {
    #[cfg(feature = "h5ad")]
    if outputs(arguments).contains(&Output::H5ad) {
        return crate::annotated::check(arguments, input);
    }
    let _ = (arguments, input);
    Ok(())
}

/// Prints and writes every clustering.
pub fn finish<H: ReconstructionHead>(
    arguments: &Arguments,
    input: Input,
    cells: &Cells,
    found: &[Found<H>],
) -> Result<()> {
    let types = input.types_of(cells.kept_cells());
    let known = types.as_deref().map(KnownTypes::new);
    // Marker genes are looked for among all genes, of the cells that were clustered.
    let kept = input.counts.select(cells.kept_cells())?;
    if kept.is_none() {
        println!("note: marker genes need the counts in memory; leave --on-disk out for them");
    }
    for one in found {
        let mut folder = arguments.output.clone();
        if let (Some(resolution), true) = (one.resolution, found.len() > 1) {
            println!("\n  resolution    {resolution}");
            folder.push(format!("resolution_{resolution}"));
        }
        report::print_summary(&one.fit, known.as_ref())?;
        if let Some(consensus) = &one.consensus {
            print_consensus(consensus);
        }
        let files = write(arguments, &folder, &input, cells, kept.as_ref(), one)?;
        println!("  written to    {}: {}", folder.display(), files.join(", "));
        if let Some(known) = &known {
            report::print_table(known, one.fit.clusters());
        }
    }
    #[cfg(feature = "h5ad")]
    if outputs(arguments).contains(&Output::H5ad) {
        let path = crate::annotated::write_fits(arguments, input, cells, found)?;
        println!("  .h5ad file    {}", path.display());
    }
    Ok(())
}

fn print_consensus(consensus: &Consensus) {
    let stability: Vec<String> = consensus
        .stability
        .iter()
        .map(|value| format!("{value:.2}"))
        .collect();
    println!(
        "  other seeds   agreement (ARI) {:.3}; stability of each cluster {}",
        consensus.mean_agreement,
        stability.join(", ")
    );
}

/// Writes the files of one clustering into its folder and gives their names.
fn write<H: ReconstructionHead>(
    arguments: &Arguments,
    folder: &Path,
    input: &Input,
    cells: &Cells,
    kept: Option<&CountMatrix>,
    found: &Found<H>,
) -> Result<Vec<String>> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let outputs = outputs(arguments);
    let fit = &found.fit;
    let mut files = vec!["model.safetensors".to_string()];
    fit.model().save(folder.join(&files[0]))?;
    if outputs.contains(&Output::Csv) {
        results::write(folder, cells, fit)?;
        files.push(results::FILES.to_string());
        if let Some(consensus) = &found.consensus {
            write_consensus(&folder.join("consensus.csv"), cells, consensus)?;
            files.push("consensus.csv".to_string());
        }
        if arguments.denoised {
            let denoised = fit.model().denoise(cells)?;
            files.push(write_denoised(folder, cells, denoised.view())?);
        }
    }
    let wants_markers = [Output::Csv, Output::Report]
        .iter()
        .any(|output| outputs.contains(output));
    let kept = kept.filter(|_| wants_markers);
    let markers = match kept {
        Some(kept) => find_markers(kept, fit.clusters())?,
        None => Vec::new(),
    };
    if kept.is_some() && outputs.contains(&Output::Csv) {
        write_markers_csv(folder.join("markers.csv"), &markers)?;
        files.push("markers.csv".to_string());
    }
    #[cfg(feature = "plot")]
    files.extend(crate::drawings::of_fit(
        arguments, folder, input, cells, fit, &markers,
    )?);
    let _ = input;
    Ok(files)
}

/// Of all clusters that are large enough, and not all of the cells.
fn find_markers(kept: &CountMatrix, clusters: &Assignment) -> Result<Vec<ClusterMarkers>> {
    let sizes = clusters.sizes();
    let tested = (0..sizes.len())
        .filter(|&cluster| sizes[cluster] >= 2 && kept.cells() - sizes[cluster] >= 2);
    MarkerConfig::new()
        .with_limit(MARKERS)
        .with_clusters(tested)
        .find(kept, clusters.labels())
}

fn write_consensus(path: &Path, cells: &Cells, consensus: &Consensus) -> Result<()> {
    write_columns_csv(
        path,
        &[
            ("cell", cells.cell_names()),
            ("cluster", &results::texts(&consensus.labels)),
            ("agreement", &results::texts(&consensus.agreement)),
        ],
    )
}

/// Writes a value for every cell and gene into a folder and gives the file's name.
pub fn write_denoised(
    folder: &Path,
    cells: &Cells,
    denoised: ArrayView2<'_, f32>,
) -> Result<String> {
    let file = "denoised.csv.gz";
    let path = folder.join(file);
    write_matrix_csv(path, cells.cell_names(), cells.gene_names(), denoised)?;
    Ok(file.to_string())
}

/// Where the .h5ad file with the results goes.
#[cfg(feature = "h5ad")]
pub fn h5ad_path(arguments: &Arguments) -> PathBuf {
    if arguments.in_place {
        arguments.input.clone()
    } else {
        arguments.output.join("cells.h5ad")
    }
}
