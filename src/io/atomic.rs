//! Files that appear complete or not at all: the one place where files are written.
//!
//! A new file is written beside its target under a name that nobody can predict, created only if
//! there is nothing of that name, with the owner, group and permissions of the file that it
//! replaces before its first byte. It is brought to disk and renamed. What a writer that was killed
//! leaves behind is removed by the next one to the same target; a lock tells whether a writer still
//! lives. Links are followed, and what is no file (a pipe, a terminal) is written to as it is.

#[cfg(feature = "h5ad")]
mod room;
mod target;
mod temporary;
mod together;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};
use target::Target;
pub(crate) use temporary::Temporary;
pub(super) use together::{Piece, finish, is_unsettled, write_together};

/// Writes `path` through a temporary file in the same folder that is renamed when everything is
/// on disk; a failure leaves an existing file untouched. Compresses when the path ends in `.gz`.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    write_compressed(path, is_gzip(path), write)
}

/// As [`write_atomically`], never compressed: for formats of our own, whatever their name.
pub(crate) fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_compressed(path, false, |file| file.write_all(bytes))
}

fn write_compressed(
    path: &Path,
    gzip: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(path, source);
    match Target::of(path).map_err(failed)? {
        Target::File { path: real, old } => {
            temporary::clean(&real, together::pending(&real).as_deref(), false);
            let temporary = Temporary::create(&real, old.as_ref()).map_err(failed)?;
            write_to(temporary.file(), gzip, write)
                .and_then(|()| temporary.place())
                .map_err(failed)
        }
        Target::Stream => OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|stream| write_to(&stream, gzip, write))
            .map_err(failed),
    }
}

/// Lets `make` fill a temporary file beside `path` and puts it in place; a failure leaves an
/// existing file untouched. For formats that are not written from start to end: what is no file
/// is refused.
#[cfg(feature = "h5ad")]
pub(crate) fn replace_atomically(
    path: &Path,
    make: impl FnOnce(&Temporary) -> Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(path, source);
    let Target::File { path: real, old } = Target::of(path).map_err(failed)? else {
        return Err(failed(no_file()));
    };
    temporary::clean(&real, together::pending(&real).as_deref(), false);
    let temporary = Temporary::create(&real, old.as_ref()).map_err(failed)?;
    make(&temporary)?;
    temporary.place().map_err(failed)
}

/// Refuses early, before a long computation, a path that no file could be written to afterwards: in a
/// folder that does not allow it, of a file that is protected, or of a pipe or device.
///
/// Makes and removes a temporary file beside it.
///
/// # Errors
/// [`Error::Io`] naming the path and the reason.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let failed = |source| Error::io(path, source);
    match Target::of(path).map_err(failed)? {
        Target::File { path: real, old } => {
            drop(Temporary::create(&real, old.as_ref()).map_err(failed)?);
            Ok(())
        }
        Target::Stream => Err(failed(no_file())),
    }
}

/// As [`check_writable`], and that the disk has room for so many bytes.
#[cfg(feature = "h5ad")]
pub(crate) fn check_room(path: &Path, bytes: u64) -> Result<()> {
    check_writable(path)?;
    let target = Target::of(path).map_err(|source| Error::io(path, source))?;
    match target {
        Target::File { path: real, .. } => {
            room::check(&real, bytes).map_err(|source| Error::io(path, source))
        }
        Target::Stream => Ok(()),
    }
}

/// The refusal of pipes and devices.
fn no_file() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no file, and this format cannot be written to a pipe or device; give the name of a \
         file",
    )
}

/// Whether the path says gzip.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

fn write_to(
    file: &File,
    gzip: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 16, file);
    if gzip {
        let mut encoder = GzEncoder::new(buffered, Compression::default());
        write(&mut encoder)?;
        encoder.finish()?.flush()
    } else {
        write(&mut buffered)?;
        buffered.flush()
    }
}

#[cfg(test)]
mod tests;
