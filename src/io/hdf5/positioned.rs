//! Reading at a position of a file that several readers share.

use std::fs::File;
use std::io;

/// Fills the buffer from a position on.
#[cfg(unix)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, position)
}

/// Fills the buffer from a position on.
#[cfg(windows)]
pub(super) fn read_at(file: &File, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        match file.seek_read(buffer, position)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                position += read as u64;
            }
        }
    }
    Ok(())
}

/// A file of a known length as `hdf5-pure` reads it.
pub(super) struct Positioned {
    pub file: std::sync::Arc<File>,
    pub length: u64,
}

impl Positioned {
    /// From start to end.
    pub fn reader(&self) -> impl io::Read + '_ {
        Reader {
            source: self,
            position: 0,
        }
    }
}

struct Reader<'a> {
    source: &'a Positioned,
    position: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.length - self.position;
        let count = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        read_at(&self.source.file, &mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl hdf5_pure::Source for Positioned {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), hdf5_pure::FormatError> {
        check_end(offset, buffer.len(), self.length)?;
        read_at(&self.file, buffer, offset).map_err(source_error)
    }
}

/// Refuses what lies behind the end.
pub(super) fn check_end(
    offset: u64,
    count: usize,
    length: u64,
) -> Result<(), hdf5_pure::FormatError> {
    match offset.checked_add(count as u64) {
        Some(end) if end <= length => Ok(()),
        _ => Err(hdf5_pure::FormatError::UnexpectedEof {
            expected: usize::try_from(offset.saturating_add(count as u64)).unwrap_or(usize::MAX),
            available: usize::try_from(length).unwrap_or(usize::MAX),
        }),
    }
}

pub(super) fn source_error(error: io::Error) -> hdf5_pure::FormatError {
    hdf5_pure::FormatError::Source(error.to_string())
}
