//! Row 27: inputs that are no files, which must neither block nor exhaust memory.

use std::sync::mpsc;
use std::time::Duration;

use celldec::io::{CountFormat, read_counts, read_labels, read_table};
use celldec::{Error, Result};

use super::*;

/// The error of a reader, which must come at once.
fn refusal<T>(path: &Path, read: impl FnOnce(&Path) -> Result<T> + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_path_buf();
    std::thread::spawn(move || sender.send(read(&path).map(|_| ()).map_err(|e| e.to_string())));
    receiver
        .recv_timeout(Duration::from_secs(20))
        .expect("the reader blocks")
        .expect_err("the reader is content")
}

pub fn row_27_a_pipe_without_a_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pipe.csv", "pipe.csv.gz", "pipe.h5ad", "pipe.h5", "pipe"] {
        let pipe = folder.path().join(name);
        let made = Command::new("mkfifo").arg(&pipe).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: needs mkfifo");
            return;
        }
        #[cfg_attr(
            not(feature = "h5ad"),
            allow(unused_mut, reason = "other readers come with HDF5")
        )]
        let mut messages = vec![
            refusal(&pipe, |path| CountFormat::of(path)),
            refusal(&pipe, |path| read_counts(path)),
            refusal(&pipe, |path| read_table(path)),
            refusal(&pipe, |path| read_labels(path, None)),
        ];
        #[cfg(feature = "h5ad")]
        {
            use celldec::io::{CellResults, H5adOptions, H5adResults, read_10x_h5, read_h5ad};
            messages.push(refusal(&pipe, |path| read_h5ad(path)));
            messages.push(refusal(&pipe, |path| read_10x_h5(path)));
            messages.push(refusal(&pipe, |path| H5adOptions::new().open(path)));
            messages.push(refusal(&pipe, |path| {
                let results = H5adResults::new().with("x", CellResults::new(vec![0]));
                results.write(path, path.with_extension("out.h5ad"))
            }));
        }
        for message in messages {
            assert!(message.contains("it is a pipe (FIFO)"), "{message}");
            assert!(message.contains(name), "{message}");
        }
    }
}

pub fn row_27_a_device_without_an_end_is_refused() {
    let zero = Path::new("/dev/zero");
    for message in [
        refusal(zero, |path| read_counts(path)),
        refusal(zero, |path| read_table(path)),
        refusal(zero, |path| read_labels(path, None)),
    ] {
        assert!(message.contains("it is a device"), "{message}");
    }
    // Under a name of its own, too.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("table.csv");
    std::os::unix::fs::symlink(zero, &link).unwrap();
    let message = refusal(&link, |path| read_table(path));
    assert!(message.contains("it is a device"), "{message}");
}

pub fn row_27_a_pipe_in_a_10x_folder_is_not_its_matrix() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["barcodes.tsv", "features.tsv"] {
        fs::write(folder.path().join(name), "x\n").unwrap();
    }
    let pipe = folder.path().join("matrix.mtx");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: needs mkfifo");
        return;
    }
    let message = refusal(folder.path(), |path| read_counts(path));
    assert!(message.contains("no matrix file"), "{message}");
    assert!(matches!(read_counts(&pipe), Err(Error::Format { .. })));
}
