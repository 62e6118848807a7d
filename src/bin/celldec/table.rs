//! How two labellings of the same cells divide them.

use std::cmp::Reverse;
use std::fmt;

/// A wider table would not fit a terminal.
const WIDEST: usize = 132;
/// Space of the rows' names, at least.
const NAME: usize = 30;
/// Space of a number, at least.
const NUMBER: usize = 4;

/// How many cells have each pair of labels.
///
/// Shown as a table or, where that would be too wide, as one line for every row.
pub struct CrossTable {
    title: String,
    columns: Vec<String>,
    /// Names, and cells in every column; the row with most cells first.
    rows: Vec<(String, Vec<usize>)>,
}

impl CrossTable {
    /// Counts pairs (position in `rows`, position in `columns`).
    pub fn new(
        title: impl Into<String>,
        rows: Vec<String>,
        columns: Vec<String>,
        pairs: impl Iterator<Item = (usize, usize)>,
    ) -> Self {
        let mut rows: Vec<(String, Vec<usize>)> = rows
            .into_iter()
            .map(|name| (name, vec![0; columns.len()]))
            .collect();
        for (row, column) in pairs {
            rows[row].1[column] += 1;
        }
        rows.sort_by_key(|(_, counts)| Reverse(counts.iter().sum::<usize>()));
        Self {
            title: title.into(),
            columns,
            rows,
        }
    }

    /// The space of the rows' names and of every column.
    fn widths(&self) -> (usize, Vec<usize>) {
        let names = self.rows.iter().map(|(name, _)| name);
        let name = names
            .chain([&self.title])
            .map(|name| name.chars().count())
            .fold(NAME, usize::max);
        let columns = self.columns.iter().enumerate().map(|(column, name)| {
            let numbers = self.rows.iter().map(|(_, counts)| counts[column]);
            let digits = numbers.max().unwrap_or(0).to_string().len();
            name.chars().count().max(digits).max(NUMBER)
        });
        (name, columns.collect())
    }
}

impl fmt::Display for CrossTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name_width, widths) = self.widths();
        if name_width + widths.iter().map(|width| width + 1).sum::<usize>() > WIDEST {
            return self.fmt_lines(f);
        }
        write!(f, "  {:<name_width$}", self.title)?;
        for (name, width) in self.columns.iter().zip(&widths) {
            write!(f, " {name:>width$}")?;
        }
        for (name, counts) in &self.rows {
            write!(f, "\n  {name:<name_width$}")?;
            for (count, width) in counts.iter().zip(&widths) {
                match count {
                    0 => write!(f, " {:>width$}", "·")?,
                    _ => write!(f, " {count:>width$}")?,
                }
            }
        }
        Ok(())
    }
}

impl CrossTable {
    /// One line for every row, with the columns that have cells, the one with most first.
    fn fmt_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.title)?;
        for (name, counts) in &self.rows {
            let mut parts: Vec<(usize, &str)> = counts
                .iter()
                .zip(&self.columns)
                .filter(|(count, _)| **count > 0)
                .map(|(&count, column)| (count, column.as_str()))
                .collect();
            parts.sort_by_key(|&(count, _)| Reverse(count));
            let parts: Vec<String> = parts
                .iter()
                .map(|(count, column)| format!("{count} {column}"))
                .collect();
            write!(f, "\n  {name:<NAME$} {}", parts.join(", "))?;
        }
        Ok(())
    }
}
