//! 10x `.h5` matrices: their bytes and their content.

use std::path::Path;

use celldec::Result;
use celldec::io::{GeneNames, TenxH5Options, read_10x_h5, read_counts};

use super::mtx::folder_choice;
use super::table::only_file;
use super::{Target, check, fixture, outcome};
use crate::hdf5::{self, Checksums};
use crate::input::Input;
use crate::random::Random;

const FILE: &str = "matrix.h5";

fn fixtures() -> Vec<Input> {
    let mut random = Random::new(1, &[]);
    let made = (0..6).filter_map(|_| hdf5::tenx(&mut random));
    let fixtures = [
        fixture!("tenx/version_2.h5"),
        fixture!("tenx/version_3.h5"),
        fixture!("tenx/two_genomes.h5"),
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
    let counts = match folder_choice(folder) % 4 {
        0 => read_10x_h5(&path)?,
        1 => TenxH5Options::new()
            .with_gene_names(GeneNames::Ids)
            .with_all_feature_types(true)
            .read(&path)?,
        2 => TenxH5Options::new().with_genome("GRCh38").read(&path)?,
        _ => read_counts(&path)?,
    };
    check(&counts);
    Ok(())
}

/// Changed bytes.
#[derive(Default)]
pub struct Bytes(Checksums);

impl Target for Bytes {
    fn name(&self) -> &'static str {
        "10x h5"
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
        "10x h5 content"
    }

    fn seeds(&self) -> Vec<Input> {
        fixtures()
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, _: &Input, _: usize) {
        if let Some(data) = hdf5::tenx(random) {
            *input = Input::file(FILE, data);
        }
    }

    fn run(&self, folder: &Path) -> String {
        outcome(read(folder))
    }
}
