//! `celldec cluster`: finds clusters.

mod arguments;
mod constraints;
mod fitting;
mod keys;
mod memory;
mod progress;
mod report;
mod settings;
mod summary;
mod work;
mod writing;

use celldec::Result;

pub use arguments::ClusterArguments;

use crate::console::Console;

/// Refuses what can be refused without the data, which may take long to read, and goes on.
pub fn run(arguments: &ClusterArguments, console: &Console) -> Result<()> {
    arguments.check()?;
    let devices = arguments.computing.all()?;
    fitting::run(arguments, &devices, console)
}
