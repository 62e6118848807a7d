//! The file of a checkpoint.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use burn::tensor::TensorData;

use crate::error::{Error, Result};
use crate::io::atomic::write_bytes_atomically;
use crate::io::input::read_file;
use crate::tensor_file::{self, Tensors};

/// Version of the file format; files of other versions are refused.
pub(super) const FORMAT: u32 = 2;

const DESCRIPTION: &str = "celldec_checkpoint";

/// Writes a checkpoint atomically.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written, the old one is then untouched;
/// [`Error::Checkpoint`] for a tensor of a type that SafeTensors does not know.
pub(super) fn write(
    path: &Path,
    description: &str,
    tensors: &BTreeMap<String, &TensorData>,
) -> Result<()> {
    let bytes = tensor_file::to_bytes(DESCRIPTION, description, tensors).map_err(|reason| {
        Error::Checkpoint {
            path: path.into(),
            reason,
        }
    })?;
    write_bytes_atomically(path, &bytes)
}

/// Reads a checkpoint: its description and its tensors; `None` when there is no file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Checkpoint`] when it is damaged, of another
/// version or something else.
pub(super) fn read(path: &Path) -> Result<Option<(String, Tensors)>> {
    let bytes = match read_file(path) {
        Ok(bytes) => bytes,
        Err(Error::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    parse(&bytes).map(Some).map_err(|reason| Error::Checkpoint {
        path: path.into(),
        reason,
    })
}

fn parse(bytes: &[u8]) -> Result<(String, Tensors), String> {
    let description = tensor_file::description(bytes, DESCRIPTION)?;
    if description.format != FORMAT {
        return Err(format!(
            "it has format {}, this version reads {FORMAT}; resume with the version that wrote it",
            description.format
        ));
    }
    let tensors = tensor_file::tensors(bytes, &description)?;
    Ok((description.text, tensors))
}
