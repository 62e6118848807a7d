//! The lines of a table, compressed as they are read.

use super::layout::{Layout, Names, why_no_counts};
use crate::io::budget::{Budget, Shortage, bytes_of};
use crate::io::delimited::UNCLOSED;
use crate::io::name_kinds::{Heading, is_gene_name};
use crate::io::text::{Refusal, parse_value, shown};

/// Rows read so far.
pub(super) struct Rows {
    pub names: Vec<String>,
    pub offsets: Vec<usize>,
    pub indices: Vec<u32>,
    pub values: Vec<f32>,
    /// The first field of every line as a count, while it is not clear that it is none.
    first_counts: Option<Vec<f32>>,
}

impl Rows {
    pub fn new(layout: &Layout) -> Self {
        Self {
            names: Vec::new(),
            offsets: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
            first_counts: (layout.names == Names::Unclear).then(Vec::new),
        }
    }

    pub fn push(&mut self, line: &[u8], layout: &Layout, budget: &Budget) -> Result<(), Refusal> {
        let separator = layout.separator;
        let mut rest = Some(separator.trimmed(line));
        let name = match layout.names {
            Names::Absent => budget.name(self.names.len().to_string().as_bytes())?,
            _ => self.take_name(&mut rest, layout, budget)?,
        };
        let columns = &layout.columns;
        let mut column = 0;
        while let Some(fields) = rest {
            let value = if fields.first() == Some(&b'"') {
                let (field, after) = separator.next_field(fields).ok_or(UNCLOSED)?;
                rest = after;
                self.value(&field, column, rest, columns)?
            } else {
                let (field, after) = separator.next_plain_field(fields);
                rest = after;
                if field == b"0" {
                    column += 1;
                    continue;
                }
                self.value(field, column, rest, columns)?
            };
            let Some(value) = value else { continue };
            if value != 0.0 {
                budget.push(&mut self.indices, column as u32)?;
                budget.push(&mut self.values, value)?;
            }
            column += 1;
        }
        if column != columns.len() {
            let found = match layout.names {
                Names::Absent => format!("found {column} values"),
                _ => format!("found a name and {column} values"),
            };
            return Err(format!("{found}, but the header names {} columns", columns.len()).into());
        }
        budget.push(&mut self.names, name)?;
        budget.push(&mut self.offsets, self.indices.len())?;
        Ok(())
    }

    /// The value of a field; `None` for what a separator at the end of the line leaves, and for
    /// fields that lie beyond the last column, whose number tells what is wrong.
    fn value(
        &self,
        field: &[u8],
        column: usize,
        rest: Option<&[u8]>,
        columns: &[String],
    ) -> Result<Option<f32>, Refusal> {
        let Some(name) = columns.get(column) else {
            let ends = rest.is_none() && field.is_empty() && column == columns.len();
            return Ok((!ends).then_some(0.0));
        };
        match parse_value(field.trim_ascii()) {
            Some(value) => Ok(Some(value)),
            None => Err(no_count(field, name).into()),
        }
    }

    fn take_name(
        &mut self,
        rest: &mut Option<&[u8]>,
        layout: &Layout,
        budget: &Budget,
    ) -> Result<String, Refusal> {
        let mut name = String::new();
        let mut first = String::new();
        for position in 0..=layout.annotations.fields {
            let Some(fields) = *rest else { break };
            let (field, after) = layout.separator.next_name(fields).ok_or(UNCLOSED)?;
            *rest = after;
            if position == 0 {
                first = budget.name(&field)?;
                self.take_first_count(&field, budget)?;
            }
            if position == layout.annotations.name_at && position > 0 {
                name = budget.name(&field)?;
            }
        }
        Ok(if name.is_empty() { first } else { name })
    }

    fn take_first_count(&mut self, field: &[u8], budget: &Budget) -> Result<(), Shortage> {
        let Some(counts) = &mut self.first_counts else {
            return Ok(());
        };
        match parse_value(field.trim_ascii()) {
            Some(value) => budget.push(counts, value),
            // One that is no number is a name, and so are the others.
            None => {
                self.first_counts = None;
                Ok(())
            }
        }
    }

    /// Decides whether first fields that are all numbers are names or counts; `Err` with the reason
    /// where that cannot be known.
    pub fn settle_names(&mut self, layout: &mut Layout, budget: &Budget) -> Result<(), Refusal> {
        let Some(counts) = self.first_counts.take() else {
            return Ok(());
        };
        let heading = layout.heading.take();
        let heads_gene = heading.as_deref().is_some_and(is_gene_name);
        let numbered = |from: usize| {
            (from..)
                .zip(&self.names)
                .all(|(number, name)| *name == number.to_string())
        };
        if !heads_gene && (numbered(0) || numbered(1)) {
            layout.heading = heading;
            return Ok(());
        }
        let mut sorted: Vec<&str> = self.names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let repeated = sorted.windows(2).find(|pair| pair[0] == pair[1]);
        if repeated.is_none() && !heads_gene {
            return Err(format!(
                "are the numbers in its first column names of lines or counts? They start with \
                 \"{}\"{}; say it with `TableOptions::with_row_names(true)` or \
                 `TableOptions::with_row_names(false)`",
                shown(self.names.first().map_or("", String::as_str).as_bytes()),
                heading.map_or(String::new(), |heading| format!(
                    " under the heading \"{}\"",
                    shown(heading.as_bytes())
                ))
            )
            .into());
        }
        if let Some(reason) = heading
            .as_deref()
            .and_then(|name| why_no_counts("column", name))
        {
            return Err(reason.into());
        }
        tracing::warn!("the table has no names of lines: they are numbered from 0");
        self.put_first(&counts, budget)?;
        if layout.has_header {
            layout.columns.insert(0, heading.unwrap_or_default());
        } else {
            for (column, name) in layout.columns.iter_mut().enumerate() {
                *name = column.to_string();
            }
            let last = layout.columns.len().to_string();
            budget.push(&mut layout.columns, last)?;
        }
        for (row, name) in self.names.iter_mut().enumerate() {
            *name = row.to_string();
        }
        layout.names = Names::Absent;
        Ok(())
    }

    /// Why a line among genes is none, where its name says that it is something known of cells.
    pub fn about_cells(&self) -> Option<String> {
        let is_about = |name: &&String| Heading::of(name) == Some(Heading::AboutCells);
        let name = self.names.iter().find(is_about)?;
        why_no_counts("line", name)
    }

    /// Makes a first column of counts.
    fn put_first(&mut self, counts: &[f32], budget: &Budget) -> Result<(), Shortage> {
        let stored = self.indices.len() + counts.iter().filter(|&&count| count != 0.0).count();
        let mut indices = budget.list(stored)?;
        let mut values = budget.list(stored)?;
        let mut offsets = budget.list(self.offsets.len())?;
        offsets.push(0);
        for (row, &count) in counts.iter().enumerate() {
            if count != 0.0 {
                indices.push(0);
                values.push(count);
            }
            let range = self.offsets[row]..self.offsets[row + 1];
            indices.extend(self.indices[range.clone()].iter().map(|index| index + 1));
            values.extend_from_slice(&self.values[range]);
            offsets.push(indices.len());
        }
        (self.indices, self.values, self.offsets) = (indices, values, offsets);
        Ok(())
    }

    /// Whether there is memory to make a matrix of the rows.
    pub fn allow_matrix(
        &self,
        columns: &[String],
        transposed: bool,
        budget: &Budget,
    ) -> Result<(), Shortage> {
        let (rows, stored) = (self.names.len(), self.indices.len());
        // Rows are checked beside their offsets; columns become rows in a copy.
        let offsets = bytes_of::<usize>(if transposed { 3 * columns.len() } else { rows } + 1);
        let copy = if transposed {
            bytes_of::<(u32, f32)>(stored)
        } else {
            0
        };
        budget.take(offsets + copy)?;
        if transposed {
            budget.allow_naming(columns.len(), &self.names)
        } else {
            budget.allow_naming(rows, columns)
        }
    }
}

/// Why a field is no count.
pub(super) fn no_count(field: &[u8], column: &str) -> String {
    let text = String::from_utf8_lossy(field);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.trim().trim_start_matches('-').split(',').collect();
    let commas = parts.len() > 1 && parts.iter().all(|part| digits(part));
    let thousands = commas && parts[1..].iter().all(|part| part.len() == 3);
    let what = if thousands {
        "has separators of thousands; write numbers without them"
    } else if commas {
        "has a comma; write numbers with a decimal point"
    } else {
        "is not a number; leave out columns that hold no counts"
    };
    format!(
        "\"{}\" in the column of \"{}\" {what}",
        shown(field),
        shown(column.as_bytes())
    )
}
