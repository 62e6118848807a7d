//! Files that appear complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};

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
    replace_atomically(path, |temporary| {
        write_to(temporary, gzip, write).map_err(|source| Error::io(path, source))
    })
}

/// Lets `make` create a temporary file in the folder of `path`, brings it to disk and renames it
/// to `path`; a failure leaves an existing file untouched. An existing file's permissions stay, and
/// one that is read-only is not replaced, although the folder would allow it.
pub(crate) fn replace_atomically(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let protected = fs::metadata(path).is_ok_and(|old| old.permissions().readonly());
    if protected {
        return Err(Error::io(
            path,
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is read-only; make it writable or choose another name",
            ),
        ));
    }
    let temporary = temporary_path(path);
    let written = make(&temporary)
        .and_then(|()| put_in_place(&temporary, path).map_err(|source| Error::io(path, source)));
    if written.is_err() {
        // The first failure is the one to report; the temporary file may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn put_in_place(temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(temporary)?.sync_all()?;
    if let Ok(old) = fs::metadata(path) {
        fs::set_permissions(temporary, old.permissions())?;
    }
    fs::rename(temporary, path)
}

/// Whether the path says gzip.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

fn write_to(
    path: &Path,
    gzip: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let buffered = BufWriter::with_capacity(1 << 16, file);
    if gzip {
        let mut encoder = GzEncoder::new(buffered, Compression::default());
        write(&mut encoder)?;
        into_file(encoder.finish()?)?;
    } else {
        let mut buffered = buffered;
        write(&mut buffered)?;
        into_file(buffered)?;
    }
    Ok(())
}

fn into_file(buffered: BufWriter<File>) -> io::Result<File> {
    buffered.into_inner().map_err(|error| error.into_error())
}

fn temporary_path(path: &Path) -> PathBuf {
    // Two writers of one process must not share a temporary file, nor must two processes.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.{}-{number}.partial", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.csv.gz");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let old = fs::read(&path).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(&[b'x'; 1 << 18])?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "disk full"))
        });
        assert!(
            matches!(failed, Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull)
        );
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(entries(folder.path()), ["result.csv.gz"]);
    }

    #[test]
    fn a_read_only_file_is_not_replaced_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.csv");
        fs::write(&path, b"old").unwrap();
        let writable = fs::metadata(&path).unwrap().permissions();
        let mut protected = writable.clone();
        protected.set_readonly(true);
        fs::set_permissions(&path, protected).unwrap();
        let error = write_atomically(&path, |out| out.write_all(b"new")).unwrap_err();
        assert!(error.to_string().contains("read-only"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::set_permissions(&path, writable.clone()).unwrap();
        write_atomically(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions(), writable);
        assert_eq!(entries(folder.path()), ["result.csv"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent/result.csv");
        let error = write_atomically(&path, |out| out.write_all(b"x")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
