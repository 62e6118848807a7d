//! How counts are read, by the format of their file.

use std::path::Path;

use celldec::io::{
    AnnotatedCounts, CountFormat, GeneNames, H5adMatrix, H5adOptions, LoomOptions, MtxOptions,
    TableOptions, TenxH5Options, read_labelled_h5,
};
use celldec::prelude::*;
use clap::Args;

use super::table::TableArguments;
use crate::refusal::conflict;

/// Which counts of a file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Counts")]
pub struct ReadArguments {
    /// Take the counts of an .h5ad or .loom file from this layer instead of the main matrix.
    #[arg(long, value_name = "NAME", conflicts_with = "raw")]
    pub layer: Option<String>,
    /// Take the counts of an .h5ad file from its `raw` part instead of X.
    #[arg(long)]
    pub raw: bool,
    /// Name genes by this column of an .h5ad file's var, such as feature_name, or by this attribute of
    /// rows of a .loom file [default: the names of genes; map: those that the model knows best].
    #[arg(long, value_name = "COLUMN")]
    pub gene_column: Option<String>,
    /// Only the genes of this genome, such as GRCh38 (10x .h5).
    #[arg(long, value_name = "NAME")]
    pub genome: Option<String>,
    /// Only features of this type, or "all" [default: Gene Expression] (10x, .h5ad).
    #[arg(long, value_name = "TYPE")]
    pub feature_type: Option<String>,
    /// Name genes by identifiers such as Ensembl's instead of symbols (10x).
    #[arg(long)]
    pub gene_ids: bool,
    /// What file names start with, or end in, in a 10x folder of several samples.
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// Which matrix of a folder of several, such as spliced.
    #[arg(long, value_name = "NAME")]
    pub matrix: Option<String>,
    #[command(flatten)]
    pub table: TableArguments,
}

impl ReadArguments {
    /// Whether any option is given.
    pub fn is_given(&self) -> bool {
        self.layer.is_some()
            || self.raw
            || self.gene_column.is_some()
            || self.genome.is_some()
            || self.feature_type.is_some()
            || self.gene_ids
            || self.prefix.is_some()
            || self.matrix.is_some()
            || self.table.given().next().is_some()
    }
}

/// A file or folder of counts, and which of them are wanted.
pub struct CountFile<'a> {
    pub path: &'a Path,
    pub format: CountFormat,
    options: &'a ReadArguments,
}

impl<'a> CountFile<'a> {
    /// Finds the format and refuses options that another one has.
    pub fn new(path: &'a Path, options: &'a ReadArguments) -> Result<Self> {
        let file = Self {
            path,
            format: CountFormat::of(path)?,
            options,
        };
        let (mtx, tenx) = (CountFormat::TenxMtx, CountFormat::TenxH5);
        let layered = [CountFormat::H5ad, CountFormat::Loom];
        file.refuse("--layer", options.layer.is_some(), &layered)?;
        file.refuse("--gene-column", options.gene_column.is_some(), &layered)?;
        file.refuse("--raw", options.raw, &[CountFormat::H5ad])?;
        file.refuse("--genome", options.genome.is_some(), &[tenx])?;
        file.refuse(
            "--feature-type",
            options.feature_type.is_some(),
            &[mtx, tenx, CountFormat::H5ad],
        )?;
        file.refuse("--gene-ids", options.gene_ids, &[mtx, tenx])?;
        file.refuse("--prefix", options.prefix.is_some(), &[mtx])?;
        file.refuse("--matrix", options.matrix.is_some(), &[mtx])?;
        for option in options.table.given() {
            file.refuse(&option, true, &[CountFormat::Table])?;
        }
        Ok(file)
    }

    /// Refuses an option that is given and is for other formats.
    pub fn refuse(&self, option: &str, given: bool, formats: &[CountFormat]) -> Result<()> {
        if !given || formats.contains(&self.format) {
            return Ok(());
        }
        let formats: Vec<&str> = formats.iter().copied().map(name).collect();
        Err(conflict(format!(
            "{option} is for {}, but {} is {}; leave it out",
            formats.join(" and "),
            self.path.display(),
            self.format_name()
        )))
    }

    pub fn format_name(&self) -> &'static str {
        name(self.format)
    }

    /// Whether counts come from the `raw` part of an .h5ad file.
    pub fn is_raw(&self) -> bool {
        self.options.raw
    }

    /// What to read of an .h5ad file; genes are named as most of `genes` are, unless an option says
    /// how.
    pub fn h5ad_options(&self, genes: Option<&[String]>) -> H5adOptions {
        let options = H5adOptions::new().with_matrix(self.matrix());
        let options = match self.options.feature_type.as_deref() {
            None => options,
            Some("all") => options.with_all_feature_types(true),
            Some(one) => options.with_feature_type(one),
        };
        match (&self.options.gene_column, genes) {
            (Some(column), _) => options.with_gene_names(column),
            (None, Some(genes)) => options.with_gene_names_like(genes),
            (None, None) => options,
        }
    }

    fn matrix(&self) -> H5adMatrix {
        match &self.options.layer {
            Some(layer) => H5adMatrix::Layer(layer.clone()),
            None if self.options.raw => H5adMatrix::Raw,
            None => H5adMatrix::X,
        }
    }

    /// Whether the file has annotations of cells.
    pub fn is_annotated(&self) -> bool {
        [
            CountFormat::H5ad,
            CountFormat::Loom,
            CountFormat::LabelledH5,
        ]
        .contains(&self.format)
    }

    /// Reads the counts of a format other than .h5ad with all annotations.
    pub fn read_annotated(&self) -> Result<AnnotatedCounts> {
        match self.format {
            CountFormat::Loom => {
                let mut options = LoomOptions::new();
                if let Some(layer) = &self.options.layer {
                    options = options.with_layer(layer);
                }
                if let Some(names) = &self.options.gene_column {
                    options = options.with_gene_names(names);
                }
                options.read(self.path)
            }
            _ => read_labelled_h5(self.path),
        }
    }

    /// Reads the counts into memory; `genes` are those of a model that they are for.
    pub fn read(&self, genes: Option<&[String]>) -> Result<CountMatrix> {
        match self.format {
            CountFormat::TenxMtx => {
                let mut options = MtxOptions::new().with_gene_names(self.gene_names());
                if let Some(prefix) = &self.options.prefix {
                    options = options.with_prefix(prefix);
                }
                if let Some(matrix) = &self.options.matrix {
                    options = options.with_matrix(matrix);
                }
                match self.options.feature_type.as_deref() {
                    None => options,
                    Some("all") => options.with_all_feature_types(true),
                    Some(one) => options.with_feature_type(one),
                }
                .read(self.path)
            }
            CountFormat::TenxH5 => self.tenx_h5_options().read(self.path),
            CountFormat::H5ad => {
                let options = self.h5ad_options(genes).with_annotations::<String>([]);
                Ok(options.read(self.path)?.counts)
            }
            CountFormat::Loom | CountFormat::LabelledH5 => Ok(self.read_annotated()?.counts),
            _ => self.table_options(genes).read(self.path),
        }
    }

    /// How a 10x .h5 file is to be read.
    pub fn tenx_h5_options(&self) -> TenxH5Options {
        let mut options = TenxH5Options::new().with_gene_names(self.gene_names());
        if let Some(genome) = &self.options.genome {
            options = options.with_genome(genome);
        }
        match self.options.feature_type.as_deref() {
            None => options,
            Some("all") => options.with_all_feature_types(true),
            Some(one) => options.with_feature_type(one),
        }
    }

    fn table_options(&self, genes: Option<&[String]>) -> TableOptions {
        let options = TableOptions::new().with_known_genes(genes.unwrap_or_default());
        self.options.table.apply(options)
    }

    fn gene_names(&self) -> GeneNames {
        if self.options.gene_ids {
            GeneNames::Ids
        } else {
            GeneNames::Symbols
        }
    }
}

/// The format in words.
fn name(format: CountFormat) -> &'static str {
    match format {
        CountFormat::TenxMtx => "a 10x folder",
        CountFormat::TenxH5 => "a 10x .h5 file",
        CountFormat::H5ad => "an .h5ad file",
        CountFormat::Loom => "a .loom file",
        CountFormat::LabelledH5 => "an .h5 file of X and Y",
        _ => "a table",
    }
}
