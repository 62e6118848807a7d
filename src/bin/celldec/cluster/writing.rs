//! The files of one clustering, and its entries of the .h5ad file.

use std::path::Path;

use celldec::io::{CellResults, ResultKeys, write_columns_csv};
use celldec::markers::{ClusterMarkers, MarkerConfig, write_markers_csv};
use celldec::metrics::Consensus;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use super::arguments::ClusterArguments;
use super::keys::Keys;
use super::report;
use super::work::{Found, Work};
use crate::output::{Output, tables};

/// Marker genes written of each cluster.
const MARKERS: usize = 100;

/// Writes the files of one clustering into its folder and gives their names, and the errors that
/// kept others from being written.
pub fn write<H: ReconstructionHead>(
    work: &Work<'_>,
    folder: &Path,
    found: &Found<H>,
) -> (Vec<String>, Vec<Error>) {
    let mut files = Vec::new();
    if let Err(source) = std::fs::create_dir_all(folder) {
        return (files, vec![Error::io(folder, source)]);
    }
    let mut failures = Vec::new();
    let mut note = |written: Result<Vec<String>>| match written {
        Ok(written) => files.extend(written),
        Err(error) => failures.push(error),
    };
    let (options, fit) = (work.destination.options, &found.fit);
    let model = "model.safetensors";
    note(
        fit.model()
            .save(folder.join(model))
            .map(|()| vec![model.to_string()]),
    );
    let wants_tables = options.wants(Output::Csv);
    if wants_tables {
        note(write_tables(work, folder, found));
    }
    let mut markers = Vec::new();
    if wants_tables || options.wants(Output::Report) {
        match find_markers(work, fit.clusters()) {
            Err(error) => note(Err(error)),
            Ok(of_clusters) => {
                markers = of_clusters;
                if wants_tables {
                    let file = "markers.csv";
                    let written = write_markers_csv(folder.join(file), &markers);
                    note(written.map(|()| vec![file.to_string()]));
                }
            }
        }
    }
    note(report::draw(work, folder, fit, &markers));
    (files, failures)
}

/// Tables of cells and epochs.
fn write_tables<H: ReconstructionHead>(
    work: &Work<'_>,
    folder: &Path,
    found: &Found<H>,
) -> Result<Vec<String>> {
    let (cells, fit) = (&work.cells, &found.fit);
    tables::write_cells(folder, cells, fit.clusters(), fit.embedding())?;
    let mut files = vec![tables::CELL_FILES.to_string()];
    tables::write_history(&folder.join("history.csv"), fit.history())?;
    files.push("history.csv".to_string());
    if let Some(consensus) = &found.consensus {
        write_consensus(&folder.join("consensus.csv"), cells, consensus)?;
        files.push("consensus.csv".to_string());
    }
    if work.destination.options.denoised {
        files.push(tables::write_denoised(folder, cells, fit.model())?);
    }
    Ok(files)
}

/// What goes into the .h5ad file, by its names there.
pub fn h5ad_results<H: ReconstructionHead>(
    arguments: &ClusterArguments,
    cells: &Cells,
    keys: Vec<Keys>,
    found: &[Found<H>],
) -> Result<Vec<(ResultKeys, CellResults)>> {
    let mut results = Vec::new();
    for (keys, one) in keys.into_iter().zip(found) {
        let mut pieces = one.fit.results(cells)?;
        if arguments.writing.denoised {
            let denoised = one.fit.model().denoise(cells)?;
            pieces = pieces.with_denoised(denoised, cells.gene_names().to_vec());
        }
        results.push((keys.run, pieces));
        if let (Some(keys), Some(consensus)) = (keys.consensus, &one.consensus) {
            let pieces = CellResults::new(consensus.labels.clone())
                .with_kept_cells(cells.kept_cells().to_vec())
                .with_cell_names(cells.cell_names().to_vec())
                .with_confidence(consensus.agreement.clone())
                .with_details(serde_json::json!({
                    "runs": arguments.runs,
                    "first_seed": arguments.seed,
                    "mean_agreement": consensus.mean_agreement,
                    "stability": consensus.stability,
                }));
            results.push((keys, pieces));
        }
    }
    Ok(results)
}

/// Among all genes, of all clusters that are large enough, and not all of the cells.
fn find_markers(work: &Work<'_>, clusters: &Assignment) -> Result<Vec<ClusterMarkers>> {
    let (kept, sizes) = (work.cells.kept_cells(), clusters.sizes());
    let tested =
        (0..sizes.len()).filter(|&cluster| sizes[cluster] >= 2 && kept.len() - sizes[cluster] >= 2);
    MarkerConfig::new()
        .with_limit(MARKERS)
        .with_clusters(tested)
        .find_in_source(work.input.counts.source(), kept, clusters.labels())
}

fn write_consensus(path: &Path, cells: &Cells, consensus: &Consensus) -> Result<()> {
    write_columns_csv(
        path,
        &[
            ("cell", cells.cell_names()),
            ("cluster", &tables::texts(&consensus.labels)),
            ("agreement", &tables::texts(&consensus.agreement)),
        ],
    )
}
