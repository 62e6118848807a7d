//! Reads constraint pairs.

use std::collections::HashMap;
use std::path::Path;

use celldec::error::ConstraintError;
use celldec::prelude::*;

use crate::input::Counts;

/// Reads lines "barcode,barcode,must" and "barcode,barcode,cannot"; a first line with another
/// third field is a header.
///
/// Pairs of cells that preprocessing dropped are left out; the second value counts them.
pub fn read(path: &Path, counts: &Counts, cells: &Cells) -> Result<(ConstraintPairs, usize)> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    let known: HashMap<&str, usize> = positions(counts.cell_names());
    let kept: HashMap<usize, usize> = (0..)
        .zip(cells.kept_cells())
        .map(|(position, &cell)| (cell, position))
        .collect();
    let mut must_link = Vec::new();
    let mut cannot_link = Vec::new();
    let mut dropped = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let fields: Vec<&str> = line
            .split([',', '\t'])
            .map(|field| field.trim().trim_matches('"'))
            .collect();
        let wrong = |reason: String| Error::format(path, number, reason);
        let (first, second, kind) = match fields[..] {
            [""] => continue,
            [first, second, kind] => (first, second, kind),
            _ => {
                return Err(wrong(
                    "expected three fields: barcode,barcode,must or barcode,barcode,cannot".into(),
                ));
            }
        };
        let pairs = match kind.to_ascii_lowercase().as_str() {
            "must" => &mut must_link,
            "cannot" => &mut cannot_link,
            _ if number == 1 => continue,
            _ => {
                return Err(wrong(format!(
                    "the third field is \"{kind}\", expected must or cannot"
                )));
            }
        };
        let find = |name: &str| {
            known.get(name).copied().ok_or_else(|| {
                wrong(format!(
                    "no cell \"{name}\" in the input; use its cell names, such as \"{}\"",
                    counts.first_name()
                ))
            })
        };
        match (kept.get(&find(first)?), kept.get(&find(second)?)) {
            (Some(&first), Some(&second)) => pairs.push((first, second)),
            _ => dropped += 1,
        }
    }
    let pairs = ConstraintPairs::new(must_link, cannot_link)
        .map_err(|error| with_names(path, cells, error))?;
    Ok((pairs, dropped))
}

fn positions(names: &[String]) -> HashMap<&str, usize> {
    (0..)
        .zip(names)
        .map(|(position, name)| (name.as_str(), position))
        .collect()
}

/// The library knows cells by position; whoever wrote the file knows them by name.
fn with_names(path: &Path, cells: &Cells, error: Error) -> Error {
    let name = |cell: usize| &cells.cell_names()[cell];
    let reason = match error {
        Error::Constraint(ConstraintError::SelfPair { kind, cell, .. }) => {
            format!("a {kind} pair pairs {} with itself; remove it", name(cell))
        }
        Error::Constraint(ConstraintError::Contradiction {
            first,
            second,
            count,
            ..
        }) => format!(
            "{count} cannot pairs contradict the must pairs, the first is {},{}: must pairs \
             connect these cells; remove one side",
            name(first),
            name(second)
        ),
        other => return other,
    };
    Error::format(path, None, reason)
}
