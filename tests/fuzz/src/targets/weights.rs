//! Weights of the original scDCC.

use std::path::Path;

use celldec::model::read_scdcc_weights;
use celldec::prelude::Device;

use super::table::only_file;
use super::{MOST, Target, fixture, outcome};
use crate::input::Input;
use crate::random::Random;
use crate::zip;

/// A zip archive of a pickle and of numbers.
pub struct Weights;

impl Target for Weights {
    fn name(&self) -> &'static str {
        "pth.tar"
    }

    fn seeds(&self) -> Vec<Input> {
        [
            fixture!("d_tiny_FTcheckpoint_1.pth.tar"),
            fixture!("d_tiny_AE_weights.pth.tar"),
        ]
        .map(|data| Input::file("weights.pth.tar", data))
        .to_vec()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        let donor = other.files.first().map_or(&[][..], |(_, data)| data);
        for (_, data) in &mut input.files {
            for _ in 0..times {
                zip::change(random, data, donor, MOST);
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        outcome(read_scdcc_weights(only_file(folder), &Device::default()))
    }
}
