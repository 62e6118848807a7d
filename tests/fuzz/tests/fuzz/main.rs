//! Runs all fuzz targets for some time and prints a table: target, executions, failures.
//!
//! Options, each also an environment variable (`--seconds` is `CELLDEC_FUZZ_SECONDS`, and so on):
//!
//! - `--seconds N`: time for all targets together (default 20),
//! - `--seed N`: what everything is drawn from (default 1),
//! - `--target NAME`: only this one,
//! - `--workers N`: processes at a time (default: one for every processor),
//! - `--failures FOLDER`: where failing inputs are left,
//! - `--replay FOLDER --target NAME`: reads one input again, in this process.
//!
//! A panic, an execution of more than [`LONGEST`], and memory beyond [`FREE_BYTES`] and [`FACTOR`]
//! times the input are failures; so is the end of the process.

mod allocation;
mod options;
mod supervisor;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use celldec_fuzz::targets;
use options::Options;

/// The longest that one execution may take, on a machine that has other things to do.
const LONGEST: Duration = Duration::from_secs(20);

/// What reading may take of memory, whatever the input.
const FREE_BYTES: usize = 64 << 20;

/// What reading may take of memory for every byte of the input.
const FACTOR: usize = 4;

/// The folder below this one where inputs that once failed are kept: they are read first.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/inputs");

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(folder) = &options.replay {
        return worker::replay(&options, folder);
    }
    if let Some(worker) = options.worker {
        worker::run(&options, worker);
        return ExitCode::SUCCESS;
    }
    match supervisor::run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            println!("{failures} failures");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The targets that the options ask for, with their places among all.
fn chosen(options: &Options) -> Vec<(usize, Box<dyn targets::Target>)> {
    let all = targets::all().into_iter().enumerate();
    let wanted = |name: &str| {
        options
            .target
            .as_deref()
            .is_none_or(|target| target == name)
    };
    all.filter(|(_, target)| wanted(target.name())).collect()
}
