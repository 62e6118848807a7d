//! The options of `celldec cluster`.

use std::path::PathBuf;

use celldec::prelude::*;
use clap::{Args, ValueEnum};

use super::memory;
use crate::arguments::{DeviceArgument, positive_number, whole_number};
use crate::input::CellArguments;
use crate::output::OutputArguments;
use crate::refusal::conflict;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Models the raw counts; denoises them; takes constraint pairs; a good first choice.
    Scdcc,
    /// Models scaled expression; faster; several resolutions share one pretraining.
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The settings we recommend.
    Default,
    /// The settings of the published code to the letter.
    Reference,
}

/// Find clusters of cells: any count matrix in, a report, tables, an .h5ad file and a model out.
///
/// INPUT holds raw counts (not normalised, not log-transformed):
///
///   a folder         of a matrix (.mtx) with its features and barcodes: of Cell Ranger,
///                    STARsolo, Parse, kallisto|bustools, alevin-fry, or of a whole run
///   a 10x .h5 file   filtered_feature_bc_matrix.h5 of Cell Ranger
///   an .h5ad file    AnnData of any version, also .h5mu (MuData) and .h5ad.gz
///   a .loom file     of loompy or velocyto
///   a table          .csv, .tsv or other text: a line for every cell, or for every gene
///
/// Results go to the folder --output: the cluster of every cell with its confidence, the embedding,
/// marker genes, pictures, a report to read (report.html), an .h5ad file to go on with in Python,
/// and the fitted model, by which `celldec map` puts new cells into the same clusters.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Try --help for explanations and examples.",
    after_long_help = EXAMPLES
)]
pub struct ClusterArguments {
    /// How to cluster.
    #[arg(
        long,
        short,
        value_enum,
        default_value = "scdcc",
        help_heading = "Method"
    )]
    pub method: Method,
    /// Number of clusters, when it is known.
    ///
    /// Without this and --resolution the data choose the number.
    #[arg(
        verbatim_doc_comment,
        long,
        short = 'k',
        value_name = "K",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Method"
    )]
    pub clusters: Option<usize>,
    /// Find the number of clusters: higher resolutions give more.
    ///
    /// Usual values are 0.1 to 2. With --method desc a list such as 0.3,0.5,0.8 gives one result
    /// each, from one pretraining.
    #[arg(
        verbatim_doc_comment,
        long,
        short,
        value_name = "R",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "clusters",
        help_heading = "Method"
    )]
    pub resolution: Vec<f64>,
    /// Pairs of cells that belong together or apart (scDCC only).
    ///
    /// A CSV file with lines "barcode,barcode,must" or "barcode,barcode,cannot".
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "FILE",
        help_heading = "Method"
    )]
    pub constraints: Option<PathBuf>,
    /// Repeat with this many seeds and say what they agree on.
    ///
    /// Results are those of the run that agrees best with the others; consensus.csv says, for every
    /// cell, the cluster by majority and the share of runs that agree.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "NUMBER",
        default_value = "1",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Method"
    )]
    pub runs: usize,
    /// Seed of everything random: the same seed gives the same result.
    #[arg(
        long,
        short,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Method"
    )]
    pub seed: u64,
    /// Which settings to start from.
    #[arg(long, value_enum, default_value = "default", help_heading = "Method")]
    pub preset: Preset,

    #[command(flatten)]
    pub cells: CellArguments,
    /// Keep this many highly variable genes; 0 keeps all [default: all for scdcc, 2000 for desc].
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Counts"
    )]
    pub variable_genes: Option<usize>,
    /// Accept counts that are not integers, such as estimates of kallisto or SoupX.
    #[arg(long, help_heading = "Counts")]
    pub allow_fractional: bool,

    /// Folder for the results.
    ///
    /// DESC with several resolutions makes one folder in it for each.
    #[arg(
        verbatim_doc_comment,
        long,
        short,
        value_name = "FOLDER",
        default_value = "output/cluster",
        help_heading = "Output"
    )]
    pub output: PathBuf,
    #[command(flatten)]
    pub writing: OutputArguments,
    /// Name the results as the Python program of DESC does: obs["desc_0.3"], obsm["X_Embeded_z0.3"].
    #[arg(long, conflicts_with = "key", help_heading = "Output")]
    pub python_keys: bool,

    /// Epochs of pretraining [default: as the method].
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub pretraining_epochs: Option<usize>,
    /// The most epochs of self-training [default: as the method].
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub max_epochs: Option<usize>,
    /// Cells per training step [default: as the method].
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = whole_number,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub batch_size: Option<usize>,
    /// Save the state of training to this file, and resume from it when it is there.
    ///
    /// For runs that may be interrupted. The same data and settings must be given; delete the file
    /// to start anew.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "FILE",
        help_heading = "Training"
    )]
    pub checkpoint: Option<PathBuf>,
    /// Memory that the program may take, in GB [default: what is free].
    ///
    /// A fit that needs more is refused before it begins.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "GB",
        value_parser = positive_number,
        allow_negative_numbers = true,
        help_heading = "Computing"
    )]
    pub memory: Option<f64>,
    #[command(flatten)]
    pub computing: DeviceArgument,
}

const EXAMPLES: &str = "\
Examples:
  Eight clusters of a 10x folder:
    celldec cluster filtered_feature_bc_matrix --clusters 8

  As many clusters as the data ask for, compared with known types, results in a copy of the file:
    celldec cluster pbmc.h5ad --label-column cell_type --output pbmc

  Three resolutions of DESC, scaled within batches:
    celldec cluster pbmc.h5ad --method desc --resolution 0.3,0.5,0.8 --batch-column donor

  Counts that lie in a layer because X is normalised:
    celldec cluster pbmc.h5ad --layer counts

  What an expert knows about some cells:
    celldec cluster pbmc.h5ad --clusters 8 --constraints pairs.csv";

impl ClusterArguments {
    /// Bytes that the program may hold, where it is known.
    pub fn memory_limit(&self) -> Option<u64> {
        match self.memory {
            Some(gigabytes) => Some((gigabytes * 1e9) as u64),
            None => memory::limit(),
        }
    }

    /// Refuses options that contradict each other, or that this build has not got.
    pub fn check(&self) -> Result<()> {
        self.writing.check()?;
        self.writing.check_h5ad("--python-keys", self.python_keys)?;
        let refuse = |reason: &str| Err(conflict(reason));
        match self.method {
            Method::Scdcc if self.python_keys => refuse("--python-keys needs --method desc"),
            Method::Scdcc if self.resolution.len() > 1 => {
                refuse("--method scdcc takes a single resolution; use --method desc for several")
            }
            Method::Desc if self.constraints.is_some() => {
                refuse("--constraints needs --method scdcc")
            }
            Method::Desc if self.writing.denoised => refuse(
                "--denoised needs --method scdcc: DESC removes the decoder before it clusters",
            ),
            Method::Desc if self.python_keys && self.resolution.is_empty() => {
                refuse("--python-keys names results by their resolution; give --resolution")
            }
            _ if self.runs == 0 => refuse("--runs must be at least 1"),
            _ if self.runs > 1 && self.resolution.len() > 1 => {
                refuse("--runs needs a single --resolution: runs are compared with each other")
            }
            _ if self.runs > 1 && self.checkpoint.is_some() => {
                refuse("--checkpoint holds a single run; leave --runs or --checkpoint out")
            }
            _ => Ok(()),
        }
    }
}
