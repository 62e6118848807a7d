//! Constraint pairs of a file, for the cells of the input.

use std::collections::HashMap;
use std::path::Path;

use celldec::error::ConstraintError;
use celldec::io::{PairKind, read_constraint_pairs};
use celldec::prelude::*;

use crate::input::Counts;

/// Reads the pairs of a file, by the names that cells have in the input.
///
/// Pairs of cells that preprocessing dropped are left out; the second value counts them.
pub fn read(path: &Path, counts: &Counts, cells: &Cells) -> Result<(ConstraintPairs, usize)> {
    let known: HashMap<&str, usize> = positions(counts.cell_names());
    let kept: HashMap<usize, usize> = (0..)
        .zip(cells.kept_cells())
        .map(|(position, &cell)| (cell, position))
        .collect();
    let mut must_link = Vec::new();
    let mut cannot_link = Vec::new();
    let mut dropped = 0;
    for pair in read_constraint_pairs(path)? {
        let find = |name: &str| {
            known.get(name).copied().ok_or_else(|| {
                let reason = format!(
                    "no cell \"{name}\" in the input; use its cell names, such as \"{}\"",
                    counts.first_name()
                );
                Error::format(path, pair.line, reason)
            })
        };
        let pairs = match pair.kind {
            PairKind::MustLink => &mut must_link,
            PairKind::CannotLink => &mut cannot_link,
        };
        match (
            kept.get(&find(&pair.first)?),
            kept.get(&find(&pair.second)?),
        ) {
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
