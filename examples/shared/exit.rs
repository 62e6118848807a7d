//! Ends a program with one line that says what went wrong and what to do.

use std::io::ErrorKind;
use std::process::ExitCode;

use celldec::{Error, Result};

/// 0 for success, 2 for settings that cannot be used, 1 for everything else.
///
/// `wording` replaces parts of messages, for programs in which things have other names than in the
/// library.
pub fn code(outcome: Result<()>, wording: &[(&str, &str)]) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    match &error {
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            eprintln!("error: {}: not found; check the path", path.display());
        }
        _ => {
            let text = wording
                .iter()
                .fold(error.to_string(), |text, (from, to)| text.replace(from, to));
            eprintln!("error: {text}");
        }
    }
    match error {
        Error::Parameter(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
