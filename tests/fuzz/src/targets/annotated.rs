//! AnnData files: their bytes, their content, and writing results into them.

use std::path::Path;

use celldec::Result;
use celldec::counts::CountSource;
use celldec::io::{AnnotatedCounts, CellResults, CountFormat, H5adOptions, H5adResults, read_h5ad};
use celldec::ndarray::Array2;

use super::mtx::folder_choice;
use super::table::only_file;
use super::{Target, check, fixture, outcome};
use crate::hdf5::{self, Checksums};
use crate::input::Input;
use crate::random::Random;

const FILE: &str = "cells.h5ad";

fn fixtures() -> Vec<Input> {
    let mut random = Random::new(1, &[]);
    let made = (0..6).filter_map(|_| hdf5::annotated(&mut random));
    let fixtures = [
        fixture!("h5ad/matrices.h5ad"),
        fixture!("h5ad/annotations.h5ad"),
        fixture!("h5ad/legacy.h5ad"),
        fixture!("h5ad/anndata_0_7.h5ad"),
    ];
    let fixtures = fixtures.map(<[u8]>::to_vec);
    fixtures
        .into_iter()
        .chain(made)
        .map(|data| Input::file(FILE, data))
        .collect()
}

fn read(folder: &Path) -> Result<()> {
    let path = only_file(folder);
    let choice = folder_choice(folder);
    let options = match choice % 6 {
        0 => H5adOptions::new().with_raw(),
        1 => H5adOptions::new().with_layer("counts"),
        2 => {
            let layers = [
                "csc",
                "dense_f64",
                "dense_u16",
                "dense_f16",
                "bool",
                "csc_i64",
            ];
            H5adOptions::new().with_layer(layers[(choice / 6) as usize % layers.len()])
        }
        3 => H5adOptions::new().with_embeddings(["X_pca"]),
        _ => H5adOptions::new(),
    };
    if choice.is_multiple_of(5) {
        CountFormat::of(&path)?;
    }
    if choice.is_multiple_of(2) {
        let AnnotatedCounts {
            counts,
            cell_annotations,
            ..
        } = options.read(&path)?;
        check(&counts);
        for (name, column) in cell_annotations.iter() {
            assert_eq!(column.len(), counts.cells(), "{name}");
            assert_eq!(column.labels().len(), counts.cells(), "{name}");
        }
        return Ok(());
    }
    let source = options.open(&path)?;
    let cells = source.cell_names().len();
    let size = source.block().clamp(1, cells.max(1));
    for start in (0..cells).step_by(size) {
        let rows = source.read_window(start..cells.min(start + size))?;
        for row in 0..cells.min(start + size) - start {
            let (indices, values) = rows.row(row);
            assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(values.iter().all(|&v| v > 0.0 && v.is_finite()));
        }
    }
    if cells > 2 {
        source.read_cells(&[cells - 1, 0, cells / 2])?;
    }
    source.cell_annotations()?;
    Ok(())
}

/// Changed bytes.
#[derive(Default)]
pub struct Bytes(Checksums);

impl Target for Bytes {
    fn name(&self) -> &'static str {
        "h5ad"
    }

    fn seeds(&self) -> Vec<Input> {
        fixtures()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, _: &Input, times: usize) {
        let name = input.choice();
        for (_, data) in &mut input.files {
            self.0.change(random, name, data, times);
        }
    }

    fn run(&self, folder: &Path) -> String {
        outcome(read(folder))
    }
}

/// Made-up content.
pub struct Content;

impl Target for Content {
    fn name(&self) -> &'static str {
        "h5ad content"
    }

    fn seeds(&self) -> Vec<Input> {
        fixtures()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, _: &Input, _: usize) {
        if let Some(data) = hdf5::annotated(random) {
            *input = Input::file(FILE, data);
        }
    }

    fn run(&self, folder: &Path) -> String {
        outcome(read(folder))
    }
}

/// Results that are written into hostile files.
#[derive(Default)]
pub struct Results(Checksums);

impl Target for Results {
    fn name(&self) -> &'static str {
        "h5ad results"
    }

    fn seeds(&self) -> Vec<Input> {
        fixtures()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, _: &Input, times: usize) {
        if random.one_in(2)
            && let Some(data) = hdf5::annotated(random)
        {
            *input = Input::file(FILE, data);
            return;
        }
        let name = input.choice();
        for (_, data) in &mut input.files {
            self.0.change(random, name, data, times);
        }
    }

    fn run(&self, folder: &Path) -> String {
        let path = only_file(folder);
        let before = std::fs::read(&path).expect("the input");
        let cells = match H5adOptions::new().with_annotations([""; 0]).open(&path) {
            Ok(source) => source.cell_names().len().min(10_000),
            Err(_) => 5,
        };
        let results = CellResults::new((0..cells).map(|cell| cell % 3).collect())
            .with_confidence(vec![0.5; cells])
            .with_embedding(Array2::zeros((cells, 2)));
        let results = H5adResults::new()
            .with_overwrite(true)
            .with("found", results);
        let written = folder.join("written.h5ad");
        let result = results.write(&path, &written);
        assert!(
            std::fs::read(&path).is_ok_and(|after| after == before),
            "the input changed"
        );
        match &result {
            // What was written is as sound as what it was made of.
            Ok(_) => {
                if read_h5ad(&path).is_ok() {
                    let after = read_h5ad(&written).expect("what was just written");
                    check(&after.counts);
                    assert!(after.cell_annotations.get("found").is_some());
                }
            }
            Err(_) => assert!(!written.exists(), "an error, and a file"),
        }
        outcome(result)
    }
}
