//! What may be read from: files, not pipes or devices.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Opens a file to read it; gives its size, too.
///
/// # Errors
/// [`Error::Format`] for a pipe, a device, a socket or a folder: opening a pipe waits for a writer
/// that may never come, and a device may have no end. [`Error::Io`] when the file cannot be opened.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    check_file(path)?;
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let metadata = file.metadata().map_err(|source| Error::io(path, source))?;
    check_kind(path, &metadata)?;
    Ok((file, metadata.len()))
}

/// Reads a whole file.
///
/// # Errors
/// As [`open_file`], and [`Error::Io`] when it cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let (mut file, size) = open_file(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.read_to_end(&mut bytes)
        .map_err(|source| Error::io(path, source))?;
    Ok(bytes)
}

/// Refuses what [`open_file`] does not open.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|source| Error::io(path, source))?;
    check_kind(path, &metadata)
}

fn check_kind(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = kind_of(metadata);
    let advice = if metadata.is_dir() {
        "give the name of a file in it"
    } else {
        "it may have no end and cannot be read twice; save what comes out of it as a file first"
    };
    Err(Error::format(
        path,
        None,
        format!("it is {kind}, expected a file; {advice}"),
    ))
}

/// What lies at a path, for messages.
pub(super) fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe (FIFO)";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_block_device() {
            return "a block device";
        }
        if kind.is_char_device() {
            return "a device";
        }
    }
    "no regular file"
}
