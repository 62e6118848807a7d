//! What lies before training and after it.

use celldec::metrics::Consensus;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use super::arguments::ClusterArguments;
use super::keys::{self, Keys};
use super::{constraints, summary, writing};
use crate::console::Console;
use crate::exit;
use crate::input::{self, CountFile, Input, Purpose};
use crate::known::KnownTypes;
use crate::output::{Destination, Output, annotated, tables};

/// One clustering.
pub struct Found<H: ReconstructionHead> {
    pub fit: Fit<H>,
    /// Agreement with the same under other seeds.
    pub consensus: Option<Consensus>,
}

impl<H: ReconstructionHead> Found<H> {
    pub fn new(fit: Fit<H>) -> Self {
        Self {
            fit,
            consensus: None,
        }
    }
}

/// The cells to cluster, and where their clusters go.
pub struct Work<'a> {
    pub(super) arguments: &'a ClusterArguments,
    pub(super) console: &'a Console,
    pub(super) destination: Destination<'a>,
    pub(super) input: Input,
    pub(super) cells: Cells,
    keys: Vec<Keys>,
}

impl<'a> Work<'a> {
    /// Reads and preprocesses; refuses, before training, what could not be written afterwards.
    pub fn prepare(
        arguments: &'a ClusterArguments,
        console: &'a Console,
        file: &'a CountFile<'a>,
        preprocess: &Preprocess,
    ) -> Result<Self> {
        let others = arguments.cells.tables();
        let others = others.chain(arguments.constraints.as_deref());
        let destination = Destination::new(file, &arguments.output, &arguments.writing, others)?;
        let input = input::read(&arguments.cells, file, Purpose::Fit, None)?;
        let keys = keys::of(arguments);
        annotated::check(&destination, &input, keys.iter().flat_map(Keys::all))?;
        let cells = input
            .counts
            .fit(preprocess, input.batch_labels().as_deref())
            .map_err(input::h5ad::explain)?;
        let report = cells.report();
        console.say(format_args!(
            "{} cells × {} genes of {} ({} cells and {} genes left out)",
            cells.cells(),
            cells.genes(),
            file.format_name(),
            report.cells_dropped(),
            report.genes_dropped()
        ));
        if input.batches.is_some() {
            console.say(format_args!(
                "  scaled within batches {}",
                cells.batch_names().join(", ")
            ));
        }
        Ok(Self {
            arguments,
            console,
            destination,
            input,
            cells,
            keys,
        })
    }

    /// The prepared cells.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Which pairs of cells belong together or apart.
    pub fn read_constraints(&self) -> Result<ConstraintPairs> {
        let Some(path) = &self.arguments.constraints else {
            return Ok(ConstraintPairs::default());
        };
        let (pairs, dropped) = constraints::read(path, &self.input.counts, &self.cells)?;
        self.console.say(format_args!(
            "  {} must-link and {} cannot-link pairs",
            pairs.must_link().len(),
            pairs.cannot_link().len()
        ));
        if dropped > 0 {
            self.console.say(format_args!(
                "  {dropped} pairs are unused: preprocessing left a cell out"
            ));
        }
        Ok(pairs)
    }

    /// Prints and writes every clustering.
    pub fn finish<H: ReconstructionHead>(self, found: &[Found<H>]) -> Result<()> {
        let console = self.console;
        let types = self.input.types_of(self.cells.kept_cells());
        let known = types.as_deref().map(KnownTypes::new);
        // What cannot be written is no reason to lose the rest.
        let mut failures = Vec::new();
        let mut folders = Vec::with_capacity(found.len());
        for one in found {
            let mut folder = self.destination.folder.to_path_buf();
            if let (Some(resolution), true) = (one.fit.resolution(), found.len() > 1) {
                console.say(format_args!("\n  resolution    {resolution}"));
                folder.push(format!("resolution_{resolution}"));
            }
            summary::print_fit(console, &one.fit, known.as_ref())?;
            if let Some(consensus) = &one.consensus {
                summary::print_consensus(console, consensus);
            }
            let (files, missing) = writing::write(&self, &folder, one);
            if !files.is_empty() {
                console.say(format_args!(
                    "  written to    {}: {}",
                    folder.display(),
                    files.join(", ")
                ));
            }
            failures.extend(missing);
            if let Some(known) = &known {
                console.say(format_args!("\n{}", known.table(one.fit.clusters())));
            }
            folders.push(folder);
        }
        if self.destination.options.wants(Output::H5ad) {
            let tables = || {
                folders.iter().zip(found).try_for_each(|(folder, one)| {
                    let fit = &one.fit;
                    tables::write_cells(folder, &self.cells, fit.clusters(), fit.embedding())
                })
            };
            let written = writing::h5ad_results(self.arguments, &self.cells, self.keys, found)
                .and_then(|results| {
                    annotated::write(&self.destination, self.input, &self.cells, results)
                })
                .or_else(|error| self.destination.rescue(error, tables));
            match written {
                Ok(path) => console.say(format_args!("  .h5ad file    {}", path.display())),
                Err(error) => failures.push(error),
            }
        }
        folders.push(self.destination.folder.to_path_buf());
        folders.dedup();
        for folder in &folders {
            self.destination.tell_earlier(console, folder);
        }
        let last = failures.pop();
        for error in &failures {
            console.warn(format_args!("error: {}", exit::message(error)));
        }
        match last {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
