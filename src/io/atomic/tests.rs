use std::fs;

use super::temporary::{partial_path, unpredictable};
use super::*;

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

fn disk_full(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[b'x'; 1 << 18])?;
    Err(io::Error::new(io::ErrorKind::StorageFull, "disk full"))
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.csv.gz");
    write_atomically(&path, |out| out.write_all(b"old")).unwrap();
    let old = fs::read(&path).unwrap();
    let failed = write_atomically(&path, disk_full);
    assert!(
        matches!(failed, Err(Error::Io { cause, .. }) if cause.kind() == io::ErrorKind::StorageFull)
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
    let error = write_atomically(folder.path(), |out| out.write_all(b"x")).unwrap_err();
    assert!(error.to_string().contains("it is a folder"), "{error}");
}

#[test]
fn names_as_long_as_the_file_system_allows_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for name in [
        "x".repeat(255),
        "x".repeat(254) + "y",
        "ü".repeat(127),
        ".".to_string() + &"z".repeat(234),
    ] {
        let path = folder.path().join(&name);
        for content in [b"old", b"new"] {
            write_bytes_atomically(&path, content).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
        expected.push(name);
    }
    expected.sort_unstable();
    assert_eq!(entries(folder.path()), expected);
}

#[cfg(unix)]
#[test]
fn leftovers_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.csv");
    let other = folder.path().join("other.csv");
    let dead = partial_path(&path, &unpredictable());
    let of_another_target = partial_path(&other, &unpredictable());
    fs::write(&dead, b"left behind").unwrap();
    fs::write(&of_another_target, b"left behind").unwrap();
    // Nobody's temporary files: the names only look like them.
    let alike = [
        partial_path(&path, "0123"),
        folder.path().join(".result.csv.partial"),
        folder.path().join(".result.csv.1-0.partial"),
    ];
    for path in &alike {
        fs::write(path, b"not ours").unwrap();
    }
    let link = partial_path(&path, &unpredictable());
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let living = Temporary::create(&path, None).unwrap();

    write_bytes_atomically(&path, b"new").unwrap();
    assert!(!dead.exists());
    assert!(living.path().exists());
    assert!(of_another_target.exists());
    assert!(alike.iter().all(|path| path.exists()));
    assert!(fs::symlink_metadata(&link).is_ok());
    let failed = write_atomically(&path, disk_full);
    assert!(failed.is_err());
    assert!(living.path().exists() && alike.iter().all(|path| path.exists()));

    // The living one is complete before the next writer, or is left behind.
    let path_of_living = living.path().to_path_buf();
    living.leave();
    assert!(path_of_living.exists());
    write_bytes_atomically(&path, b"newer").unwrap();
    assert!(!path_of_living.exists());
    assert_eq!(fs::read(&path).unwrap(), b"newer");
}

#[test]
fn temporary_names_cannot_be_predicted() {
    let tokens: std::collections::HashSet<String> = (0..1000).map(|_| unpredictable()).collect();
    assert_eq!(tokens.len(), 1000);
    assert!(tokens.iter().all(|token| temporary::is_token(token)));
}

#[cfg(unix)]
#[test]
fn what_was_secret_is_secret_from_the_first_byte() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.csv");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for wanted in [0o600, 0o640, 0o666, 0o200] {
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
        let mut seen = Vec::new();
        write_atomically(&path, |out| {
            out.write_all(b"secret")?;
            for name in entries(folder.path()) {
                seen.push(mode(&folder.path().join(name)));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [wanted, wanted]);
        assert_eq!(mode(&path), wanted);
    }
    // A new file is what it is for every program.
    fs::write(folder.path().join("plain"), b"x").unwrap();
    write_bytes_atomically(&folder.path().join("new"), b"x").unwrap();
    assert_eq!(
        mode(&folder.path().join("new")),
        mode(&folder.path().join("plain"))
    );
}

#[cfg(unix)]
#[test]
fn owner_and_group_stay() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.csv");
    fs::write(&path, b"old").unwrap();
    if chown(&path, Some(12_345), Some(23_456)).is_err() {
        println!("skipped: only root can give files to others");
        return;
    }
    write_bytes_atomically(&path, b"new").unwrap();
    let new = fs::metadata(&path).unwrap();
    assert_eq!((new.uid(), new.gid()), (12_345, 23_456));
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[cfg(unix)]
#[test]
fn links_stay_and_lead_to_the_new_content() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let real = below.join("real.csv");
    let relative = folder.path().join("relative.csv");
    let absolute = below.join("absolute.csv");
    symlink("below/real.csv", &relative).unwrap();
    symlink(&relative, &absolute).unwrap();
    // The first write makes the file that the links lead to.
    for (path, content) in [(&relative, b"1"), (&absolute, b"2"), (&real, b"3")] {
        write_bytes_atomically(path, content).unwrap();
        for path in [&real, &relative, &absolute] {
            assert_eq!(fs::read(path).unwrap(), content);
        }
    }
    for link in [&relative, &absolute] {
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
    assert_eq!(entries(folder.path()), ["below", "relative.csv"]);
    assert_eq!(entries(&below), ["absolute.csv", "real.csv"]);

    let circle = folder.path().join("circle");
    symlink(&circle, &circle).unwrap();
    let error = write_bytes_atomically(&circle, b"x").unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_written_to_and_stay() {
    use std::io::Read;
    use std::os::unix::fs::FileTypeExt;
    write_bytes_atomically(Path::new("/dev/null"), b"x").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: needs mkfifo");
        return;
    }
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut content = Vec::new();
            File::open(pipe).unwrap().read_to_end(&mut content).unwrap();
            content
        }
    });
    write_bytes_atomically(&pipe, b"through the pipe").unwrap();
    assert_eq!(reader.join().unwrap(), b"through the pipe");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(entries(folder.path()), ["pipe"]);

    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = write_bytes_atomically(&socket, b"x").unwrap_err();
    assert!(error.to_string().contains("it is a socket"), "{error}");
    #[cfg(feature = "h5ad")]
    {
        let error = replace_atomically(&pipe, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
    }
}
