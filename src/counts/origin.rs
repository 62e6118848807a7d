//! Where counts were read.

use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::error::Error;

/// A file that can say more about what is wrong with counts that were read from it.
pub(crate) trait CountFile: Debug + Send + Sync + UnwindSafe + RefUnwindSafe {
    /// The error about values that were read, as the file explains it.
    fn explain(&self, error: Error) -> Error;
}

/// The file that a matrix was read from, where there is one that has something to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin(Option<Arc<dyn CountFile>>);

/// Where a matrix was read is no part of what it is.
impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Origin {
    /// Counts of a file.
    #[cfg(feature = "h5ad")]
    pub fn of(file: impl CountFile + 'static) -> Self {
        Self(Some(Arc::new(file)))
    }

    /// The error about values, as the file explains it.
    pub fn explain(&self, error: Error) -> Error {
        match &self.0 {
            Some(file) => file.explain(error),
            None => error,
        }
    }
}
