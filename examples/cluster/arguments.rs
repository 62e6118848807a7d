//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables: labels.csv, soft_assignments.csv, embedding.csv, history.csv, markers.csv.
    Csv,
    /// The cells with their results for Python or R: cells.h5ad.
    H5ad,
    /// Pictures of cells, clusters and training.
    Plots,
    /// Everything on one page: report.html.
    Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProjectionMethod {
    /// Principal components of the embedding.
    Pca,
    /// t-SNE (in builds with the feature `tsne`).
    Tsne,
    /// UMAP (in builds with the feature `umap`).
    Umap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PictureFormat {
    /// Pixels, for slides.
    Png,
    /// Lines and text, for papers.
    Svg,
}

/// Cluster the cells of a single-cell RNA-seq data set by deep embedded clustering.
///
/// INPUT holds raw counts (not normalised, not log-transformed):
///
///   a 10x folder     with matrix.mtx, features.tsv and barcodes.tsv, plain or .gz
///   a 10x .h5 file   filtered_feature_bc_matrix.h5 of Cell Ranger      (*)
///   an .h5ad file    AnnData, as scanpy writes it                      (*)
///   a table          .csv, .tsv or .txt, plain or .gz: one line for every cell
///
/// (*) in builds with `--features h5ad`.
///
/// Results go to the folder --output: the cluster of every cell with its confidence, the embedding,
/// marker genes, pictures, a report to read (report.html), an .h5ad file to go on with in Python,
/// and the fitted model, which puts new cells into the same clusters (--model).
#[derive(Debug, Parser)]
#[command(
    name = "cluster",
    verbatim_doc_comment,
    after_help = "Try --help for explanations and examples.",
    after_long_help = EXAMPLES
)]
pub struct Arguments {
    /// Folder or file with raw counts.
    pub input: PathBuf,

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

    /// Put the cells into the clusters of this fitted model instead of finding new ones.
    ///
    /// FILE is the model.safetensors of an earlier run. Genes are found by name; the program says
    /// which are missing, and refuses cells with fewer than 80 % of the model's genes.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "method", "clusters", "resolution", "constraints", "runs", "seed", "preset",
            "variable_genes", "allow_fractional", "pretraining_epochs", "max_epochs",
            "batch_size", "checkpoint", "python_keys",
        ],
        help_heading = "New cells"
    )]
    pub model: Option<PathBuf>,

    /// Take the counts of an .h5ad file from this layer instead of X.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "raw",
        help_heading = "Counts"
    )]
    pub layer: Option<String>,
    /// Take the counts of an .h5ad file from its `raw` part instead of X.
    #[arg(long, help_heading = "Counts")]
    pub raw: bool,
    /// Leave the counts of an .h5ad file on disk and read them part by part.
    ///
    /// For files that do not fit in memory. Training then shuffles blocks of cells, and cells within
    /// a buffer; results differ from those in memory as those of another seed do, unless all cells
    /// fit in one buffer (65 536 cells). There are no marker genes.
    #[arg(verbatim_doc_comment, long, help_heading = "Counts")]
    pub on_disk: bool,
    /// Only the genes of this genome, such as GRCh38 (10x .h5).
    #[arg(long, value_name = "NAME", help_heading = "Counts")]
    pub genome: Option<String>,
    /// Only features of this type, or "all" [default: Gene Expression] (10x).
    #[arg(long, value_name = "TYPE", help_heading = "Counts")]
    pub feature_type: Option<String>,
    /// Name genes by identifiers such as Ensembl's instead of symbols (10x).
    #[arg(long, help_heading = "Counts")]
    pub gene_ids: bool,
    /// What file names start with in a 10x folder of several samples.
    #[arg(long, value_name = "TEXT", help_heading = "Counts")]
    pub prefix: Option<String>,
    /// The table has a line for every gene and a column for every cell.
    #[arg(long, help_heading = "Counts")]
    pub transposed: bool,
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
    /// The column that names the batch of each cell: genes are scaled within each batch.
    ///
    /// A column of the .h5ad file's obs or, with --batches, of that file.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "COLUMN",
        help_heading = "Counts"
    )]
    pub batch_column: Option<String>,
    /// A CSV file with the batch of each cell (first column: barcodes).
    #[arg(long, value_name = "FILE", help_heading = "Counts")]
    pub batches: Option<PathBuf>,

    /// The column with known cell types, to compare the clusters with.
    ///
    /// A column of the .h5ad file's obs or, with --labels, of that file. Known types do not
    /// influence the clustering.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "COLUMN",
        help_heading = "Comparison"
    )]
    pub label_column: Option<String>,
    /// A CSV file with known cell types (first column: barcodes).
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub labels: Option<PathBuf>,

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
    /// What to write, as a list [default: all that this build can].
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub write: Vec<Output>,
    /// Also write denoised expression (scDCC only): a value for every cell and gene.
    #[arg(long, help_heading = "Output")]
    pub denoised: bool,
    /// The name of the results in the .h5ad file [default: the method].
    ///
    /// NAME gives obs["NAME"], obsm["X_NAME"] and so on; with several resolutions NAME_0.3 and so
    /// on.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "NAME",
        conflicts_with = "python_keys",
        help_heading = "Output"
    )]
    pub key: Option<String>,
    /// Name the results as the Python program of DESC does: obs["desc_0.3"], obsm["X_Embeded_z0.3"].
    #[arg(long, help_heading = "Output")]
    pub python_keys: bool,
    /// Write into the input .h5ad itself, not into a copy of it.
    #[arg(long, help_heading = "Output")]
    pub in_place: bool,
    /// Replace results of the same name in the .h5ad file.
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,
    /// How to draw cells in two dimensions, as a list [default: the last of pca, tsne and umap that
    /// this build has].
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub projection: Vec<ProjectionMethod>,
    /// Format of the pictures.
    #[arg(long, value_enum, default_value = "png", help_heading = "Output")]
    pub pictures: PictureFormat,
    /// Log what is read, filtered and found.
    #[arg(long, short, help_heading = "Output")]
    pub verbose: bool,

    /// Compute device: cpu, or what the build offers (ndarray, wgpu, cuda).
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cpu",
        help_heading = "Training"
    )]
    pub device: String,
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
}

const EXAMPLES: &str = "\
Examples:
  Eight clusters of a 10x folder:
    cluster filtered_feature_bc_matrix --clusters 8

  As many clusters as the data ask for, compared with known types, results in a copy of the file:
    cluster pbmc.h5ad --label-column cell_type --output pbmc

  Three resolutions of DESC, scaled within batches:
    cluster pbmc.h5ad --method desc --resolution 0.3,0.5,0.8 --batch-column donor

  Counts that lie in a layer because X is normalised:
    cluster pbmc.h5ad --layer counts

  What an expert knows about some cells:
    cluster pbmc.h5ad --clusters 8 --constraints pairs.csv

  New cells into the clusters found before:
    cluster new_sample.h5 --model pbmc/model.safetensors --output new_sample";

fn whole_number(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 8".to_string())
}
