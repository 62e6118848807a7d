//! What the first lines of a table say about its columns.

use std::borrow::Cow;
use std::path::Path;

use crate::io::budget::Budget;
use crate::io::delimited::{Head, Separator, UNCLOSED};
use crate::io::name_kinds::{Heading, Kind, form, is_cell_name, is_gene_name, is_number};
use crate::io::text::{Refusal, shown};

/// What the fields of a line are.
#[derive(Debug)]
pub(super) struct Layout {
    pub separator: Separator,
    /// How many fields a line has.
    pub width: usize,
    /// The heading above the names of lines, where there is one.
    pub heading: Option<String>,
    /// Names of the columns of counts.
    pub columns: Vec<String>,
    /// Whether lines start with a name.
    pub names: Names,
    /// What lies between the name and the counts.
    pub annotations: Annotations,
    /// Whether the first line is a header.
    pub has_header: bool,
}

/// Whether lines start with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    First,
    /// The first field is a number, which may be a name or a count.
    Unclear,
    Absent,
}

/// What the caller says of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub header: Option<bool>,
    pub row_names: Option<bool>,
}

impl Layout {
    /// From the first two lines.
    pub fn of(
        path: &Path,
        head: &Head,
        first: &[u8],
        told: Told,
        budget: &Budget,
    ) -> Result<Self, Refused> {
        let separator = head.separator;
        let in_header = |refusal: Refusal| Refused::In(head.header_line, refusal);
        let mut header = separator
            .split_names(&head.header, budget)
            .map_err(in_header)?;
        let row = Row::of(separator, first).ok_or(Refused::In(head.first_line, UNCLOSED.into()))?;
        let mut width = row.fields;
        // A separator at the end of a line ends its last field and starts none.
        let header_ends_empty = header.last().is_some_and(String::is_empty) && header.len() > 1;
        if row.ends_empty && width > 1 {
            if header.len() == width && header_ends_empty {
                header.pop();
                width -= 1;
            } else if header.len() + 1 == width {
                width -= 1;
            }
        } else if header.len() == width + 1 && header_ends_empty {
            header.pop();
        }
        if header.len() == 1 && width == 1 {
            return Err(Refused::Table(format!(
                "no separator divides its lines, such as \"{}\"; expected fields separated by \
                 tabs, commas, semicolons or blanks",
                shown(head.header.as_slice())
            )));
        }
        let has_header = match told.header {
            Some(told) => told,
            None => is_header(&header, &row, width).ok_or_else(|| {
                Refused::In(
                    head.header_line,
                    Refusal::Reason(format!(
                        "is this line a header or the first counts? It holds numbers, from \"{}\" \
                         to \"{}\"; say it with `TableOptions::with_header(true)` or \
                         `TableOptions::with_header(false)`",
                        shown(header.get(1).unwrap_or(&header[0]).as_bytes()),
                        shown(header[header.len() - 1].as_bytes()),
                    )),
                )
            })?,
        };
        let headed = has_header && header.len() == width;
        let names = row_names(told, has_header, headed, &header, &row, width);
        let heading = (headed && names != Names::Absent).then(|| header[0].clone());
        let mut columns = if has_header {
            // Without a heading above the names, all of the header's fields are columns.
            if headed && names != Names::Absent {
                header.remove(0);
            }
            header
        } else {
            let columns = width - usize::from(names != Names::Absent);
            numbers(columns, budget).map_err(in_header)?
        };
        let annotations = match names {
            Names::Absent => Annotations::default(),
            _ if !has_header => Annotations::default(),
            _ => Annotations::of(heading.as_deref(), &columns),
        };
        columns.drain(..annotations.fields);
        if columns.is_empty() {
            return Err(Refused::Table(
                "it has names but no columns of counts; expected one line for every cell, with a \
                 count for every gene"
                    .into(),
            ));
        }
        let named = usize::from(names != Names::Absent) + annotations.fields + columns.len();
        if has_header && named == width {
            for name in &columns {
                if let Some(reason) = why_no_counts("column", name) {
                    return Err(in_header(reason.into()));
                }
            }
        }
        if !has_header {
            tracing::warn!(
                path = %path.display(),
                "the table has no header: its columns are numbered from 0"
            );
        }
        Ok(Self {
            separator,
            width,
            heading,
            columns,
            names,
            annotations,
            has_header,
        })
    }

    /// What lines are, by their heading and by what is known besides.
    pub fn kind_of_lines(&self) -> Option<Kind> {
        if self.annotations.are_of_genes {
            return Some(Kind::Genes);
        }
        match Heading::of(self.heading.as_deref()?)? {
            Heading::Genes | Heading::Symbols => Some(Kind::Genes),
            Heading::Cells => Some(Kind::Cells),
            _ => None,
        }
    }
}

/// Why what a heading names holds no counts, where it says so: whatever its values, it would be taken
/// for a gene, or for a cell.
pub(super) fn why_no_counts(what: &str, heading: &str) -> Option<String> {
    let known = Heading::of(heading)?;
    // Numbers, or signs alone, head nothing.
    if !heading.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let name = shown(heading.as_bytes());
    Some(if known == Heading::AboutCells {
        format!(
            "the {what} \"{name}\" is something known of cells and no gene; leave such {what}s \
             out, or keep them in a file of labels"
        )
    } else {
        format!(
            "the {what} \"{name}\" is by its name neither a gene nor a cell; leave it out, or put \
             what is known of genes between their names and their counts"
        )
    })
}

/// Why the first lines are refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// One line.
    In(usize, Refusal),
    /// The table as a whole.
    Table(String),
}

/// What the line after a header says of all lines. Its fields may be far more than the header
/// announces, so that they are not kept.
struct Row<'a> {
    first: Cow<'a, [u8]>,
    fields: usize,
    /// Whether the last field is empty.
    ends_empty: bool,
}

impl<'a> Row<'a> {
    /// `None` when a quoted field does not end on the line.
    fn of(separator: Separator, line: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = separator.next_field(separator.trimmed(line))?;
        let mut row = Self {
            fields: 1,
            ends_empty: first.is_empty(),
            first,
        };
        while let Some(line) = rest {
            let (field, after) = separator.next_field(line)?;
            row.fields += 1;
            row.ends_empty = field.is_empty();
            rest = after;
        }
        Some(row)
    }
}

fn numbers(columns: usize, budget: &Budget) -> Result<Vec<String>, Refusal> {
    let mut names = budget.list(columns)?;
    for column in 0..columns {
        names.push(budget.name(column.to_string().as_bytes())?);
    }
    Ok(names)
}

/// Whether the first line is a header; `None` where that cannot be known.
fn is_header(header: &[String], row: &Row<'_>, width: usize) -> Option<bool> {
    // Lines of counts are of one length: a shorter one before them names their columns.
    if header.len() < width {
        return Some(true);
    }
    let first = header[0].as_str();
    let headed = Heading::of(first).is_some();
    let rest = &header[1.min(header.len() - 1)..];
    let numeric = rest
        .iter()
        .filter(|name| is_number(name.as_bytes()))
        .count();
    // Some genes have numbers for names, and some counts are missing, but neither are most.
    if numeric * 2 < rest.len() {
        return Some(true);
    }
    if numeric < rest.len() {
        return headed.then_some(true);
    }
    let numbered = |from: usize, names: &[String]| {
        (from..)
            .zip(names)
            .all(|(number, name)| *name == number.to_string())
    };
    if headed && (numbered(0, rest) || numbered(1, rest)) {
        return Some(true);
    }
    if is_number(first.as_bytes())
        && header.len() > 2
        && (numbered(0, header) || numbered(1, header))
    {
        return Some(true);
    }
    let mut sorted: Vec<&str> = rest.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Some(false);
    }
    if headed {
        return Some(true);
    }
    let alike = form(&String::from_utf8_lossy(&row.first)) == form(first);
    if is_cell_name(first) || is_gene_name(first) || (alike && !is_number(first.as_bytes())) {
        return Some(false);
    }
    None
}

/// Whether lines start with names.
fn row_names(
    told: Told,
    has_header: bool,
    headed: bool,
    header: &[String],
    row: &Row<'_>,
    width: usize,
) -> Names {
    match told.row_names {
        Some(true) => return Names::First,
        Some(false) => return Names::Absent,
        None => {}
    }
    // R writes no heading above the names.
    if has_header && header.len() + 1 == width {
        return Names::First;
    }
    if !is_number(&row.first) {
        return Names::First;
    }
    if !headed {
        return Names::Unclear;
    }
    match Heading::of(&header[0]) {
        Some(heading) if heading.is_of_names() => Names::First,
        _ => Names::Unclear,
    }
}

/// Fields between the name of a line and its counts: something else that is known of genes.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// How many there are.
    pub fields: usize,
    /// Which of the name and the annotations names the line.
    pub name_at: usize,
    /// Whether they say that lines are genes: cells have a size, too.
    are_of_genes: bool,
}

impl Annotations {
    fn of(heading: Option<&str>, columns: &[String]) -> Self {
        let heading = heading.and_then(Heading::of);
        if heading == Some(Heading::Cells) {
            return Self::default();
        }
        let of_genes = |heading: &Heading| {
            matches!(
                heading,
                Heading::Genes | Heading::Symbols | Heading::AboutGenes
            )
        };
        let found: Vec<Heading> = columns
            .iter()
            .map_while(|name| Heading::of(name).filter(of_genes))
            .collect();
        let symbols = found
            .iter()
            .position(|heading| *heading == Heading::Symbols);
        let name_at = match symbols {
            Some(position) if heading != Some(Heading::Symbols) => position + 1,
            _ => 0,
        };
        let is_name = |heading: &Heading| *heading != Heading::AboutGenes;
        Self {
            fields: found.len(),
            name_at,
            are_of_genes: found.len() > 1 || found.iter().any(is_name),
        }
    }
}
