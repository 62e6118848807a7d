//! Checkpoints that a fit is to resume from.

use std::path::Path;

use celldec::prelude::Cells;

use super::table::only_file;
use super::training::{cells, fit};
use super::{MOST, Target, outcome};
use crate::input::Input;
use crate::random::Random;
use crate::tensor_file;

/// What a fit leaves behind when it is interrupted or has ended.
pub struct Checkpoint(Cells);

impl Checkpoint {
    pub fn new() -> Self {
        Self(cells())
    }
}

impl Target for Checkpoint {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn seeds(&self) -> Vec<Input> {
        (1..=4)
            .map(|epochs| {
                let folder = tempfile::tempdir().expect("a folder");
                let path = folder.path().join("checkpoint");
                fit(&self.0, &path, epochs).expect("a fit");
                Input::file(
                    "fit.checkpoint",
                    std::fs::read(&path).expect("a checkpoint"),
                )
            })
            .collect()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        let donor = other.files.first().map_or(&[][..], |(_, data)| data);
        for (_, data) in &mut input.files {
            for _ in 0..times {
                tensor_file::change(random, data, donor, MOST);
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        outcome(fit(&self.0, &only_file(folder), usize::MAX))
    }
}
