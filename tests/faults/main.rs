//! Faults of files and disks, as the numbered rows of the project's list of faults: none may cost a
//! result, give a wrong one or block for ever.
#![cfg(unix)]

mod disk;
mod killed;
mod special;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use celldec::counts::CountMatrix;

/// Counts whose names say which they are; all have the same shape, so that mixtures would be read.
fn counts(name: &str, cells: usize) -> CountMatrix {
    let genes = 40;
    let number: usize = name.bytes().map(usize::from).sum();
    let dense = ndarray::Array2::from_shape_fn((cells, genes), |(cell, gene)| {
        ((cell * 31 + gene * 17 + number) % 5) as f32
    });
    let names = |count: usize, of: &str| (0..count).map(|i| format!("{name} {of} {i}")).collect();
    CountMatrix::from_dense(dense.view())
        .unwrap()
        .with_names(names(cells, "cell"), names(genes, "gene"))
        .unwrap()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// This program once more, to run one test, which finds `folder` in the environment variable.
fn again(test: &str, variable: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(variable, folder)
        .stdout(Stdio::null());
    command
}

/// The folder when this is the program that [`again`] starts.
fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// Ends with the value, also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
