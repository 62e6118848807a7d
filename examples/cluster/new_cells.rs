//! Puts new cells into the clusters of a fitted model.

use std::path::Path;

use celldec::io::write_columns_csv;
use celldec::model::ModelInfo;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use crate::arguments::{Arguments, Output};
use crate::checks::{conflict, outputs};
use crate::input::{self, Input};
use crate::labels::KnownTypes;
use crate::{output, prepare_folder, report, results};

/// What [`results::write_cells`] makes.
const CELL_FILES: &str = "labels.csv, soft_assignments.csv, embedding.csv";
/// Missing genes named on the screen.
const NAMED: usize = 5;
/// Below this a cell's largest soft assignment is less than all others together.
const UNSURE: f32 = 0.5;

/// Reads, assigns and writes.
pub fn assign(arguments: &Arguments, model: &Path, device: &Device) -> Result<()> {
    match ModelInfo::read(model)?.method.as_str() {
        "desc" if arguments.denoised => Err(Error::NoDecoder),
        "desc" => with_model(arguments, &DescModel::load(model, device)?),
        _ => with_model(arguments, &ScdccModel::load(model, device)?),
    }
}

fn with_model<H: ReconstructionHead>(arguments: &Arguments, model: &FittedModel<H>) -> Result<()> {
    prepare_folder(&arguments.output)?;
    let input = input::read(arguments)?;
    #[cfg(feature = "h5ad")]
    if outputs(arguments).contains(&Output::H5ad) {
        let names = crate::annotated::names(arguments, &model.info().method);
        crate::annotated::check_names(arguments, &input, &names)?;
    }
    let cells = prepare(model, &input)?;
    print_genes(&arguments.output, model, &cells)?;

    let evaluation = model.evaluate(&cells)?;
    let clusters = Assignment::from_soft(evaluation.soft_assignments.clone());
    print_clusters(&clusters);
    let known = input
        .types_of(cells.kept_cells())
        .map(|types| KnownTypes::new(&types));
    if let Some(known) = &known {
        println!("  agreement     {}", known.agreement(clusters.labels())?);
    }

    let mut files = Vec::new();
    let denoised = match arguments.denoised {
        true => Some(model.denoise(&cells)?),
        false => None,
    };
    if outputs(arguments).contains(&Output::Csv) {
        let embedding = evaluation.embedding.view();
        results::write_cells(&arguments.output, &cells, &clusters, embedding)?;
        files.push(CELL_FILES.to_string());
        if let Some(denoised) = &denoised {
            let file = output::write_denoised(&arguments.output, &cells, denoised.view())?;
            files.push(file);
        }
    }
    #[cfg(feature = "plot")]
    files.extend(crate::drawings::of_new_cells(
        arguments,
        &input,
        &cells,
        &clusters,
        evaluation.embedding.view(),
    )?);
    println!(
        "  written to    {}: {}",
        arguments.output.display(),
        files.join(", ")
    );
    if let Some(known) = &known {
        report::print_table(known, &clusters);
    }
    #[cfg(feature = "h5ad")]
    if outputs(arguments).contains(&Output::H5ad) {
        let mut pieces = model.results(&cells, &evaluation)?;
        if let Some(denoised) = denoised {
            pieces = pieces.with_denoised(denoised, cells.gene_names().to_vec());
        }
        let path = crate::annotated::write_new_cells(arguments, input, &cells, pieces, model)?;
        println!("  .h5ad file    {}", path.display());
    }
    Ok(())
}

/// Prepares cells as those of the model were.
fn prepare<H: ReconstructionHead>(model: &FittedModel<H>, input: &Input) -> Result<Cells> {
    let preprocessing = model.preprocessing();
    let known = preprocessing.batch_statistics();
    let Some(batches) = input.batch_labels() else {
        if !known.is_empty() {
            println!(
                "note: the model was fitted within batches; name those of the new cells with \
                 --batch-column where they are the same"
            );
        }
        return input.counts.transform(preprocessing, None);
    };
    if known.is_empty() {
        return Err(conflict(
            "the model was fitted without batches; leave --batch-column and --batches out",
        ));
    }
    let mut unknown: Vec<&str> = batches
        .iter()
        .map(String::as_str)
        .filter(|batch| !known.iter().any(|statistics| statistics.batch == *batch))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        println!(
            "note: the model does not know the batches {}; they are scaled by all of its cells",
            unknown.join(", ")
        );
    }
    input.counts.transform(preprocessing, Some(&batches))
}

/// Says which genes were found; all missing ones go to a file.
fn print_genes<H: ReconstructionHead>(
    folder: &Path,
    model: &FittedModel<H>,
    cells: &Cells,
) -> Result<()> {
    let report = cells.report();
    let missing = &report.missing_genes;
    println!(
        "{} new cells ({} left out), {} of the model's {} genes",
        cells.cells(),
        report.cells_dropped(),
        cells.genes() - missing.len(),
        model.preprocessing().gene_names().len(),
    );
    if report.genes_not_in_model > 0 {
        println!(
            "  extra genes   {} are not in the model and are not used",
            report.genes_not_in_model
        );
    }
    if !missing.is_empty() {
        let first: Vec<&str> = missing.iter().take(NAMED).map(String::as_str).collect();
        let more = if missing.len() > NAMED { ", …" } else { "" };
        println!(
            "  missing genes {} count as zero: {}{more} (all in missing_genes.csv)",
            missing.len(),
            first.join(", ")
        );
        write_columns_csv(folder.join("missing_genes.csv"), &[("gene", missing)])?;
    }
    Ok(())
}

fn print_clusters(clusters: &Assignment) {
    println!(
        "  clusters      {} with {} cells",
        clusters.count(),
        results::texts(&clusters.sizes()).join(", ")
    );
    let confidence = clusters.confidence();
    let unsure = confidence.iter().filter(|&&value| value < UNSURE).count();
    let mean = confidence
        .iter()
        .map(|&value| f64::from(value))
        .sum::<f64>()
        / confidence.len() as f64;
    println!("  confidence    mean {mean:.2}, below {UNSURE} in {unsure} cells");
}
