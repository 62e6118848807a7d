//! Refusals in the words of the command line.

use celldec::Error;
use celldec::error::ParameterError;

/// An error about options.
pub fn conflict(reason: impl Into<String>) -> Error {
    ParameterError::Conflict {
        reason: reason.into(),
    }
    .into()
}

/// An option value that this build has not got.
pub fn not_built(option: &str, value: &str, feature: &str) -> Error {
    conflict(format!(
        "{option} {value}: this build has not got the Cargo feature `{feature}`; build with \
         `cargo install celldec --features cli,umap,tsne`, or leave the option out"
    ))
}

/// The error of a labels file whose column is not clear, with the way to name it.
pub fn naming_column(error: Error, how: &str) -> Error {
    match error {
        Error::Format { path, line, reason } => Error::Format {
            path,
            line,
            reason: reason.replace("name one of:", &format!("name one {how}, of:")),
        },
        other => other,
    }
}
