//! Row 33: writers that are killed at any moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use celldec::Error;
use celldec::io::{read_10x_mtx, read_labels, read_table, write_10x_mtx, write_columns_csv};

use super::*;

const CELLS: usize = 60;

/// How often each writer is killed: `CELLDEC_KILLS`, else a few times.
pub fn kills() -> u64 {
    let asked = std::env::var("CELLDEC_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// How many were killed in this run.
pub static KILLED: AtomicU64 = AtomicU64::new(0);

/// When to kill: a pseudo-random number of microseconds.
pub fn moment(kill: u64) -> Duration {
    let mixed = (kill + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Duration::from_micros(mixed % 30_000)
}

/// Waits until the other program has begun to write.
pub fn begun(folder: &Path) {
    for _ in 0..20_000 {
        if folder.join("begun").exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the other program did not begin");
}

fn kill_again_and_again(test: &str, variable: &str, folder: &Path, check: impl Fn()) {
    for kill in 0..kills() {
        let marker = folder.join("begun");
        if marker.exists() {
            fs::remove_file(&marker).unwrap();
        }
        let writer = Killed(again(test, variable, folder).spawn().unwrap());
        begun(folder);
        std::thread::sleep(moment(kill));
        drop(writer);
        KILLED.fetch_add(1, Ordering::Relaxed);
        check();
    }
}

pub fn row_33_files_that_belong_together_are_all_old_or_all_new() {
    const TEST: &str = "killed::row_33_files_that_belong_together_are_all_old_or_all_new";
    const FOLDER: &str = "CELLDEC_KILLED_TOGETHER";
    if let Some(folder) = folder_of(FOLDER) {
        fs::write(folder.join("begun"), b"").unwrap();
        let both = ["A", "B"].map(|name| counts(name, CELLS));
        for one in both.iter().cycle() {
            write_10x_mtx(folder.join("counts"), one).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("counts");
    let both = ["A", "B"].map(|name| counts(name, CELLS));
    write_10x_mtx(&saved, &both[0]).unwrap();
    let read = || {
        let found = read_10x_mtx(&saved).unwrap();
        assert!(both.contains(&found), "files of different saves");
    };
    kill_again_and_again(TEST, FOLDER, folder.path(), read);
    write_10x_mtx(&saved, &both[1]).unwrap();
    assert_eq!(read_10x_mtx(&saved).unwrap(), both[1]);
    assert_eq!(
        names_in(&saved),
        ["barcodes.tsv.gz", "features.tsv.gz", "matrix.mtx.gz"]
    );
}

/// A reader beside a writer sees one save or another, whole.
pub fn row_33_a_reader_beside_a_writer_sees_one_save() {
    const TEST: &str = "killed::row_33_a_reader_beside_a_writer_sees_one_save";
    const FOLDER: &str = "CELLDEC_BESIDE";
    if let Some(folder) = folder_of(FOLDER) {
        fs::write(folder.join("begun"), b"").unwrap();
        let both = ["A", "B"].map(|name| counts(name, 5));
        for one in both.iter().cycle() {
            write_10x_mtx(folder.join("counts"), one).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("counts");
    let both = ["A", "B"].map(|name| counts(name, 5));
    write_10x_mtx(&saved, &both[0]).unwrap();
    let _writer = Killed(again(TEST, FOLDER, folder.path()).spawn().unwrap());
    begun(folder.path());
    let mut read = 0;
    for _ in 0..300 {
        match read_10x_mtx(&saved) {
            Ok(found) => {
                assert!(both.contains(&found), "files of different saves");
                read += 1;
            }
            // The writer does nothing else, so a reader may find no moment of rest.
            Err(Error::Format { reason, .. }) => {
                assert!(reason.contains("replaced again and again"), "{reason}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(read > 0);
}

pub fn row_33_a_table_is_old_or_new_and_nothing_is_left() {
    const TEST: &str = "killed::row_33_a_table_is_old_or_new_and_nothing_is_left";
    const FOLDER: &str = "CELLDEC_KILLED_TABLE";
    let cells: Vec<String> = (0..3000).map(|cell| format!("cell {cell}")).collect();
    let labels = |name: &str| vec![name.to_string(); cells.len()];
    let write = |folder: &Path, name: &str| {
        let path = folder.join("labels.csv");
        write_columns_csv(path, &[("cell", &cells), ("label", &labels(name))]).unwrap();
    };
    if let Some(folder) = folder_of(FOLDER) {
        fs::write(folder.join("begun"), b"").unwrap();
        for name in ["A", "B"].iter().cycle() {
            write(&folder, name);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "A");
    let path = folder.path().join("labels.csv");
    kill_again_and_again(TEST, FOLDER, folder.path(), || {
        let found = read_labels(&path, None).unwrap();
        assert_eq!(found.len(), cells.len());
        assert!(found.iter().all(|(_, label)| *label == found[0].1));
    });
    write(folder.path(), "B");
    assert_eq!(names_in(folder.path()), ["begun", "labels.csv"]);
    assert!(read_table(&path).is_err());
}

#[cfg(feature = "h5ad")]
pub fn row_33_an_annotated_file_is_old_or_new_and_nothing_is_left() {
    use celldec::io::{AnnotatedCounts, CellResults, H5adOptions, H5adResults, write_h5ad};
    const TEST: &str = "killed::row_33_an_annotated_file_is_old_or_new_and_nothing_is_left";
    const FOLDER: &str = "CELLDEC_KILLED_H5AD";
    if let Some(folder) = folder_of(FOLDER) {
        fs::write(folder.join("begun"), b"").unwrap();
        let path = folder.join("cells.h5ad");
        for cluster in (0..2).cycle() {
            H5adResults::new()
                .with_overwrite(true)
                .with("found", CellResults::new(vec![cluster; CELLS]))
                .write(&path, &path)
                .unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    let original = counts("A", CELLS);
    write_h5ad(&path, &AnnotatedCounts::new(original.clone())).unwrap();
    kill_again_and_again(TEST, FOLDER, folder.path(), || {
        let found = H5adOptions::new().read(&path).unwrap();
        assert_eq!(found.counts, original);
        if let Some(column) = found.cell_annotations.get("found") {
            let labels = column.labels();
            assert!(labels.iter().all(|label| *label == labels[0]));
        }
    });
    write_h5ad(&path, &AnnotatedCounts::new(original)).unwrap();
    assert_eq!(names_in(folder.path()), ["begun", "cells.h5ad"]);
}

/// Models are written by one call, too: what is read is whole.
pub fn row_33_a_model_is_old_or_new_and_nothing_is_left() {
    const TEST: &str = "killed::row_33_a_model_is_old_or_new_and_nothing_is_left";
    const FOLDER: &str = "CELLDEC_KILLED_MODEL";
    let fits = || {
        let cells = simulated(40, 20, 1);
        [1, 2].map(|seed| fitted(&scdcc(3).with_epochs(1, 1).with_seed(seed), &cells))
    };
    if let Some(folder) = folder_of(FOLDER) {
        let fits = fits();
        fs::write(folder.join("begun"), b"").unwrap();
        for fit in fits.iter().cycle() {
            fit.model().save(folder.join("model")).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let fits = fits();
    let saved = fits.each_ref().map(|fit| {
        fit.model().save(&path).unwrap();
        fs::read(&path).unwrap()
    });
    kill_again_and_again(TEST, FOLDER, folder.path(), || {
        ScdccModel::load(&path, &cpu()).unwrap();
        assert!(saved.contains(&fs::read(&path).unwrap()));
    });
    fits[0].model().save(&path).unwrap();
    assert_eq!(names_in(folder.path()), ["begun", "model"]);
    println!("{} kills so far", KILLED.load(Ordering::Relaxed));
}
