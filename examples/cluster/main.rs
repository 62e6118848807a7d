//! Clusters the cells of a file, and puts new cells into clusters found before.
//!
//! ```text
//! cargo run --release --features h5ad,plot,umap --example cluster -- --help
//! cargo run --release --features h5ad,plot,umap --example cluster -- \
//!     examples/data/pbmc68k_700_10x --clusters 10 --labels examples/data/pbmc68k_700_10x/labels.csv
//! ```

use std::path::Path;
use std::process::ExitCode;

use celldec::prelude::*;
use clap::Parser;
use indicatif::MultiProgress;

#[cfg(feature = "h5ad")]
mod annotated;
mod arguments;
mod checks;
mod constraints;
mod counts;
#[cfg(feature = "plot")]
mod drawings;
mod fitting;
mod input;
mod logging;
mod new_cells;
mod output;
mod settings;
mod wording;

#[path = "../shared/exit.rs"]
mod exit;
#[path = "../shared/labels.rs"]
mod labels;
#[path = "../shared/progress.rs"]
mod progress;
#[path = "../shared/report.rs"]
mod report;
#[path = "../shared/results.rs"]
mod results;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bars = MultiProgress::new();
    logging::start(arguments.verbose, &bars);
    exit::code(run(&arguments, &bars), wording::IN_OPTIONS)
}

fn run(arguments: &Arguments, bars: &MultiProgress) -> Result<()> {
    // What can be refused without the data is, before they are read, which may take long.
    checks::check(arguments)?;
    let device = celldec::device::by_name(&arguments.device)?;
    match &arguments.model {
        Some(model) => new_cells::assign(arguments, model, &device),
        None => fitting::fit(arguments, &device, bars),
    }
}

/// Makes the output folder. One that cannot be written is better known now than after training.
fn prepare_folder(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".celldec-{}", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|source| {
            checks::conflict(format!(
                "--output {}: no folder that can be written ({source}); choose another",
                folder.display()
            ))
        })
}
