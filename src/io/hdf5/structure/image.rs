//! The bytes of a file, and changes to them.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::superblock::Superblock;
use crate::io::hdf5::positioned::read_at;

/// Why a structure cannot be read or changed.
#[derive(Debug)]
pub(in crate::io) enum Problem {
    /// The file could not be read or written.
    Io(io::Error),
    /// The file contradicts the format.
    Structure(String),
    /// The file uses a part of the format that is not known here.
    Unsupported(String),
}

impl Problem {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self::Structure(reason.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Structure(reason) | Self::Unsupported(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file and changes to it that are not written yet.
///
/// Addresses are those within the file's structure, which count from its superblock.
pub(in crate::io) struct Image {
    file: Arc<File>,
    superblock: Superblock,
    /// Bytes of the file.
    size: u64,
    /// Where the next block is appended.
    end: u64,
    changes: Vec<(u64, Vec<u8>)>,
}

impl Image {
    /// A file that is open for reading.
    pub fn new(file: Arc<File>) -> Result<Self, Problem> {
        let size = file.metadata()?.len();
        let mut superblock = Superblock::find(&file, size)?;
        if superblock.end > size {
            return Err(Problem::new(format!(
                "it ends after {size} of {} bytes",
                superblock.end
            )));
        }
        let mut image = Self {
            file,
            end: (size - superblock.base).next_multiple_of(8),
            superblock: superblock.clone(),
            size,
            changes: Vec::new(),
        };
        superblock.read_extension(&image)?;
        image.superblock = superblock;
        Ok(image)
    }

    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Where what is appended next will lie.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What a damaged structure can lead around at most.
    pub(super) fn most_blocks(&self) -> u64 {
        self.end / 8 + 16
    }

    /// So many bytes, as they are with all changes.
    pub(super) fn read(&self, address: u64, count: usize) -> Result<Vec<u8>, Problem> {
        let past_end = || Problem::new("an address leads behind the end of the file");
        let stop = address.checked_add(count as u64).ok_or_else(past_end)?;
        if stop > self.end {
            return Err(past_end());
        }
        let mut bytes = Vec::new();
        // A damaged structure of a large file may claim nearly all of it.
        bytes
            .try_reserve_exact(count)
            .map_err(|_| Problem::Io(io::ErrorKind::OutOfMemory.into()))?;
        bytes.resize(count, 0);
        self.fill(self.superblock.base + address, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills a buffer with bytes from a place in the file on, as they are with all changes.
    pub(in crate::io) fn fill(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        if start < self.size {
            let left = usize::try_from(self.size - start).unwrap_or(usize::MAX);
            let stored = buffer.len().min(left);
            read_at(&self.file, &mut buffer[..stored], start)?;
        }
        let stop = start + buffer.len() as u64;
        for (address, change) in &self.changes {
            let at = self.superblock.base + address;
            let (from, to) = (start.max(at), stop.min(at + change.len() as u64));
            if from < to {
                let source = (from - at) as usize..(to - at) as usize;
                let target = (from - start) as usize..(to - start) as usize;
                buffer[target].copy_from_slice(&change[source]);
            }
        }
        Ok(())
    }

    /// The size of the file with all changes.
    pub(in crate::io::hdf5) fn length(&self) -> u64 {
        self.superblock.base + self.end
    }

    pub(super) fn write(&mut self, address: u64, bytes: Vec<u8>) {
        self.changes.push((address, bytes));
    }

    /// Adds a block behind the end and gives its address.
    pub(in crate::io) fn append(&mut self, bytes: Vec<u8>) -> u64 {
        let address = self.end;
        self.end = (address + bytes.len() as u64).next_multiple_of(8);
        self.write(address, bytes);
        address
    }

    /// Brings the end of the file up to date that the file itself states.
    pub(in crate::io) fn finish(&mut self) {
        let (at, bytes) = self.superblock.with_end(self.end);
        self.write(at, bytes);
    }

    /// Writes all changes into a file, which must be a copy of the one that was opened.
    pub(in crate::io) fn store(mut self, mut target: &File) -> io::Result<()> {
        self.finish();
        let size = self.length();
        for (address, bytes) in self.changes {
            target.seek(SeekFrom::Start(self.superblock.base + address))?;
            target.write_all(&bytes)?;
        }
        target.set_len(size)
    }
}

/// Numbers within a block, the lowest byte first.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let taken = self
            .at
            .checked_add(count)
            .and_then(|stop| self.bytes.get(self.at..stop))
            .ok_or_else(|| Problem::new("a structure ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    /// A number of at most eight bytes.
    pub fn number(&mut self, width: usize) -> Result<u64, Problem> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub fn byte(&mut self) -> Result<u8, Problem> {
        Ok(self.take(1)?[0])
    }

    pub fn short(&mut self) -> Result<u16, Problem> {
        Ok(self.number(2)? as u16)
    }

    pub fn long(&mut self) -> Result<u64, Problem> {
        self.number(8)
    }

    pub fn signature(&mut self, expected: &[u8; 4]) -> Result<(), Problem> {
        let found = self.take(4)?;
        if found == expected {
            return Ok(());
        }
        Err(Problem::new(format!(
            "a block starts with {}, expected {}",
            found.escape_ascii(),
            expected.escape_ascii()
        )))
    }
}
