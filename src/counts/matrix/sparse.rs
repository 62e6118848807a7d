//! Compressed sparse rows without names, and what makes them valid.

use crate::error::{Error, Place, Result};

/// Rows whose offsets rise and whose gene indices rise within a row, are in range, and have no
/// zero beside them.
pub(in crate::counts) struct Sparse {
    pub offsets: Vec<usize>,
    pub indices: Vec<u32>,
    pub values: Vec<f32>,
}

/// Sorts rows, sums duplicates, drops zeros; in place where nothing is to be done.
///
/// `first_cell` is the number of the first row in messages.
///
/// # Errors
/// [`Error::InvalidSparse`] when the parts contradict each other; [`Error::NegativeCount`] and
/// [`Error::InexactSum`] for duplicates whose sum would hide what they are.
pub(in crate::counts) fn canonical(
    first_cell: usize,
    cells: usize,
    genes: usize,
    offsets: Vec<usize>,
    mut indices: Vec<u32>,
    mut values: Vec<f32>,
) -> Result<Sparse> {
    check_offsets("row", cells, &offsets, indices.len(), values.len())?;
    let mut kept_offsets = Vec::with_capacity(cells + 1);
    kept_offsets.push(0);
    let mut kept = 0;
    let mut scratch: Vec<(u32, f32)> = Vec::new();
    for cell in 0..cells {
        let range = offsets[cell]..offsets[cell + 1];
        let row = &indices[range.clone()];
        let strictly_rising = row.windows(2).all(|w| w[0] < w[1]);
        let outside = match row.last() {
            Some(last) if strictly_rising => Some(last),
            _ => row.iter().max(),
        }
        .filter(|&&gene| gene as usize >= genes);
        if let Some(gene) = outside {
            return Err(Error::InvalidSparse {
                reason: format!(
                    "cell {} names gene {gene}, but there are {genes} genes",
                    first_cell + cell
                ),
            });
        }
        if strictly_rising && kept == range.start && !values[range.clone()].contains(&0.0) {
            // The usual case: nothing was dropped so far, so the row is where it belongs.
            kept = range.end;
            kept_offsets.push(kept);
            continue;
        }
        if strictly_rising {
            for entry in range {
                if values[entry] != 0.0 {
                    indices[kept] = indices[entry];
                    values[kept] = values[entry];
                    kept += 1;
                }
            }
        } else {
            scratch.clear();
            scratch.extend(range.map(|entry| (indices[entry], values[entry])));
            scratch.sort_by_key(|&(gene, _)| gene);
            for run in scratch.chunk_by(|a, b| a.0 == b.0) {
                let sum = match run {
                    [(_, value)] => *value,
                    several => sum_of(first_cell + cell, several)?,
                };
                if sum != 0.0 {
                    indices[kept] = run[0].0;
                    values[kept] = sum;
                    kept += 1;
                }
            }
        }
        kept_offsets.push(kept);
    }
    indices.truncate(kept);
    values.truncate(kept);
    Ok(Sparse {
        offsets: kept_offsets,
        indices,
        values,
    })
}

/// The sum of the entries of one cell and gene.
fn sum_of(cell: usize, entries: &[(u32, f32)]) -> Result<f32> {
    let gene = entries[0].0 as usize;
    let finite = |&&(_, value): &&(u32, f32)| value.is_finite();
    if let Some(&(_, value)) = entries.iter().filter(finite).find(|entry| entry.1 < 0.0) {
        return Err(Error::NegativeCount {
            cell: place(cell),
            gene: place(gene),
            value,
        });
    }
    let sum: f64 = entries.iter().map(|&(_, value)| f64::from(value)).sum();
    let rounded = sum as f32;
    // Fractions are rounded as any fraction is; a count of molecules must not be, and a sum must
    // not become infinite.
    let is_whole = entries.iter().all(|&(_, value)| value.fract() == 0.0);
    let is_lost = is_whole && f64::from(rounded) != sum || rounded.is_infinite();
    if is_lost && entries.iter().all(|&(_, value)| value.is_finite()) {
        return Err(Error::InexactSum {
            cell: place(cell),
            gene: place(gene),
            entries: entries.len(),
            sum,
        });
    }
    Ok(rounded)
}

/// Names are not known here: positions stand for them.
fn place(position: usize) -> Place {
    Place::new(position, position.to_string())
}

impl Sparse {
    /// Refuses values that are no counts; `first_cell` is the number of the first row in messages.
    ///
    /// # Errors
    /// [`Error::NonFiniteCount`] and [`Error::NegativeCount`].
    pub fn check_values(&self, first_cell: usize) -> Result<()> {
        // One pass without branches for the usual case; NaN is not in the range either.
        let is_good = |value: f32| (0.0..f32::INFINITY).contains(&value);
        if self.values.iter().fold(true, |good, &v| good & is_good(v)) {
            return Ok(());
        }
        let count = self.values.iter().filter(|v| !v.is_finite()).count();
        if let Some(entry) = self.values.iter().position(|v| !v.is_finite()) {
            let (cell, gene) = self.entry_place(entry, first_cell);
            return Err(Error::NonFiniteCount { cell, gene, count });
        }
        if let Some(entry) = self.values.iter().position(|&v| v < 0.0) {
            let (cell, gene) = self.entry_place(entry, first_cell);
            return Err(Error::NegativeCount {
                cell,
                gene,
                value: self.values[entry],
            });
        }
        Ok(())
    }

    fn entry_place(&self, entry: usize, first_cell: usize) -> (Place, Place) {
        let row = self.offsets.partition_point(|&offset| offset <= entry) - 1;
        (place(first_cell + row), place(self.indices[entry] as usize))
    }
}

/// Refuses offsets that do not cut `indices` and `values` into so many lines.
pub(super) fn check_offsets(
    what: &str,
    lines: usize,
    offsets: &[usize],
    indices: usize,
    values: usize,
) -> Result<()> {
    let invalid = |reason: String| Err(Error::InvalidSparse { reason });
    if indices != values {
        return invalid(format!("{indices} indices but {values} values"));
    }
    if offsets.len() != lines + 1 {
        return invalid(format!(
            "{} {what} offsets, expected {} (one more than {what}s)",
            offsets.len(),
            lines + 1
        ));
    }
    if offsets[0] != 0 || offsets[lines] != indices {
        return invalid(format!(
            "{what} offsets must run from 0 to {indices}, found {} to {}",
            offsets[0], offsets[lines]
        ));
    }
    if let Some(line) = offsets.windows(2).position(|w| w[0] > w[1]) {
        return invalid(format!(
            "{what} offsets fall at {what} {line}: {} then {}",
            offsets[line],
            offsets[line + 1]
        ));
    }
    Ok(())
}
