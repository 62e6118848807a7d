//! What a run leaves behind.

pub mod annotated;
pub mod drawings;
mod folder;
pub mod tables;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use celldec::io::CountFormat;
use celldec::prelude::*;
use clap::{Args, ValueEnum};

use crate::console::Console;
use crate::exit;
use crate::input::CountFile;
use crate::refusal::{conflict, not_built};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables, such as labels.csv, soft_assignments.csv, embedding.csv.
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

/// What to write, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// What to write, as a list [default: everything].
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub write: Vec<Output>,
    /// Also write denoised expression (scDCC only): a value for every cell and gene.
    #[arg(long)]
    pub denoised: bool,
    /// The name of the results in the .h5ad file [default: the method].
    ///
    /// NAME gives obs["NAME"], obsm["X_NAME"] and so on; several resolutions give NAME_0.3 and so
    /// on.
    #[arg(verbatim_doc_comment, long, value_name = "NAME")]
    pub key: Option<String>,
    /// Write into the input .h5ad itself, not into a copy of it.
    #[arg(long)]
    pub in_place: bool,
    /// Replace results of the same name in the .h5ad file.
    #[arg(long)]
    pub overwrite: bool,
    /// How to draw cells in two dimensions, as a list [default: the last of pca, tsne and umap that
    /// this build has].
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub projection: Vec<ProjectionMethod>,
    /// Format of the pictures.
    #[arg(long, value_enum, default_value = "png")]
    pub pictures: PictureFormat,
}

impl OutputArguments {
    /// Refuses options that contradict each other, or that this build has not got.
    pub fn check(&self) -> Result<()> {
        for &method in &self.projection {
            match method {
                ProjectionMethod::Tsne if !cfg!(feature = "tsne") => {
                    return Err(not_built("--projection", "tsne", "tsne"));
                }
                ProjectionMethod::Umap if !cfg!(feature = "umap") => {
                    return Err(not_built("--projection", "umap", "umap"));
                }
                _ => {}
            }
        }
        self.check_h5ad("--in-place", self.in_place)?;
        self.check_h5ad("--overwrite", self.overwrite)?;
        self.check_h5ad("--key", self.key.is_some())
    }

    /// Refuses an option about the .h5ad file where none is written.
    pub fn check_h5ad(&self, option: &str, given: bool) -> Result<()> {
        if given && !self.wants(Output::H5ad) {
            return Err(conflict(format!(
                "{option} is about the .h5ad file; add h5ad to --write, or leave {option} out"
            )));
        }
        Ok(())
    }

    /// Whether something is to be written: it is in the list, or there is no list.
    pub fn wants(&self, output: Output) -> bool {
        self.write.is_empty() || self.write.contains(&output)
    }
}

/// Where the results of a file's cells go.
pub struct Destination<'a> {
    pub file: &'a CountFile<'a>,
    pub folder: &'a Path,
    pub options: &'a OutputArguments,
    /// When the folder was made or found, by the clock of its file system.
    made: Option<SystemTime>,
}

impl<'a> Destination<'a> {
    /// Makes the folder, in which nothing of what is read may be replaced.
    pub fn new(
        file: &'a CountFile<'a>,
        folder: &'a Path,
        options: &'a OutputArguments,
        others: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self> {
        file.refuse("--in-place", options.in_place, &[CountFormat::H5ad])?;
        let made = folder::make(folder)?;
        // What is written in place is not written into the folder.
        let counts = (!options.in_place).then_some(file.path);
        folder::refuse_inputs(folder, counts.into_iter().chain(others))?;
        Ok(Self {
            file,
            folder,
            options,
            made,
        })
    }

    /// Says which results in a folder are those of an earlier run.
    pub fn tell_earlier(&self, console: &Console, folder: &Path) {
        let earlier = self.made.map(|made| folder::earlier(folder, made));
        let earlier = earlier.unwrap_or_default();
        if !earlier.is_empty() {
            console.say(format_args!(
                "note: {} also holds results of an earlier run: {}",
                folder.display(),
                earlier.join(", ")
            ));
        }
    }

    /// The .h5ad file with the results.
    fn h5ad_path(&self) -> PathBuf {
        if self.options.in_place {
            return self.file.path.to_path_buf();
        }
        let name = self.file.path.to_string_lossy().to_ascii_lowercase();
        let is_mudata = name.trim_end_matches(".gz").ends_with(".h5mu");
        self.folder.join(if is_mudata {
            "cells.h5mu"
        } else {
            "cells.h5ad"
        })
    }

    /// What to do when the .h5ad file was not written at last: the results go to tables, unless they
    /// are there already, and the error says so.
    pub fn rescue<T>(&self, error: Error, write_tables: impl FnOnce() -> Result<()>) -> Result<T> {
        let tables = if self.options.wants(Output::Csv) {
            Ok(())
        } else {
            write_tables()
        };
        let path = self.h5ad_path();
        let reason = exit::message(&error);
        let reason = reason
            .strip_prefix(&format!("{}: ", path.display()))
            .unwrap_or(&reason);
        let rest = match tables {
            Ok(()) => format!(
                "the results are in {}: {}",
                self.folder.display(),
                tables::CELL_FILES
            ),
            Err(error) => format!("nor were tables: {}", exit::message(&error)),
        };
        Err(Error::format(
            path,
            None,
            format!("not written: {reason}; {rest}"),
        ))
    }
}
