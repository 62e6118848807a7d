//! Ends the program with one line that says what went wrong and what to do.

use std::io::ErrorKind;
use std::process::ExitCode;

use celldec::{Error, Result};

use crate::wording;

/// 0 for success, 2 for settings that cannot be used, 1 for everything else.
pub fn code(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {}", message(&error));
    match error {
        Error::Parameter(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// What is wrong and what to do, in the words of the command line.
pub fn message(error: &Error) -> String {
    match error {
        Error::Io { path, cause } if cause.kind() == ErrorKind::NotFound => {
            format!("{}: not found; check the path", path.display())
        }
        _ => wording::in_options(error.to_string()),
    }
}
