//! 10x folders.

use std::path::Path;

use celldec::io::{GeneNames, MtxOptions, read_10x_mtx, read_counts, write_10x_mtx};

use super::{MOST, Target, check, outcome};
use crate::gzip;
use crate::input::Input;
use crate::random::Random;
use crate::text;

/// A 10x folder of which one file is hostile.
pub struct Mtx {
    name: &'static str,
    /// How the name of the hostile file begins.
    part: &'static [&'static str],
}

impl Mtx {
    pub fn matrix() -> Self {
        Self {
            name: "mtx",
            part: &["matrix"],
        }
    }

    pub fn features() -> Self {
        Self {
            name: "features",
            part: &["features", "genes"],
        }
    }

    pub fn barcodes() -> Self {
        Self {
            name: "barcodes",
            part: &["barcodes"],
        }
    }
}

const ENTRIES: &str = "3 4 5\n1 1 3\n2 1 1\n3 2 7\n1 3 2\n2 4 1\n";

impl Target for Mtx {
    fn name(&self) -> &'static str {
        self.name
    }

    fn seeds(&self) -> Vec<Input> {
        let barcodes = "AAAC-1\nAAAG-1\nAACC-1\nAACG-1\n";
        let features = "ENSG1\tCD3E\tGene Expression\nENSG2\tLYZ\tGene Expression\n\
                        ENSG3\tCD8\tAntibody Capture\n";
        let banner = "%%MatrixMarket matrix coordinate";
        let comment = "%metadata_json: {\"software_version\": \"3\"}\n";
        let folder = |matrix: String, features: (&str, &str), packed: bool| {
            let files = [
                ("matrix.mtx", matrix.as_str()),
                ("barcodes.tsv", barcodes),
                features,
            ];
            let files = files.into_iter().map(|(name, text)| {
                if packed {
                    (format!("{name}.gz"), gzip::packed(text.as_bytes()))
                } else {
                    (name.to_string(), text.as_bytes().to_vec())
                }
            });
            Input {
                files: files.collect(),
            }
        };
        let features = ("features.tsv", features);
        vec![
            folder(
                format!("{banner} integer general\n{comment}{ENTRIES}"),
                features,
                true,
            ),
            folder(
                format!("{banner} integer general\n{ENTRIES}"),
                features,
                false,
            ),
            folder(
                format!("{banner} real general\n%\n3 4 2\n1 1 1.5e0\n3 4 2.0\n"),
                ("genes.tsv", "ENSG1\tCD3E\nENSG2\tCD3E\nENSG3\tLYZ\n"),
                false,
            ),
            folder(
                format!("{banner} pattern general\n3 4 1\n2 2\n"),
                features,
                false,
            ),
            folder(
                format!("{banner} integer symmetric\n3 4 1\n2 2 1\n"),
                features,
                false,
            ),
        ]
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        let donor = other.files.iter().find(|(name, _)| self.is_part(name));
        let donor = donor.map(|(_, data)| data.clone()).unwrap_or_default();
        for (name, data) in &mut input.files {
            if self.is_part(name) {
                gzip::change(random, name, data, |random, data| {
                    for _ in 0..times {
                        text::change(random, data, &donor, MOST);
                    }
                });
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        let choice = folder_choice(folder);
        let result = match choice % 4 {
            0 => read_10x_mtx(folder),
            1 => MtxOptions::new()
                .with_all_feature_types(true)
                .with_gene_names(GeneNames::Ids)
                .read(folder),
            2 => MtxOptions::new()
                .with_feature_type("Antibody Capture")
                .read(folder),
            _ => read_counts(folder),
        };
        if let Ok(counts) = &result {
            check(counts);
            if choice.is_multiple_of(64) && counts.cells() < 1000 && counts.genes() < 1000 {
                let copy = folder.join("copy");
                let names = || counts.cell_names().iter().chain(counts.gene_names());
                let written = write_10x_mtx(&copy, counts);
                if names().any(|name| name.starts_with('"')) {
                    written.expect_err("a name that would be read otherwise");
                } else {
                    written.expect("a folder to write to");
                    let again = read_10x_mtx(&copy).expect("what was just written");
                    assert_eq!(&again, counts, "written and read again");
                }
            }
        }
        outcome(result)
    }
}

impl Mtx {
    fn is_part(&self, name: &str) -> bool {
        self.part.iter().any(|part| name.starts_with(part))
    }
}

/// A number that the files of a folder decide.
pub(super) fn folder_choice(folder: &Path) -> u64 {
    Input::read(folder).map_or(0, |input| input.choice())
}
