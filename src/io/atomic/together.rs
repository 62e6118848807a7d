//! Several files of one folder that are replaced together.
//!
//! All files are first written beside their targets under one token. Then a marker that holds the
//! token appears in the folder: from now on the new files count. The old ones are moved aside, the
//! last of the list first, and the new ones renamed, the last of the list last; then the marker
//! goes. Whoever is killed before the marker leaves the old files, whoever is killed after it
//! leaves enough to finish, which readers and writers of this crate do. Other programs find the
//! last file of the list missing meanwhile, never beside files of another save.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::target::Target;
use super::temporary::{
    self, Temporary, is_token, partial_path, previous_path, sync_folder, unpredictable,
};
use super::{is_gzip, write_to};
use crate::error::{Error, Result};

/// Holds the token of a save whose files count, but do not all have their names yet.
const MARKER: &str = ".celldec-replacing";
/// How long to wait for another writer, who needs moments.
const PATIENCE: Duration = Duration::from_secs(10);

/// What writes a file.
type Writing<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

/// One of several files: its name and what writes it.
pub(in crate::io) struct Piece<'a> {
    name: &'static str,
    write: Writing<'a>,
}

impl<'a> Piece<'a> {
    pub fn new(
        name: &'static str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'a,
    ) -> Self {
        Self {
            name,
            write: Box::new(write),
        }
    }
}

/// Writes files of a folder, all or none of them; readers need the last one. Compresses those whose
/// names end in `.gz`.
pub(in crate::io) fn write_together(folder: &Path, pieces: Vec<Piece<'_>>) -> Result<()> {
    let names: Vec<&str> = pieces.iter().map(|piece| piece.name).collect();
    finish(folder, &names)?;
    let token = unpredictable();
    let staged = stage(folder, &token, pieces)?;
    temporary::clean(&folder.join(MARKER), None, false);
    let _lock = FolderLock::wait(folder)?;
    // Another writer may have died meanwhile.
    finish_locked(folder, &names)?;
    commit(folder, &token, staged)
}

/// Writes files beside their targets and brings them to disk.
fn stage(folder: &Path, token: &str, pieces: Vec<Piece<'_>>) -> Result<Vec<(PathBuf, Temporary)>> {
    let mut staged = Vec::with_capacity(pieces.len());
    for Piece { name, write } in pieces {
        let path = folder.join(name);
        let failed = |source| Error::io(&path, source);
        let (real, old) = file_at(&path)?;
        temporary::clean(&real, None, true);
        let temporary = Temporary::create_named(&real, old.as_ref(), token).map_err(failed)?;
        write_to(temporary.file(), is_gzip(&path), write)
            .and_then(|()| temporary.sync())
            .map_err(failed)?;
        staged.push((real, temporary));
    }
    Ok(staged)
}

/// The file that a path leads to, and what is known of it.
fn file_at(path: &Path) -> Result<(PathBuf, Option<fs::Metadata>)> {
    match Target::of(path).map_err(|source| Error::io(path, source))? {
        Target::File { path, old } => Ok((path, old)),
        Target::Stream => Err(Error::io(
            path,
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is a pipe or a device, which cannot be replaced together with other files; \
                 choose another folder",
            ),
        )),
    }
}

fn commit(folder: &Path, token: &str, staged: Vec<(PathBuf, Temporary)>) -> Result<()> {
    let marker = folder.join(MARKER);
    let failed = |source| Error::io(folder, source);
    let moves = moves(token, &staged);
    announce(folder, token, &staged).map_err(failed)?;
    for (step, (from, to)) in moves.iter().enumerate() {
        let Err(source) = fs::rename(from, to) else {
            continue;
        };
        let undone = moves[..step]
            .iter()
            .rev()
            .try_for_each(|(from, to)| fs::rename(to, from))
            .and_then(|()| fs::remove_file(&marker));
        if undone.is_err() {
            // The marker stays, so that the new files count and are put in place later.
            staged
                .into_iter()
                .for_each(|(_, temporary)| temporary.leave());
        }
        return Err(Error::io(to, source));
    }
    sync_folders(&staged);
    let targets: Vec<PathBuf> = staged.iter().map(|(real, _)| real.clone()).collect();
    staged
        .into_iter()
        .for_each(|(_, temporary)| temporary.leave());
    put_away(folder, token, &targets).map_err(failed)
}

/// What puts new files in place of old ones, step by step.
fn moves(token: &str, staged: &[(PathBuf, Temporary)]) -> Vec<(PathBuf, PathBuf)> {
    let mut moves = Vec::with_capacity(2 * staged.len());
    for (real, _) in staged.iter().rev() {
        if real.exists() {
            moves.push((real.clone(), previous_path(real, token)));
        }
    }
    for (real, temporary) in staged {
        moves.push((temporary.path().to_path_buf(), real.clone()));
    }
    moves
}

/// Says that the new files count.
fn announce(folder: &Path, token: &str, staged: &[(PathBuf, Temporary)]) -> io::Result<()> {
    // They must not be lost from then on.
    sync_folders(staged);
    let marker = Temporary::create(&folder.join(MARKER), None)?;
    marker.file().write_all(token.as_bytes())?;
    marker.place()
}

fn sync_folders(staged: &[(PathBuf, Temporary)]) {
    for (real, _) in staged {
        sync_folder(real);
    }
}

/// Removes the marker and what was moved aside.
fn put_away(folder: &Path, token: &str, targets: &[PathBuf]) -> io::Result<()> {
    let marker = folder.join(MARKER);
    fs::remove_file(&marker)?;
    sync_folder(&marker);
    for target in targets {
        match fs::remove_file(previous_path(target, token)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(%error, target = %target.display(), "an old file stays aside");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The token of the save in the folder of a file whose files count, but have not all their names.
pub(super) fn pending(target: &Path) -> Option<String> {
    read_marker(target.parent()?).ok().flatten()
}

fn read_marker(folder: &Path) -> Result<Option<String>> {
    let marker = folder.join(MARKER);
    let found = match fs::symlink_metadata(&marker) {
        Ok(found) => found,
        // What is no folder has no marker; whoever reads it says so.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io(folder, error)),
    };
    let token = if found.is_file() && found.len() == 16 {
        match fs::read_to_string(&marker) {
            Ok(token) => token,
            // Whoever put it there has finished.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(marker, error)),
        }
    } else {
        String::new()
    };
    if is_token(&token) {
        Ok(Some(token))
    } else {
        Err(Error::format(
            marker,
            None,
            "this marker of an unfinished save is damaged; write the folder again, or remove the \
             marker when its files are known to belong together",
        ))
    }
}

/// Whether a save into the folder is under way, or was interrupted.
pub(in crate::io) fn is_unsettled(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(MARKER)).is_ok()
}

/// Finishes what a killed writer of the files `names` left in a folder, or waits for a living one.
///
/// # Errors
/// When the folder cannot be written to, or parts of the save are gone: its files must not be read,
/// as they may belong to different saves.
pub(in crate::io) fn finish(folder: &Path, names: &[&str]) -> Result<()> {
    if read_marker(folder)?.is_none() {
        return Ok(());
    }
    let lock = FolderLock::wait(folder)?;
    let start = Instant::now();
    while lock.0.is_none() && start.elapsed() < PATIENCE && is_unsettled(folder) {
        // Without locks, a writer that takes so long is taken for dead.
        thread::sleep(Duration::from_millis(10));
    }
    finish_locked(folder, names)
}

fn finish_locked(folder: &Path, names: &[&str]) -> Result<()> {
    let Some(token) = read_marker(folder)? else {
        return Ok(());
    };
    let failed = |source: io::Error| {
        Error::io(
            folder,
            io::Error::new(
                source.kind(),
                format!(
                    "a save into this folder was interrupted, and finishing it failed ({source}); \
                     its files do not belong together until it is finished: make the folder \
                     writable and read it again, or write it again"
                ),
            ),
        )
    };
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        targets.push(file_at(&folder.join(name))?.0);
    }
    let is_staged = |target: &Path| partial_path(target, &token).exists();
    if let Some(lost) = targets
        .iter()
        .find(|target| !target.exists() && !is_staged(target))
    {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is gone", lost.display()),
        )));
    }
    for target in targets.iter().rev() {
        if target.exists() && is_staged(target) {
            fs::rename(target, previous_path(target, &token)).map_err(failed)?;
        }
    }
    for target in &targets {
        if is_staged(target) {
            fs::rename(partial_path(target, &token), target).map_err(failed)?;
        }
        sync_folder(target);
    }
    put_away(folder, &token, &targets).map_err(failed)?;
    tracing::info!(folder = %folder.display(), "finished a save that was interrupted");
    Ok(())
}

/// A lock that writers of several files in a folder hold while they rename; `None` where the file
/// system has no locks.
struct FolderLock(Option<File>);

impl FolderLock {
    /// Waits for the lock, but not for ever.
    fn wait(folder: &Path) -> Result<Self> {
        let Ok(file) = File::open(folder) else {
            return Ok(Self(None));
        };
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Some(file))),
                Err(TryLockError::Error(_)) => return Ok(Self(None)),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::io(
                        folder,
                        io::Error::new(
                            io::ErrorKind::WouldBlock,
                            "another program keeps the folder locked; try again when it has \
                             finished, or use another folder",
                        ),
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b.gz", "c"];

    fn pieces(content: &'static str) -> Vec<Piece<'static>> {
        NAMES
            .map(|name| Piece::new(name, move |out| out.write_all(content.as_bytes())))
            .into()
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// What the files hold, after whatever was interrupted is finished.
    fn contents(folder: &Path) -> [String; 3] {
        use std::io::Read;
        finish(folder, &NAMES).unwrap();
        NAMES.map(|name| {
            let bytes = fs::read(folder.join(name)).unwrap();
            let mut text = String::new();
            if name.ends_with(".gz") {
                let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
                decoder.read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            text
        })
    }

    /// As a writer that is killed after so many steps; `None` when there are fewer.
    fn killed_after(steps: usize, folder: &Path, content: &'static str) -> Option<()> {
        let token = unpredictable();
        let staged = stage(folder, &token, pieces(content)).unwrap();
        let moves = moves(&token, &staged);
        if steps > 0 {
            announce(folder, &token, &staged).unwrap();
        }
        let done = moves.get(..steps.saturating_sub(1))?;
        for (from, to) in done {
            fs::rename(from, to).unwrap();
        }
        staged
            .into_iter()
            .for_each(|(_, temporary)| temporary.leave());
        Some(())
    }

    #[test]
    fn a_kill_at_any_step_leaves_all_old_or_all_new() {
        for has_old in [true, false] {
            for steps in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let folder = folder.path();
                if has_old {
                    write_together(folder, pieces("old")).unwrap();
                }
                if killed_after(steps, folder, "new").is_none() {
                    assert!(steps >= 4);
                    break;
                }
                // Others find the last file only beside its own.
                if folder.join("c").exists() {
                    let last = fs::read_to_string(folder.join("c")).unwrap();
                    let first = fs::read_to_string(folder.join("a")).unwrap();
                    assert_eq!(first, last, "killed after {steps} steps");
                }
                if steps > 0 {
                    assert_eq!(contents(folder), ["new"; 3], "killed after {steps} steps");
                    assert_eq!(entries(folder), NAMES);
                } else if has_old {
                    assert_eq!(contents(folder), ["old"; 3]);
                }
                // The next save is as if nothing had happened.
                killed_after(steps, folder, "new");
                write_together(folder, pieces("newer")).unwrap();
                assert_eq!(contents(folder), ["newer"; 3]);
                assert_eq!(entries(folder), NAMES);
            }
        }
    }

    #[test]
    fn a_save_of_one_of_the_files_leaves_what_an_interrupted_one_needs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_together(folder, pieces("old")).unwrap();
        killed_after(1, folder, "new").unwrap();
        super::super::write_bytes_atomically(&folder.join("a"), b"between").unwrap();
        assert_eq!(contents(folder), ["new"; 3]);
    }

    #[test]
    fn a_step_that_fails_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_together(folder, pieces("old")).unwrap();
        let token = unpredictable();
        let staged = stage(folder, &token, pieces("new")).unwrap();
        // The second new file is gone when it is to be renamed.
        fs::remove_file(staged[1].1.path()).unwrap();
        assert!(commit(folder, &token, staged).is_err());
        assert_eq!(contents(folder), ["old"; 3]);
        assert_eq!(entries(folder), NAMES);
    }

    #[test]
    fn a_failure_before_all_are_written_leaves_the_old_files() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_together(folder, pieces("old")).unwrap();
        let mut failing = pieces("new");
        failing[2] = Piece::new("c", |_| Err(io::ErrorKind::StorageFull.into()));
        let error = write_together(folder, failing).unwrap_err();
        assert!(
            matches!(&error, Error::Io { path, .. } if path.ends_with("c")),
            "{error}"
        );
        assert_eq!(contents(folder), ["old"; 3]);
        assert_eq!(entries(folder), NAMES);
    }

    #[test]
    fn what_cannot_be_finished_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_together(folder, pieces("old")).unwrap();
        for content in [
            "",
            "0123456789abcde",
            "../../../../../x",
            "0123456789abcdef0",
        ] {
            fs::write(folder.join(MARKER), content).unwrap();
            let message = finish(folder, &NAMES).unwrap_err().to_string();
            assert!(message.contains("is damaged"), "{message}");
        }
        fs::remove_file(folder.join(MARKER)).unwrap();
        // The last file was moved aside, and the new one is gone.
        let token = unpredictable();
        let staged = stage(folder, &token, pieces("new")).unwrap();
        announce(folder, &token, &staged).unwrap();
        fs::rename(folder.join("c"), previous_path(&folder.join("c"), &token)).unwrap();
        drop(staged);
        let message = finish(folder, &NAMES).unwrap_err().to_string();
        assert!(message.contains("was interrupted"), "{message}");
        assert!(message.contains("is gone"), "{message}");
        assert!(previous_path(&folder.join("c"), &token).exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_of_a_folder_stay() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let real = elsewhere.path().join("real");
        std::os::unix::fs::symlink(&real, folder.join("c")).unwrap();
        write_together(folder, pieces("old")).unwrap();
        for steps in 1..7 {
            killed_after(steps, folder, "new").unwrap();
            assert_eq!(contents(folder), ["new"; 3]);
            write_together(folder, pieces("old")).unwrap();
            assert_eq!(contents(folder), ["old"; 3]);
        }
        assert!(fs::symlink_metadata(folder.join("c")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "old");
        assert_eq!(entries(elsewhere.path()), ["real"]);
    }
}
