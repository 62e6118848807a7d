//! Counts in memory or on disk.

use std::sync::Arc;

use celldec::counts::CountSource;
use celldec::error::Place;
use celldec::prelude::*;
use celldec::preprocess::FittedPreprocess;

/// The counts of the input.
pub enum Counts {
    Memory(CountMatrix),
    /// Read part by part, when they are needed.
    Disk(Arc<dyn CountSource>),
}

impl Counts {
    pub fn cell_names(&self) -> &[String] {
        match self {
            Self::Memory(counts) => counts.cell_names(),
            Self::Disk(source) => source.cell_names(),
        }
    }

    pub fn gene_names(&self) -> &[String] {
        match self {
            Self::Memory(counts) => counts.gene_names(),
            Self::Disk(source) => source.gene_names(),
        }
    }

    /// A name for comparison in a message.
    pub fn first_name(&self) -> &str {
        self.cell_names().first().map_or("", String::as_str)
    }

    /// A cell in a message.
    pub fn cell_place(&self, cell: usize) -> Place {
        match self {
            Self::Memory(counts) => counts.cell_place(cell),
            Self::Disk(_) => Place::new(cell, self.cell_names()[cell].as_str()),
        }
    }

    pub fn source(&self) -> &dyn CountSource {
        match self {
            Self::Memory(counts) => counts,
            Self::Disk(source) => source.as_ref(),
        }
    }

    /// Learns preprocessing and applies it, within batches where there are some.
    pub fn fit(&self, preprocess: &Preprocess, batches: Option<&[String]>) -> Result<Cells> {
        match (self, batches) {
            (Self::Memory(counts), None) => preprocess.fit(counts),
            (Self::Memory(counts), Some(batches)) => preprocess.fit_with_batches(counts, batches),
            (Self::Disk(source), None) => preprocess.fit_source(source.clone()),
            (Self::Disk(source), Some(batches)) => {
                preprocess.fit_source_with_batches(source.clone(), batches)
            }
        }
    }

    /// Prepares new cells as others were.
    pub fn transform(
        &self,
        preprocessing: &FittedPreprocess,
        batches: Option<&[String]>,
    ) -> Result<Cells> {
        match (self, batches) {
            (Self::Memory(counts), None) => preprocessing.transform(counts),
            (Self::Memory(counts), Some(batches)) => {
                preprocessing.transform_with_batches(counts, batches)
            }
            (Self::Disk(source), None) => preprocessing.transform_source(source.clone()),
            (Self::Disk(source), Some(batches)) => {
                preprocessing.transform_source_with_batches(source.clone(), batches)
            }
        }
    }
}
