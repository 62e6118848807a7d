//! The bytes of an HDF5 file, also of one that is compressed as a whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::positioned::read_at;
use crate::error::{Error, Result};
use crate::io::budget::{Budget, OF_COMPRESSED};
use crate::io::input::open_file;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
const GZIP: &[u8] = b"\x1f\x8b";
/// A user block before the contents ends here, or at twice as many bytes, and so on.
const SHORTEST_USER_BLOCK: u64 = 512;
/// What a compressed file may hold besides its share.
const FREE_BYTES: u64 = 40 << 20;

/// An open file without the compression that it may have as a whole.
pub(super) struct Content {
    pub file: Arc<File>,
    pub length: u64,
    /// Bytes as they lie on the disk.
    stored: u64,
}

impl Content {
    /// Opens an HDF5 file; what is compressed by gzip is decompressed into a temporary file without
    /// a name.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, stored) = open_file(path)?;
        let failed = |source| Error::io(path, source);
        let mut start = Vec::with_capacity(GZIP.len());
        let mut reader = &file;
        reader
            .take(GZIP.len() as u64)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let (file, length) = if start == GZIP {
            reader.seek(SeekFrom::Start(0)).map_err(failed)?;
            decompressed(path, &file, stored)?
        } else {
            (file, stored)
        };
        if !has_signature(&file, length).map_err(failed)? {
            return Err(Error::format(
                path,
                None,
                "not an HDF5 file; .h5ad and 10x .h5 files are",
            ));
        }
        Ok(Self {
            file: Arc::new(file),
            length,
            stored,
        })
    }

    /// The memory that reading may take.
    pub fn budget(&self) -> Budget {
        Budget::new([(self.stored, OF_COMPRESSED)])
    }

    /// All bytes.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.length).unwrap_or(usize::MAX)];
        read_at(&self.file, &mut bytes, 0).map_err(|source| Error::io(path, source))?;
        Ok(bytes)
    }
}

/// A temporary file with the content of a gzip file, and its length.
fn decompressed(path: &Path, file: &File, stored: u64) -> Result<(File, u64)> {
    let failed = |source| Error::io(path, source);
    let most = FREE_BYTES.saturating_add(stored.saturating_mul(OF_COMPRESSED));
    let mut target = tempfile::tempfile().map_err(failed)?;
    let mut decoder = MultiGzDecoder::new(io::BufReader::new(file)).take(most.saturating_add(1));
    let length = io::copy(&mut decoder, &mut target).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::format(
                path,
                None,
                format!("it is damaged or cut short: gzip says \"{source}\""),
            )
        }
        _ => Error::io(path, source),
    })?;
    if length > most {
        return Err(Error::MemoryLimit {
            path: path.into(),
            place: "decompressed".into(),
            needed: length,
            limit: most,
            file_bytes: stored,
        });
    }
    Ok((target, length))
}

fn has_signature(file: &File, length: u64) -> io::Result<bool> {
    let mut at = 0;
    while at + SIGNATURE.len() as u64 <= length {
        let mut found = [0; SIGNATURE.len()];
        read_at(file, &mut found, at)?;
        if found == *SIGNATURE {
            return Ok(true);
        }
        at = (at * 2).max(SHORTEST_USER_BLOCK);
    }
    Ok(false)
}

/// Whether a file is an HDF5 file, plain or compressed by gzip as a whole.
pub(in crate::io) fn is_hdf5(path: &Path) -> Result<bool> {
    let (file, length) = open_file(path)?;
    let failed = |source| Error::io(path, source);
    let mut start = Vec::new();
    (&file)
        .take(SIGNATURE.len() as u64)
        .read_to_end(&mut start)
        .map_err(failed)?;
    if !start.starts_with(GZIP) {
        return has_signature(&file, length).map_err(failed);
    }
    (&file).seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut start = Vec::new();
    let mut decoder = MultiGzDecoder::new(&file).take(SIGNATURE.len() as u64);
    // What cannot be decompressed is no HDF5 file; its reader says what is wrong with it.
    Ok(decoder.read_to_end(&mut start).is_ok() && start == SIGNATURE)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn files_larger_than_memory_are_refused_with_what_to_do() {
        let content = Content {
            file: Arc::new(tempfile::tempfile().unwrap()),
            length: 1 << 60,
            stored: 1 << 60,
        };
        let opened = Store::in_memory(Path::new("cells.h5ad"), content);
        let message = opened.map(|_| ()).unwrap_err().to_string();
        for word in ["cells.h5ad", "no memory left", "`H5adOptions::open`"] {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}
