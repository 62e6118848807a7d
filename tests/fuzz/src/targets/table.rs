//! Delimited tables of counts and of labels.

use std::path::{Path, PathBuf};

use celldec::io::{CountFormat, TableOptions, read_labels, read_table};

use super::mtx::folder_choice;
use super::{MOST, Target, check, outcome};
use crate::gzip;
use crate::input::Input;
use crate::random::Random;
use crate::text;

/// The only file of a folder.
pub(super) fn only_file(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).expect("the folder of the input");
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    names.sort();
    names.into_iter().next().unwrap_or_default()
}

fn change_text(random: &mut Random, input: &mut Input, other: &Input, times: usize) {
    let donor = other.files.first().map_or(&[][..], |(_, data)| data);
    for (name, data) in &mut input.files {
        gzip::change(random, name, data, |random, data| {
            for _ in 0..times {
                text::change(random, data, donor, MOST);
            }
        });
    }
}

/// A table of counts.
pub struct Table;

impl Target for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn seeds(&self) -> Vec<Input> {
        let csv = "cell,CD3E,LYZ,\"a,b\"\nc1,0,3,1\nc2,1,0,0\n\"c\"\"3\",0,0,2\n";
        let tsv = csv.replace(',', "\t");
        let numbers = "g1 g2\nc1 1e0 2.0\nc2 0 0.0\n";
        vec![
            Input::file("table.csv", csv),
            Input::file("table.csv.gz", gzip::packed(csv.as_bytes())),
            Input::file("table.tsv", tsv.as_str()),
            Input::file("table.txt", tsv.replace('\n', "\r\n")),
            Input::file("table.txt", numbers),
        ]
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        change_text(random, input, other, times);
    }

    fn run(&self, folder: &Path) -> String {
        let path = only_file(folder);
        let result = match folder_choice(folder) % 4 {
            0 => TableOptions::new().with_transposed(true).read(&path),
            1 => TableOptions::new().with_separator(b';').read(&path),
            2 => CountFormat::of(&path).and_then(|_| read_table(&path)),
            _ => read_table(&path),
        };
        if let Ok(counts) = &result {
            check(counts);
        }
        outcome(result)
    }
}

/// A table of labels.
pub struct Labels;

impl Target for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn seeds(&self) -> Vec<Input> {
        let csv = "cell,label,other\nc1,T,1\nc2,B,2\nc3,\"N,K\",3\n";
        vec![
            Input::file("labels.csv", csv),
            Input::file("labels.csv.gz", gzip::packed(csv.as_bytes())),
            Input::file("labels.tsv", csv.replace(',', "\t")),
            Input::file("labels.csv", "c1,T\nc2,B\n"),
        ]
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        change_text(random, input, other, times);
    }

    fn run(&self, folder: &Path) -> String {
        let column = match folder_choice(folder) % 3 {
            0 => Some("label"),
            1 => Some("other"),
            _ => None,
        };
        outcome(read_labels(only_file(folder), column))
    }
}
