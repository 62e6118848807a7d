//! What a path that is to be written to leads to.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Links to follow; more are a circle.
const MOST_LINKS: usize = 40;

/// What is at the end of a path and its symbolic links.
#[derive(Debug)]
pub(super) enum Target {
    /// A file to replace, with what is known of the one there; there may be none yet.
    File {
        path: PathBuf,
        old: Option<Metadata>,
    },
    /// A pipe, a device, or a file that this process has open under a number: what is written goes
    /// through, nothing is replaced.
    Stream,
}

impl Target {
    /// Follows the links of a path.
    ///
    /// # Errors
    /// For folders, sockets, block devices and files that are read-only.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return match path.file_name() {
                        Some(_) => Ok(Self::File { path, old: None }),
                        None => Err(refused("the path names no file")),
                    };
                }
                Err(error) => return Err(error),
            };
            if !found.is_symlink() {
                return Self::at(path, found);
            }
            if is_descriptor(&path) {
                return Self::open_file(&path);
            }
            let link = fs::read_link(&path)?;
            path = match path.parent() {
                Some(folder) => folder.join(link),
                None => link,
            };
        }
        Err(refused(
            "more than 40 symbolic links follow each other; they seem to form a circle",
        ))
    }

    fn at(path: PathBuf, found: Metadata) -> io::Result<Self> {
        if found.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder; give the name of a file in it",
            ));
        }
        if !found.is_file() {
            return match crate::io::input::kind_of(&found) {
                kind @ ("a socket" | "a block device") => Err(refused(&format!(
                    "it is {kind}, which cannot be written to; give the name of a file"
                ))),
                _ => Ok(Self::Stream),
            };
        }
        // The folder would allow it, but whoever protected the file does not want it replaced.
        if found.permissions().readonly() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is read-only; make it writable or choose another name",
            ));
        }
        Ok(Self::File {
            path,
            old: Some(found),
        })
    }

    /// Where the number of an open file leads, as `/dev/stdout` does.
    fn open_file(path: &Path) -> io::Result<Self> {
        match fs::metadata(path)? {
            // Whoever opened it goes on with the file that it opened, not with one in its place.
            found if found.is_file() => Ok(Self::Stream),
            found => Self::at(path.to_path_buf(), found),
        }
    }
}

/// Whether a link is one of the open files of a process.
fn is_descriptor(path: &Path) -> bool {
    path.parent()
        .and_then(|folder| fs::canonicalize(folder).ok())
        .is_some_and(|folder| folder.starts_with("/proc"))
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
