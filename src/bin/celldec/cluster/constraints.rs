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
    let known = positions(counts.cell_names());
    let kept: HashMap<usize, usize> = (0..)
        .zip(cells.kept_cells())
        .map(|(position, &cell)| (cell, position))
        .collect();
    let mut must_link = Vec::new();
    let mut cannot_link = Vec::new();
    let mut cannot_lines = Vec::new();
    let mut dropped = 0;
    for pair in read_constraint_pairs(path)? {
        let refuse = |reason: String| Error::format(path, pair.line, reason);
        let find = |name: &str| match known.get(name) {
            Some(&Some(position)) => Ok(position),
            Some(None) => Err(refuse(format!(
                "the input has several cells of the name \"{name}\", and pairs are of cells by name; \
                 make the names of its cells unique"
            ))),
            None => Err(refuse(format!(
                "no cell \"{name}\" in the input; use its cell names, such as \"{}\"",
                counts.first_name()
            ))),
        };
        let (first, second) = (find(&pair.first)?, find(&pair.second)?);
        if first == second {
            return Err(refuse(format!(
                "it pairs \"{}\" with itself; remove it",
                pair.first
            )));
        }
        match (kept.get(&first), kept.get(&second), pair.kind) {
            (Some(&first), Some(&second), PairKind::MustLink) => must_link.push((first, second)),
            (Some(&first), Some(&second), PairKind::CannotLink) => {
                cannot_link.push((first, second));
                cannot_lines.push(pair.line);
            }
            _ => dropped += 1,
        }
    }
    let line_of: HashMap<(usize, usize), usize> = cannot_link
        .iter()
        .copied()
        .zip(cannot_lines)
        .rev()
        .collect();
    let pairs = ConstraintPairs::new(must_link, cannot_link)
        .map_err(|error| as_written(path, cells, &line_of, error))?;
    Ok((pairs, dropped))
}

/// The position of every name, `None` for one that several cells have.
fn positions(names: &[String]) -> HashMap<&str, Option<usize>> {
    let mut positions = HashMap::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        positions
            .entry(name.as_str())
            .and_modify(|first| *first = None)
            .or_insert(Some(position));
    }
    positions
}

/// The library knows cells by position; whoever wrote the file knows them by name, and pairs by line.
fn as_written(
    path: &Path,
    cells: &Cells,
    line_of: &HashMap<(usize, usize), usize>,
    error: Error,
) -> Error {
    let name = |cell: usize| &cells.cell_names()[cell];
    match error {
        Error::Constraint(ConstraintError::Contradiction {
            first,
            second,
            count,
            ..
        }) => Error::format(
            path,
            line_of.get(&(first, second)).copied(),
            format!(
                "{count} cannot pairs contradict the must pairs, the first is {},{}: must pairs \
                 connect these cells; remove one side",
                name(first),
                name(second)
            ),
        ),
        other => other,
    }
}
