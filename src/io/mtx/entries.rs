//! The entries of a MatrixMarket file.

use crate::counts::CountMatrix;
use crate::error::Result;
use crate::io::budget::{Budget, Shortage};
use crate::io::entries::Entries;
use crate::io::text::{Lines, name_of, parse_index, parse_value, shown};

/// The numbers in a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub rows: u64,
    pub columns: u64,
    stored: u64,
    /// Whether entries have no values.
    pattern: bool,
}

/// Reads what comes before the entries.
pub(super) fn read_header(lines: &mut Lines) -> Result<Sizes> {
    let pattern = read_banner(lines)?;
    let (rows, columns, stored) = read_sizes(lines)?;
    Ok(Sizes {
        rows,
        columns,
        stored,
        pattern,
    })
}

/// Reads the entries after a header whose sizes are those of the name files, so that nothing is
/// reserved on the word of a header alone.
///
/// The outer error is one of the file, the inner one of the counts in it.
pub(super) fn read_entries(
    lines: &mut Lines,
    sizes: Sizes,
    cells_first: bool,
) -> Result<Result<CountMatrix>> {
    let Sizes {
        rows,
        columns,
        stored,
        pattern,
    } = sizes;
    if u32::try_from(rows.max(columns)).is_err() {
        return Err(lines.error("more than 2^32 rows or columns are not supported"));
    }
    // Both are numbers of names that are in memory.
    let (rows_there, columns_there) = (rows as usize, columns as usize);
    let (cells, genes) = if cells_first {
        (rows_there, columns_there)
    } else {
        (columns_there, rows_there)
    };
    let reserved = usize::try_from(stored)
        .unwrap_or(usize::MAX)
        .min(lines.plausible_lines(if pattern { 4 } else { 6 }));
    let budget = lines.budget();
    let mut entries = Entries::with_capacity(reserved, cells_first, &budget)
        .map_err(|shortage| lines.refuse(shortage))?;
    let mut read = 0u64;
    loop {
        let taken = take_plain_entries(
            lines.buffered()?,
            usize::try_from(stored - read).unwrap_or(usize::MAX),
            pattern,
            (rows, columns),
            &mut entries,
            &budget,
        );
        let (bytes, plain) = taken.map_err(|shortage| lines.refuse(shortage))?;
        lines.pass(bytes, plain);
        read += plain as u64;
        // What is not that plain, or cut off at the end of a block, goes the careful way.
        let Some(line) = lines.read()? else { break };
        if is_comment_or_blank(line) {
            continue;
        }
        let entry = parse_entry(line, pattern, rows, columns);
        let (row, column, value) = match entry {
            Ok(entry) => entry,
            Err(reason) => return Err(lines.error(reason)),
        };
        if read == stored {
            return Err(lines.error(format!(
                "the file holds more entries than the {stored} its header announces; it is damaged"
            )));
        }
        read += 1;
        entries
            .push(row, column, value, &budget)
            .map_err(|shortage| lines.refuse(shortage))?;
    }
    if read < stored {
        return Err(lines.error(format!(
            "the file ends after {read} of the {stored} entries its header announces; it is \
             truncated, fetch it again"
        )));
    }
    entries
        .allow_matrix(cells, &budget)
        .map_err(|shortage| lines.refuse(shortage))?;
    Ok(entries.into_matrix(cells, genes))
}

/// Reads the first line; says whether entries have no values.
fn read_banner(lines: &mut Lines) -> Result<bool> {
    const EXPECTED: &str =
        "expected \"%%MatrixMarket matrix coordinate integer general\" (or real, or pattern)";
    let banner = match lines.read()? {
        Some(line) => name_of(&line[..line.len().min(200)]),
        None => return Err(lines.error(format!("the file is empty; {EXPECTED}"))),
    };
    let lower = banner.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_ascii_whitespace().collect();
    let ["%%matrixmarket", object, format, field, symmetry] = words[..] else {
        return Err(lines.error(format!(
            "not a MatrixMarket file: found \"{}\"; {EXPECTED}",
            shown(banner.as_bytes())
        )));
    };
    let supported = object == "matrix"
        && format == "coordinate"
        && matches!(
            field,
            "integer" | "unsigned-integer" | "real" | "double" | "pattern"
        )
        && symmetry == "general";
    if !supported {
        return Err(lines.error(format!(
            "unsupported MatrixMarket kind \"{object} {format} {field} {symmetry}\"; {EXPECTED}"
        )));
    }
    Ok(field == "pattern")
}

/// Reads rows, columns and number of entries.
fn read_sizes(lines: &mut Lines) -> Result<(u64, u64, u64)> {
    loop {
        let sizes = match lines.read()? {
            None => None,
            Some(line) if is_comment_or_blank(line) => continue,
            Some(line) => {
                let mut fields = fields(line).map(parse_index);
                match (fields.next(), fields.next(), fields.next(), fields.next()) {
                    (Some(Some(rows)), Some(Some(columns)), Some(Some(stored)), None) => {
                        Some((rows, columns, stored))
                    }
                    _ => None,
                }
            }
        };
        return sizes.ok_or_else(|| {
            lines.error("expected the size line: numbers of rows, of columns and of entries")
        });
    }
}

/// Takes up to `most` entries from the start of `text`, as long as they are whole lines of numbers
/// in range, separated by single blanks; gives their bytes and number.
fn take_plain_entries(
    text: &[u8],
    most: usize,
    pattern: bool,
    (rows, columns): (u64, u64),
    entries: &mut Entries,
    budget: &Budget,
) -> std::result::Result<(usize, usize), Shortage> {
    let mut rest = text;
    let mut taken = 0;
    while taken < most {
        let Some((row, after)) = leading_number(rest, 10) else {
            break;
        };
        let Some((column, after)) = after
            .strip_prefix(b" ")
            .and_then(|after| leading_number(after, 10))
        else {
            break;
        };
        let (value, after) = if pattern {
            (1, after)
        } else {
            // Seven digits are exact as f32.
            match after
                .strip_prefix(b" ")
                .and_then(|after| leading_number(after, 7))
            {
                Some(parsed) => parsed,
                None => break,
            }
        };
        let Some((b'\n', after)) = after.split_first() else {
            break;
        };
        if row == 0 || row > rows || column == 0 || column > columns {
            break;
        }
        // The caller has checked that rows and columns fit.
        entries.push((row - 1) as u32, (column - 1) as u32, value as f32, budget)?;
        rest = after;
        taken += 1;
    }
    Ok((text.len() - rest.len(), taken))
}

/// A number of at most so many digits, and what follows it.
fn leading_number(text: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut digits = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if digits == most {
            return None;
        }
        value = value * 10 + u64::from(digit);
        digits += 1;
    }
    (digits > 0).then(|| (value, &text[digits..]))
}

fn parse_entry(
    line: &[u8],
    pattern: bool,
    rows: u64,
    columns: u64,
) -> std::result::Result<(u32, u32, f32), String> {
    let malformed = || {
        let expected = if pattern {
            "numbers of row and column"
        } else {
            "numbers of row and column, and a count"
        };
        format!("malformed entry \"{}\"; expected {expected}", shown(line))
    };
    let mut fields = fields(line);
    let row = fields.next().and_then(parse_index).ok_or_else(malformed)?;
    let column = fields.next().and_then(parse_index).ok_or_else(malformed)?;
    let value = if pattern {
        1.0
    } else {
        fields.next().and_then(parse_value).ok_or_else(malformed)?
    };
    if fields.next().is_some() {
        return Err(malformed());
    }
    if row == 0 || row > rows || column == 0 || column > columns {
        return Err(format!(
            "the entry names row {row} and column {column}, outside 1..={rows} and 1..={columns} \
             (numbers start at 1)"
        ));
    }
    // The caller has checked that rows and columns fit.
    Ok(((row - 1) as u32, (column - 1) as u32, value))
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|field| !field.is_empty())
}

fn is_comment_or_blank(line: &[u8]) -> bool {
    line.first() == Some(&b'%') || line.iter().all(u8::is_ascii_whitespace)
}
