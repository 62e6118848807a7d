//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Reconstruction and clustering together; takes constraint pairs; best with a known number
    /// of clusters.
    Scdcc,
    /// Clustering of the encoder alone after pretraining; finds the number of clusters from a
    /// resolution.
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The settings we recommend.
    Default,
    /// The settings of the published code to the letter.
    Reference,
}

/// Cluster the cells of a single-cell RNA-seq data set by deep embedded clustering.
///
/// INPUT holds raw counts (not normalised, not log-transformed): a 10x folder with matrix.mtx,
/// features.tsv and barcodes.tsv; a table of cells × genes (.csv, .tsv, .txt, plain or .gz); or an
/// AnnData .h5ad file (in builds with `--features h5ad`).
///
/// The output folder receives labels.csv (cell, cluster, confidence), soft_assignments.csv (one
/// column for every cluster), embedding.csv, history.csv (losses of every epoch) and
/// model.safetensors, which can embed and assign new cells.
#[derive(Debug, Parser)]
#[command(
    name = "cluster",
    after_help = "Examples:\n  \
        cluster filtered_feature_bc_matrix --clusters 8\n  \
        cluster counts.csv.gz --method desc --resolution 0.3,0.5,0.8 --output desc\n  \
        cluster pbmc.h5ad --clusters 8 --constraints pairs.csv --label-column cell_type"
)]
pub struct Arguments {
    /// Folder or file with raw counts.
    pub input: PathBuf,

    /// How to cluster.
    #[arg(long, value_enum, default_value = "scdcc", help_heading = "Method")]
    pub method: Method,
    /// Number of clusters, when it is known.
    #[arg(long, value_name = "K", help_heading = "Method")]
    pub clusters: Option<usize>,
    /// Find the number of clusters: higher resolutions give more. Without this and --clusters the
    /// data choose it. With --method desc a list such as 0.3,0.5,0.8 gives one result each.
    #[arg(
        long,
        value_name = "R",
        value_delimiter = ',',
        conflicts_with = "clusters",
        help_heading = "Method"
    )]
    pub resolution: Vec<f64>,
    /// Which settings to start from.
    #[arg(long, value_enum, default_value = "default", help_heading = "Method")]
    pub preset: Preset,
    /// Seed of everything random: the same seed gives the same result.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Method"
    )]
    pub seed: u64,
    /// Pairs of cells that belong together or apart (scDCC only): a CSV file with lines
    /// "barcode,barcode,must" or "barcode,barcode,cannot".
    #[arg(long, value_name = "FILE", help_heading = "Method")]
    pub constraints: Option<PathBuf>,

    /// Keep this many highly variable genes; 0 keeps all [default: all for scdcc, 2000 for desc].
    #[arg(long, value_name = "NUMBER", help_heading = "Counts")]
    pub variable_genes: Option<usize>,
    /// Accept counts that are not integers, such as estimates of kallisto or SoupX.
    #[arg(long, help_heading = "Counts")]
    pub allow_fractional: bool,
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
    /// Scale genes within each batch, named by this CSV file (first column: barcodes).
    #[arg(long, value_name = "FILE", help_heading = "Counts")]
    pub batches: Option<PathBuf>,
    /// The column of --batches, or of an .h5ad file's obs, that names the batch of each cell.
    #[arg(long, value_name = "NAME", help_heading = "Counts")]
    pub batch_column: Option<String>,

    /// Known cell types in a CSV file (first column: barcodes): prints how well the clusters agree
    /// with them. They do not influence the clustering.
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub labels: Option<PathBuf>,
    /// The column of --labels, or of an .h5ad file's obs, that names the type of each cell.
    #[arg(long, value_name = "NAME", help_heading = "Comparison")]
    pub label_column: Option<String>,

    /// Epochs of pretraining [default: 300].
    #[arg(long, value_name = "NUMBER", help_heading = "Training")]
    pub pretraining_epochs: Option<usize>,
    /// The most epochs of self-training [default: 2000 for scdcc, 5000 for desc].
    #[arg(long, value_name = "NUMBER", help_heading = "Training")]
    pub max_epochs: Option<usize>,
    /// Cells per training step [default: 256].
    #[arg(long, value_name = "NUMBER", help_heading = "Training")]
    pub batch_size: Option<usize>,
    /// Write checkpoints to this file, and resume from the one that is there. The same data and
    /// settings must be given; delete the file to start anew.
    #[arg(long, value_name = "FILE", help_heading = "Training")]
    pub checkpoint: Option<PathBuf>,
    /// Compute device: cpu, or what the build offers (ndarray, wgpu, cuda).
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cpu",
        help_heading = "Training"
    )]
    pub device: String,

    /// Folder for the results; DESC with several resolutions makes one folder in it for each.
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "output/cluster",
        help_heading = "Output"
    )]
    pub output: PathBuf,
    /// Log what is read, filtered and found, instead of showing progress bars.
    #[arg(long, short, help_heading = "Output")]
    pub verbose: bool,
}
