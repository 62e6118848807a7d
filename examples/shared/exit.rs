//! Ends a program with one line that says what went wrong and what to do.

use std::io::ErrorKind;
use std::process::ExitCode;

use celldec::{Error, Result};

/// 0 for success, 2 for settings that cannot be used, 1 for everything else.
pub fn code(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    match &error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            eprintln!("error: {}: not found; check the path", path.display());
        }
        _ => eprintln!("error: {error}"),
    }
    match error {
        Error::Parameter(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
