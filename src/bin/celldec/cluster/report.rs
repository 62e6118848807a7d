//! Pictures and the report of one clustering.

use std::path::Path;

use celldec::markers::ClusterMarkers;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::view::plot::training_curves;
use celldec::view::projection::Projection;
use celldec::view::report::Report;

use super::work::Work;
use crate::output::Output;
use crate::output::drawings::{Drawer, Types, project};

/// Draws a fit and writes its report, where they are wanted; gives the names of the files.
pub fn draw<H: ReconstructionHead>(
    work: &Work<'_>,
    folder: &Path,
    fit: &Fit<H>,
    markers: &[ClusterMarkers],
) -> Result<Vec<String>> {
    let (console, options) = (work.console, work.destination.options);
    if !options.wants(Output::Plots) && !options.wants(Output::Report) {
        return Ok(Vec::new());
    }
    let types = Types::of(&work.input, &work.cells);
    let projections = project(console, options, fit.embedding(), work.arguments.seed)?;
    let mut drawer = Drawer::new(console, options, folder);
    drawer.clustering(&work.cells, &projections, fit.clusters(), types.as_ref())?;
    // Without training there are no curves.
    if options.wants(Output::Plots) && !fit.history().is_empty() {
        drawer.draw("training", training_curves(fit.history()))?;
    }
    if options.wants(Output::Report) {
        write(work, folder, fit, markers, &projections, types.as_ref())?;
        drawer.files.push("report.html".to_string());
    }
    Ok(drawer.files)
}

/// Known types that cannot be shown, such as a thousand of them, are no reason to lose the rest.
fn write<H: ReconstructionHead>(
    work: &Work<'_>,
    folder: &Path,
    fit: &Fit<H>,
    markers: &[ClusterMarkers],
    projections: &[Projection],
    types: Option<&Types>,
) -> Result<()> {
    let input = &work.destination.file.path;
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let path = folder.join("report.html");
    let report = || {
        let report = Report::new(fit, &work.cells)
            .with_title(format!("Clusters of {name}"))
            .with_markers(markers);
        projections.iter().fold(report, Report::with_projection)
    };
    let Some(types) = types else {
        return report().save(path);
    };
    let report_with_types = report().with_annotation(&types.name, &types.labels);
    match report_with_types.save(&path) {
        Err(Error::Picture { reason }) => {
            work.console.warn(format_args!(
                "note: the report leaves out the known types: {reason}"
            ));
            report().save(path)
        }
        other => other,
    }
}
