//! Whether a disk has room.

use std::io;
use std::path::Path;

/// Refuses a path in whose folder so many bytes have no room.
#[cfg(unix)]
pub(super) fn check(path: &Path, bytes: u64) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A file system that does not say has its say when the file is written.
    let Ok(status) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    // Some file systems count nothing.
    if status.f_blocks == 0 || free >= bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "the disk has {} MB left and {} MB are needed; make room or choose another folder",
            free / 1_000_000,
            bytes.div_ceil(1_000_000)
        ),
    ))
}

/// Other systems have their say when the file is written.
#[cfg(not(unix))]
pub(super) fn check(_path: &Path, _bytes: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        check(&path, 1).unwrap();
        let error = check(&path, u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("MB left"), "{error}");
    }
}
