//! What is handed to the library: a few files in a folder.

use std::fs;
use std::io;
use std::path::Path;

/// A few files in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Names and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Input {
    /// A single file.
    pub fn file(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            files: vec![(name.to_string(), data.into())],
        }
    }

    /// Bytes of all files.
    pub fn size(&self) -> usize {
        self.files.iter().map(|(_, data)| data.len()).sum()
    }

    /// Replaces what is in a folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let known = self
                .files
                .iter()
                .any(|(name, _)| entry.file_name() == **name);
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if !known {
                fs::remove_file(entry.path())?;
            }
        }
        for (name, data) in &self.files {
            fs::write(folder.join(name), data)?;
        }
        Ok(())
    }

    /// The files of a folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push((name, fs::read(entry.path())?));
            }
        }
        files.sort();
        Ok(Self { files })
    }

    /// A number that the content decides, for choices that must be the same when it is read again.
    pub fn choice(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for (name, data) in &self.files {
            for &byte in name.as_bytes().iter().chain(data) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash ^ (hash >> 29)
    }
}
