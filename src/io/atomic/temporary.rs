//! Temporary files beside their targets.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Names to try; a second is only needed when somebody guessed the first.
const ATTEMPTS: usize = 100;
/// Bytes of the target's name that a temporary name shows: the rest of it makes about fifty, and
/// some file systems allow no more than 143.
const SHOWN_BYTES: usize = 64;
/// The ending of files that are not complete yet.
const PARTIAL: &str = ".partial";
/// The ending of files that were moved aside.
const PREVIOUS: &str = ".previous";

/// A new file beside the one that it is to replace. It is removed when it is dropped before
/// [`place`](Self::place).
///
/// A lock on it tells other processes that its writer is alive; the system takes the lock away when
/// the writer dies.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    target: PathBuf,
    file: File,
    is_ours: bool,
}

impl Temporary {
    /// A new file, readable for nobody but those who may read `old`, the file that it replaces.
    pub(super) fn create(target: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            match Self::create_named(target, old, &unpredictable()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "no free name for a temporary file beside it",
        ))
    }

    /// As [`create`](Self::create), with a token of [`unpredictable`] in its name.
    pub(super) fn create_named(
        target: &Path,
        old: Option<&Metadata>,
        token: &str,
    ) -> io::Result<Self> {
        let path = partial_path(target, token);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        if old.is_some() {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(&path)?;
        let temporary = Self {
            path,
            target: target.to_path_buf(),
            file,
            is_ours: true,
        };
        if !temporary.lock() {
            // Somebody who cleans up came between and removes it.
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(old) = old {
            temporary.take_over(old)?;
        }
        Ok(temporary)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To write into it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Takes the lock; `false` when somebody else has it or the file is gone.
    #[cfg(unix)]
    fn lock(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        match self.file.try_lock() {
            Ok(()) => self.file.metadata().is_ok_and(|now| now.nlink() > 0),
            Err(fs::TryLockError::WouldBlock) => false,
            // Some file systems have no locks. There nobody can take one to clean up, either.
            Err(fs::TryLockError::Error(_)) => true,
        }
    }

    /// Elsewhere locks keep other handles from writing.
    #[cfg(not(unix))]
    fn lock(&self) -> bool {
        true
    }

    /// Gives up the lock, for a library that takes its own while it has the file open.
    #[cfg(feature = "h5ad")]
    pub(crate) fn unlock(&self) {
        // Without a lock there is nothing to give up.
        let _ = self.file.unlock();
    }

    /// Gives the file the owner, group and permissions of the one that it replaces.
    #[cfg(unix)]
    fn take_over(&self, old: &Metadata) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let new = self.file.metadata()?;
        let keeps_group =
            old.gid() == new.gid() || fchown(&self.file, None, Some(old.gid())).is_ok();
        let mut mode = old.mode() & 0o777;
        if !keeps_group {
            // Another group must not be allowed what everybody else is not.
            mode &= 0o707 | (mode & 0o007) << 3;
        }
        self.file
            .set_permissions(fs::Permissions::from_mode(mode))?;
        let keeps_owner =
            old.uid() == new.uid() || fchown(&self.file, Some(old.uid()), None).is_ok();
        if !keeps_group || !keeps_owner {
            tracing::warn!(
                path = %self.target.display(),
                keeps_owner,
                keeps_group,
                "the owner or group of a replaced file could not be kept"
            );
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn take_over(&self, old: &Metadata) -> io::Result<()> {
        self.file.set_permissions(old.permissions())
    }

    /// Brings the content to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it the name of its target.
    pub(super) fn place(mut self) -> io::Result<()> {
        self.sync()?;
        fs::rename(&self.path, &self.target)?;
        self.is_ours = false;
        sync_folder(&self.target);
        Ok(())
    }

    /// Leaves the file to others.
    pub(super) fn leave(mut self) {
        self.is_ours = false;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_ours {
            // What failed before is what is reported.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Sixteen hexadecimal digits that nobody can know beforehand.
pub(super) fn unpredictable() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // The keys of the hasher come from the system.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(std::process::id());
    if let Ok(time) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        hasher.write_u128(time.as_nanos());
    }
    format!("{:016x}", hasher.finish())
}

/// Whether a text is one of [`unpredictable`].
pub(super) fn is_token(text: &str) -> bool {
    text.len() == 16
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of what is not complete yet.
pub(super) fn partial_path(target: &Path, token: &str) -> PathBuf {
    beside(target, token, PARTIAL)
}

/// The name of what was moved aside.
pub(super) fn previous_path(target: &Path, token: &str) -> PathBuf {
    beside(target, token, PREVIOUS)
}

fn beside(target: &Path, token: &str, ending: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    target.with_file_name(format!("{}{token}{ending}", prefix(name)))
}

/// What the temporary names of a target start with: the start of its name, and a number of the
/// whole name.
fn prefix(name: &OsStr) -> String {
    let shown = name.to_string_lossy();
    let mut end = shown.len().min(SHOWN_BYTES);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    // FNV-1a: the same in every process.
    let number = name
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!(".{}.{number:016x}.", &shown[..end])
}

/// Removes temporary files of a target whose writers are dead, except those of the token `kept`;
/// also what was moved aside, where `previous` says so.
pub(super) fn clean(target: &Path, kept: Option<&str>, previous: bool) {
    let (Some(name), Some(folder)) = (target.file_name(), target.parent()) else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let prefix = prefix(name);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let token = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix))
            .and_then(|rest| match rest.strip_suffix(PARTIAL) {
                None if previous => rest.strip_suffix(PREVIOUS),
                partial => partial,
            });
        let is_leftover = token.is_some_and(|token| is_token(token) && Some(token) != kept)
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_leftover && remove_when_dead(&entry.path()).is_ok() {
            tracing::debug!(path = %entry.path().display(), "removed what a dead writer left");
        }
    }
}

#[cfg(unix)]
fn remove_when_dead(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    fs::remove_file(path)
}

/// Without locks the dead cannot be told from the living.
#[cfg(not(unix))]
fn remove_when_dead(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Brings to disk which names the folder of a file has.
pub(super) fn sync_folder(path: &Path) {
    let Some(folder) = path.parent() else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // The file is complete and in its place: what is left is to survive a power cut, and some
    // systems cannot do that for a folder.
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(%error, folder = %folder.display(), "the folder was not synchronised");
    }
}
