//! The program `celldec`: clusters cells, puts new ones into clusters found before, compares labels
//! and says what is in a file.
//!
//! ```text
//! cargo install celldec --features cli
//! celldec cluster filtered_feature_bc_matrix
//! ```

mod arguments;
mod cluster;
mod compare;
mod console;
mod exit;
mod info;
mod input;
mod known;
mod map;
mod output;
mod refusal;
mod table;
mod wording;

use std::process::ExitCode;

use celldec::Result;
use clap::Parser;

use arguments::{Arguments, Global, Task};
use console::Console;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::start(&arguments.global);
    exit::code(run(&arguments, &console))
}

fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    use_threads(&arguments.global)?;
    match &arguments.task {
        Task::Cluster(task) => cluster::run(task, console),
        Task::Map(task) => map::run(task, console),
        Task::Compare(task) => compare::run(task, console),
        Task::Info(task) => info::run(task, console),
    }
}

/// All of the library's work is done by the threads of one pool, which must be made before they
/// are first needed.
fn use_threads(global: &Global) -> Result<()> {
    let Some(threads) = global.threads else {
        return Ok(());
    };
    if threads == 0 {
        return Err(refusal::conflict("--threads must be at least 1"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| {
            refusal::conflict(format!("--threads {threads}: {error}; use fewer threads"))
        })
}
