//! The folder of the results: what a run writes there, and what was there before.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use celldec::io::check_writable;
use celldec::prelude::*;

use crate::refusal::conflict;

/// Files that are replaced when they are there.
const FILES: [&str; 11] = [
    "model.safetensors",
    "labels.csv",
    "soft_assignments.csv",
    "embedding.csv",
    "history.csv",
    "markers.csv",
    "consensus.csv",
    "denoised.csv.gz",
    "umap.csv",
    "missing_genes.csv",
    "report.html",
];
const ANNOTATED: [&str; 2] = ["cells.h5ad", "cells.h5mu"];
const PROJECTIONS: [&str; 3] = ["pca", "tsne", "umap"];
/// What is drawn of each projection.
const DRAWN: [&str; 3] = ["clusters", "confidence", "labels"];
const PICTURES: [&str; 3] = ["clusters_and_labels", "confidence", "training"];
/// What folders of several resolutions begin with.
const RESOLUTION: &str = "resolution_";

/// Whether results are called so.
fn is_result(name: &str) -> bool {
    let drawn_of = |projection: &str, rest: &str| {
        rest.strip_prefix(projection)
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|what| DRAWN.contains(&what))
    };
    let Some((stem, extension)) = name.split_once('.') else {
        return name.starts_with(RESOLUTION);
    };
    match extension {
        _ if FILES.contains(&name) || ANNOTATED.contains(&name) => true,
        "csv" => PROJECTIONS.contains(&stem),
        "png" | "svg" => {
            PICTURES.contains(&stem) || PROJECTIONS.iter().any(|name| drawn_of(name, stem))
        }
        _ => name.starts_with(RESOLUTION),
    }
}

/// Results in a folder, which may not exist.
fn results(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_result))
}

/// Makes the folder, and says when. One that cannot be written is better known now than after
/// training.
pub fn make(folder: &Path) -> Result<Option<SystemTime>> {
    let probe = folder.join(format!(".celldec-{}", std::process::id()));
    let made = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, b""))
        .and_then(|()| fs::metadata(&probe))
        .and_then(|about| fs::remove_file(&probe).map(|()| about.modified().ok()));
    let made = made.map_err(|source| {
        conflict(format!(
            "--output {}: no folder that can be written ({source}); choose another",
            folder.display()
        ))
    })?;
    for name in FILES {
        let path = folder.join(name);
        if path.exists() {
            check_writable(path)?;
        }
    }
    Ok(made)
}

/// Refuses a folder in which results would replace what is read.
pub fn refuse_inputs<'a>(folder: &Path, inputs: impl Iterator<Item = &'a Path>) -> Result<()> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let of_folder = real(folder);
    let of_results: Vec<_> = results(folder)
        .filter_map(|entry| real(&entry.path()))
        .collect();
    for input in inputs {
        let Some(path) = real(input) else { continue };
        if Some(&path) == of_folder.as_ref() {
            return Err(conflict(format!(
                "--output {} is the folder that is read, whose files results could replace; choose \
                 another",
                folder.display()
            )));
        }
        if of_results.contains(&path) {
            return Err(conflict(format!(
                "{} is read, and results in --output {} would replace it; choose another folder",
                input.display(),
                folder.display()
            )));
        }
    }
    Ok(())
}

/// The names of results that were in a folder before.
pub fn earlier(folder: &Path, than: SystemTime) -> Vec<String> {
    let is_earlier = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|about| about.modified());
        modified.is_ok_and(|modified| modified < than)
    };
    let mut names: Vec<String> = results(folder)
        .filter(is_earlier)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_known_by_name() {
        for name in [
            "labels.csv",
            "denoised.csv.gz",
            "cells.h5ad",
            "tsne.csv",
            "tsne_clusters.png",
            "pca_labels.svg",
            "training.png",
            "resolution_0.3",
            "resolution_1",
        ] {
            assert!(is_result(name), "{name}");
        }
        for name in ["counts.csv", "notes", "tsne_notes.png", "pca.txt", ".h5ad"] {
            assert!(!is_result(name), "{name}");
        }
    }
}
