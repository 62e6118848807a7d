//! `celldec map`: puts new cells into the clusters of a fitted model.

use std::path::{Path, PathBuf};

use celldec::io::{ResultKeys, write_columns_csv};
use celldec::model::{Evaluation, ModelInfo};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use clap::Args;

use crate::arguments::DeviceArgument;
use crate::console::Console;
use crate::input::{self, CellArguments, Input, Purpose};
use crate::known::KnownTypes;
use crate::output::drawings::{Drawer, Types, project};
use crate::output::{Destination, Output, OutputArguments, annotated, tables};
use crate::refusal::conflict;
use crate::wording::listed;

/// Missing genes named on the screen.
const NAMED: usize = 5;
/// Below this a cell's largest soft assignment is less than all others together.
const UNSURE: f32 = 0.5;

const EXAMPLES: &str = "\
Examples:
  New cells into the clusters found before:
    celldec map pbmc/model.safetensors new_sample.h5 --output new_sample

  Compared with known types, as a column of the .h5ad file itself:
    celldec map pbmc/model.safetensors new.h5ad --label-column cell_type --in-place --key atlas";

/// Put new cells into the clusters of a fitted model.
///
/// MODEL is the model.safetensors of `celldec cluster`, INPUT holds raw counts in any format that it
/// reads. Genes are found by name; the program says which are missing, and refuses cells with fewer
/// than 80 % of the model's genes.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Try --help for explanations and examples.",
    after_long_help = EXAMPLES
)]
pub struct MapArguments {
    /// The fitted model.
    pub model: PathBuf,
    #[command(flatten)]
    pub cells: CellArguments,

    /// Folder for the results.
    #[arg(
        long,
        short,
        value_name = "FOLDER",
        default_value = "output/map",
        help_heading = "Output"
    )]
    pub output: PathBuf,
    #[command(flatten)]
    pub writing: OutputArguments,
    #[command(flatten)]
    pub computing: DeviceArgument,
}

/// Reads, assigns and writes.
pub fn run(arguments: &MapArguments, console: &Console) -> Result<()> {
    arguments.writing.check()?;
    if arguments.writing.write.contains(&Output::Report) {
        return Err(conflict(
            "map trains nothing that a report could show; leave report out of --write",
        ));
    }
    let device = arguments.computing.only()?;
    let path = &arguments.model;
    match ModelInfo::read(path)?.method.as_str() {
        "desc" if arguments.writing.denoised => Err(Error::NoDecoder),
        "desc" => with_model(arguments, console, &DescModel::load(path, &device)?),
        _ => with_model(arguments, console, &ScdccModel::load(path, &device)?),
    }
}

fn with_model<H: ReconstructionHead>(
    arguments: &MapArguments,
    console: &Console,
    model: &FittedModel<H>,
) -> Result<()> {
    let file = arguments.cells.file()?;
    let (folder, options) = (&arguments.output, &arguments.writing);
    let destination = Destination::new(&file, folder, options, arguments.cells.tables())?;
    let genes = model.preprocessing().gene_names();
    let input = input::read(&arguments.cells, &file, Purpose::Map, Some(genes))?;
    let key = arguments.writing.key.as_deref();
    let keys = ResultKeys::new(key.unwrap_or(&model.info().method));
    annotated::check(&destination, &input, [&keys])?;
    let cells = prepare(console, model, &input).map_err(input::h5ad::explain)?;
    print_genes(console, destination.folder, model, &cells)?;

    let evaluation = model.evaluate(&cells)?;
    let clusters = Assignment::from_soft(evaluation.soft_assignments.clone())?;
    print_clusters(console, &clusters);
    let known = input
        .types_of(cells.kept_cells())
        .map(|types| KnownTypes::new(&types));
    if let Some(known) = &known {
        console.say(format_args!(
            "  agreement     {}{}",
            known.agreement(clusters.labels())?,
            known.extent()
        ));
    }
    let files = write(
        console,
        &destination,
        &input,
        &cells,
        model,
        (&clusters, &evaluation),
    )?;
    console.say(format_args!(
        "  written to    {}: {}",
        destination.folder.display(),
        files.join(", ")
    ));
    if let Some(known) = &known {
        console.say(format_args!("\n{}", known.table(&clusters)));
    }
    if destination.options.wants(Output::H5ad) {
        let mut pieces = model.results(&cells, &evaluation)?;
        if arguments.writing.denoised {
            let denoised = model.denoise(&cells)?;
            pieces = pieces.with_denoised(denoised, cells.gene_names().to_vec());
        }
        let path = annotated::write(&destination, input, &cells, vec![(keys, pieces)]).or_else(
            |error| {
                let tables = || {
                    tables::write_cells(
                        destination.folder,
                        &cells,
                        &clusters,
                        evaluation.embedding.view(),
                    )
                };
                destination.rescue(error, tables)
            },
        )?;
        console.say(format_args!("  .h5ad file    {}", path.display()));
    }
    destination.tell_earlier(console, destination.folder);
    Ok(())
}

/// Writes tables and pictures and gives the names of their files.
fn write<H: ReconstructionHead>(
    console: &Console,
    destination: &Destination<'_>,
    input: &Input,
    cells: &Cells,
    model: &FittedModel<H>,
    (clusters, evaluation): (&Assignment, &Evaluation),
) -> Result<Vec<String>> {
    let (folder, options) = (destination.folder, destination.options);
    let embedding = evaluation.embedding.view();
    let mut files = Vec::new();
    if options.wants(Output::Csv) {
        tables::write_cells(folder, cells, clusters, embedding)?;
        files.push(tables::CELL_FILES.to_string());
        if options.denoised {
            files.push(tables::write_denoised(folder, cells, model)?);
        }
    }
    if options.wants(Output::Plots) {
        let projections = project(console, options, embedding, 0)?;
        let mut drawer = Drawer::new(console, options, folder);
        let types = Types::of(input, cells);
        drawer.clustering(cells, &projections, clusters, types.as_ref())?;
        files.extend(drawer.files);
    }
    Ok(files)
}

/// Prepares cells as those of the model were.
fn prepare<H: ReconstructionHead>(
    console: &Console,
    model: &FittedModel<H>,
    input: &Input,
) -> Result<Cells> {
    let preprocessing = model.preprocessing();
    let known = preprocessing.batch_statistics();
    let Some(batches) = input.batch_labels() else {
        if !known.is_empty() {
            console.say(format_args!(
                "note: the model was fitted within batches; name those of the new cells with \
                 --batch-column where they are the same"
            ));
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
        console.say(format_args!(
            "note: the model does not know the batches {}; they are scaled by all of its cells",
            listed(&unknown)
        ));
    }
    input.counts.transform(preprocessing, Some(&batches))
}

/// Says which genes were found; all missing ones go to a file.
fn print_genes<H: ReconstructionHead>(
    console: &Console,
    folder: &Path,
    model: &FittedModel<H>,
    cells: &Cells,
) -> Result<()> {
    let report = cells.report();
    let missing = &report.missing_genes;
    console.say(format_args!(
        "{} new cells ({} left out), {} of the model's {} genes",
        cells.cells(),
        report.cells_dropped(),
        cells.genes() - missing.len(),
        model.preprocessing().gene_names().len(),
    ));
    if report.genes_not_in_model > 0 {
        console.say(format_args!(
            "  extra genes   {} are not in the model and are not used",
            report.genes_not_in_model
        ));
    }
    if !missing.is_empty() {
        let first: Vec<&str> = missing.iter().take(NAMED).map(String::as_str).collect();
        let more = if missing.len() > NAMED { ", …" } else { "" };
        console.say(format_args!(
            "  missing genes {} count as zero: {}{more} (all in missing_genes.csv)",
            missing.len(),
            first.join(", ")
        ));
        write_columns_csv(folder.join("missing_genes.csv"), &[("gene", missing)])?;
    }
    Ok(())
}

fn print_clusters(console: &Console, clusters: &Assignment) {
    console.say(format_args!(
        "  clusters      {} with {} cells",
        clusters.count(),
        tables::texts(&clusters.sizes()).join(", ")
    ));
    let confidence = clusters.confidence();
    let unsure = confidence.iter().filter(|&&value| value < UNSURE).count();
    let mean = confidence
        .iter()
        .map(|&value| f64::from(value))
        .sum::<f64>()
        / confidence.len() as f64;
    console.say(format_args!(
        "  confidence    mean {mean:.2}, below {UNSURE} in {unsure} cells"
    ));
}
