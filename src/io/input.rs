//! What may be read from: files, not pipes or devices.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// Real count tables shrink by well under 100; deflate reaches 1032 only for constant data.
const MAX_EXPANSION: u64 = 200;
/// Small files may expand by any factor up to this many bytes.
const FREE_EXPANSION: u64 = 64 << 20;

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

/// Up to so many bytes from the start of an open file, which is then at its start again.
///
/// # Errors
/// [`Error::Io`] when they cannot be read.
pub(crate) fn read_start(path: &Path, file: &mut File, bytes: u64) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    file.by_ref()
        .take(bytes)
        .read_to_end(&mut start)
        .and_then(|_| file.rewind())
        .map_err(|source| Error::io(path, source))?;
    Ok(start)
}

/// Whether a file is compressed by gzip, whatever its name.
///
/// # Errors
/// As [`open_file`] and [`read_start`].
pub(crate) fn is_gzip_file(path: &Path) -> Result<bool> {
    let (mut file, _) = open_file(path)?;
    Ok(is_gzip(&read_start(path, &mut file, 2)?))
}

/// Whether bytes start as those of gzip do.
pub(crate) fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(b"\x1f\x8b")
}

/// What comes out of a gzip file of so many bytes, however many parts it has; more than a sound file
/// can hold is an error of the kind [`io::ErrorKind::InvalidData`].
pub(crate) fn unpacked(file: File, file_bytes: u64) -> impl Read + Send + 'static {
    Bounded {
        inner: MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)),
        left: FREE_EXPANSION.max(file_bytes.saturating_mul(MAX_EXPANSION)),
    }
}

/// Refuses to deliver more bytes than announced, against gzip bombs.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "it expands more than {MAX_EXPANSION}-fold (decompress it first if that is meant)"
                ),
            )
        })?;
        Ok(read)
    }
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
