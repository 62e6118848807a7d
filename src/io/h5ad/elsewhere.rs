//! Errors about values that are no counts, with the matrix of the same file that holds some.

use std::path::{Path, PathBuf};

use super::{H5adContents, H5adMatrix, matrix};
use crate::counts::CountFile;
use crate::error::Error;

/// The matrix of a file that was read.
#[derive(Debug)]
pub(super) struct MatrixRead {
    path: PathBuf,
    matrix: H5adMatrix,
}

impl MatrixRead {
    pub fn new(path: &Path, matrix: &H5adMatrix) -> Self {
        Self {
            path: path.to_path_buf(),
            matrix: matrix.clone(),
        }
    }
}

impl CountFile for MatrixRead {
    fn explain(&self, error: Error) -> Error {
        let value = match &error {
            Error::FractionalCount { value, .. } | Error::NegativeCount { value, .. } => *value,
            _ => return error,
        };
        // Where the parts cannot be listed, the error as it is says most.
        let counts = H5adContents::of(&self.path)
            .ok()
            .and_then(|contents| contents.counts().cloned());
        match counts {
            Some(counts) if counts != self.matrix => Error::CountsElsewhere {
                path: self.path.clone(),
                used: self.matrix.to_string(),
                value,
                counts: counts.to_string(),
                option: matrix::option(&counts),
            },
            _ => error,
        }
    }
}
