//! Labels of cells in delimited files.

use std::path::Path;

use super::annotations;
use super::budget::Budget;
use super::delimited::{Head, Separator, UNCLOSED, read_head};
use super::name_kinds::{Heading, form, is_cell_name, is_number};
use super::text::{Lines, Refusal, listed, shown};
use crate::error::Result;

/// Reads one label for every cell from a delimited file: pairs of cell name and label.
///
/// The separator is that of the extension (`.csv`, `.tsv`) or the one that divides the first lines;
/// the file may be gzip, fields may be quoted, lines that start with `#` are comments, unless they head
/// columns; one that may be a cell and its label is refused. Cell names are
/// the first column, or the one headed as such (`barcode`, `cell`) after a column of row numbers.
/// `column` names the column of labels; `None` stands for the only column besides the cell names. A
/// file of two columns needs no header: a first line that holds a cell and its label is read as such.
///
/// Blanks around names and labels do not count. A label is empty where there is none: where the field
/// is empty or holds what pandas reads as missing (`NA`, `N/A`, `NaN`, `<NA>`, `None`, `null` and the
/// like).
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with file and line when the column does not exist or is
/// not clear, a line has another number of fields than the header, or a cell occurs twice;
/// [`Error::Io`](crate::Error::Io) when the file cannot be read,
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
///
/// ```
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x/labels.csv");
/// let labels = celldec::io::read_labels(path, Some("cell_type"))?;
/// assert_eq!(labels[0], ("AAAGCCTGGCTAAC-1".into(), "CD14+ Monocyte".into()));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_labels(path: impl AsRef<Path>, column: Option<&str>) -> Result<Vec<(String, String)>> {
    let path = path.as_ref();
    let mut lines = Lines::open(path)?;
    let budget = lines.budget();
    let Some(head) = read_head(&mut lines, None)? else {
        return Err(lines.error("expected a header line with column names"));
    };
    let columns = Columns::of(&head, column, &budget)
        .map_err(|refusal| lines.refuse_at(head.header_line, refusal))?;
    let mut labels = Labels::default();
    let counted = (!columns.has_header).then_some((head.header_line, &head.header));
    let first = head.first.as_ref().map(|first| (head.first_line, first));
    for (number, line) in counted.into_iter().chain(first) {
        labels
            .push(line, number, &columns, &budget)
            .map_err(|refusal| lines.refuse_at(number, refusal))?;
    }
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.read()? else { break };
        let pushed = columns.separator.read_line(line, columns.width, |line| {
            labels.push(line, number, &columns, &budget)
        });
        pushed.map_err(|refusal| lines.refuse(refusal))?;
    }
    if columns.has_header && columns.header_recurs(&labels.pairs) {
        let refusal = format!(
            "is this line a header or the label of a cell? \"{}\" is a label of other lines, too; \
             give the file a header such as \"cell\" and \"label\"",
            shown(columns.heading.as_bytes())
        );
        return Err(lines.refuse_at(head.header_line, refusal));
    }
    labels
        .check_unique(&budget)
        .map_err(|(number, refusal)| lines.refuse_at(number, refusal))?;
    Ok(labels.pairs)
}

/// Where names and labels are.
struct Columns {
    separator: Separator,
    has_header: bool,
    /// Fields of a line.
    width: usize,
    name: usize,
    label: usize,
    /// What the header calls the labels.
    heading: String,
    /// Whether the header says what the names are.
    names_headed: bool,
}

impl Columns {
    fn of(
        head: &Head,
        column: Option<&str>,
        budget: &Budget,
    ) -> std::result::Result<Self, Refusal> {
        let separator = head.separator;
        let mut header = separator.split_names(&head.header, budget)?;
        let first = match &head.first {
            Some(first) => separator.split_names(first, budget).ok(),
            None => None,
        };
        let mut width = first.as_ref().map_or(header.len(), Vec::len);
        let ends_empty =
            |fields: &[String]| fields.len() > 2 && fields[fields.len() - 1].is_empty();
        let mut is_ended = false;
        if header.len() == width && ends_empty(&header) && first.as_deref().is_none_or(ends_empty) {
            header.pop();
            is_ended = true;
        } else if header.len() == width + 1 && ends_empty(&header) {
            header.pop();
        } else if header.len() > 1
            && header.len() + 1 == width
            && head
                .first
                .as_ref()
                .is_some_and(|first| separator.ends(first))
        {
            // R numbers lines without a heading, and the last label may be missing.
            if first_name(&first).is_some_and(|name| is_number(name.as_bytes())) {
                return Err(format!(
                    "do the lines start with their numbers, or does a separator end them? This line \
                     has {} fields, the next one {width}, of which the last is empty; give the first \
                     column a heading here, or remove the separators at the ends of lines",
                    header.len()
                )
                .into());
            }
            width -= 1;
        }
        // R writes no heading above the names of lines.
        let unheaded = !is_ended && header.len() + 1 == width;
        if unheaded {
            header.insert(0, String::new());
        }
        if header.len() < 2 {
            return Err(
                "expected two columns, cell names and labels, separated by commas or tabs".into(),
            );
        }
        let first_name = first_name(&first);
        let has_header = unheaded
            || column.is_some_and(|column| header[1..].iter().any(|name| name == column))
            || is_header(&header, first_name);
        if !has_header {
            return match column {
                None if header.len() == 2 => Ok(Self {
                    separator,
                    has_header,
                    width: 2,
                    name: 0,
                    label: 1,
                    heading: String::new(),
                    names_headed: false,
                }),
                _ => Err(format!(
                    "the file has no header, this line starts with the cell \"{}\"; name its \
                     columns in a first line, or keep cell names and labels only",
                    shown(header[0].as_bytes())
                )
                .into()),
            };
        }
        // Row numbers have no name, or that of an index, which may hold the names of cells as well.
        let may_be_numbered = Heading::of(&header[0]) == Some(Heading::Neutral)
            && first_name.is_none_or(|name| is_number(name.as_bytes()));
        let names = header
            .iter()
            .position(|name| Heading::of(name) == Some(Heading::Cells))
            .filter(|_| may_be_numbered)
            .unwrap_or(0);
        let others: Vec<&String> = (0..)
            .zip(&header)
            .filter_map(|(position, name)| (position != names).then_some(name))
            .collect();
        let wanted = match column {
            Some(column) => others
                .iter()
                .position(|name| *name == column)
                .ok_or_else(|| format!("no column \"{column}\"; there are: {}", listed(&others)))?,
            None if others.len() == 1 => 0,
            // The row numbers beside the names are no labels.
            None if names > 0 && others.len() == 2 => 1,
            None => {
                return Err(format!(
                    "which column holds the labels is not clear; name one of: {}",
                    listed(&others)
                )
                .into());
            }
        };
        let heading = others[wanted].clone();
        Ok(Self {
            separator,
            has_header,
            width: header.len(),
            name: names,
            label: wanted + usize::from(wanted >= names),
            heading,
            names_headed: column.is_some() || Heading::of(&header[names]).is_some(),
        })
    }

    /// Whether what should be a heading is a label as well, and nothing says that it is a heading.
    fn header_recurs(&self, labels: &[(String, String)]) -> bool {
        let heading = annotations::label(&self.heading).unwrap_or_default();
        !self.names_headed && labels.iter().any(|(_, label)| label == heading)
    }
}

/// The first field of a line.
fn first_name(fields: &Option<Vec<String>>) -> Option<&str> {
    fields.as_deref()?.first().map(String::as_str)
}

/// Whether a first line names columns, by itself and by the first name after it.
fn is_header(header: &[String], first_name: Option<&str>) -> bool {
    let name = header[0].as_str();
    if Heading::of(name).is_some_and(Heading::is_of_names) {
        return true;
    }
    if is_cell_name(name) || (header.len() == 2 && is_number(header[1].as_bytes())) {
        return false;
    }
    first_name.is_none_or(|first| form(first) != form(name))
}

/// Names and labels read so far.
#[derive(Default)]
struct Labels {
    pairs: Vec<(String, String)>,
    /// The line of each.
    numbers: Vec<usize>,
}

impl Labels {
    fn push(
        &mut self,
        line: &[u8],
        number: usize,
        columns: &Columns,
        budget: &Budget,
    ) -> std::result::Result<(), Refusal> {
        let separator = columns.separator;
        let (mut name, mut label) = (None, None);
        let mut found = 0;
        let mut rest = Some(separator.trimmed(line));
        while let Some(fields) = rest {
            let (field, after) = separator.next_name(fields).ok_or(UNCLOSED)?;
            rest = after;
            if found == columns.width && rest.is_none() && field.is_empty() {
                // What a separator at the end of the line leaves.
                break;
            }
            if found == columns.name {
                name = Some(budget.name(&field)?);
            }
            if found == columns.label {
                let text = budget.name(&field)?;
                label = Some(match annotations::label(&text) {
                    Some(bare) if bare.len() == text.len() => text,
                    other => other.unwrap_or_default().to_string(),
                });
            }
            found += 1;
        }
        let pair = match (name, label) {
            (Some(name), Some(label)) if found == columns.width => (name, label),
            _ => {
                return Err(
                    format!("found {found} fields, but the header has {}", columns.width).into(),
                );
            }
        };
        budget.push(&mut self.pairs, pair)?;
        budget.push(&mut self.numbers, number)?;
        Ok(())
    }

    /// Refuses a cell that occurs twice, with the line where it does.
    fn check_unique(&self, budget: &Budget) -> std::result::Result<(), (usize, Refusal)> {
        let mut order = budget
            .list(self.pairs.len())
            .map_err(|shortage| (0, shortage.into()))?;
        order.extend(0..self.pairs.len());
        order.sort_unstable_by_key(|&position: &usize| (&self.pairs[position].0, position));
        let twice = order
            .windows(2)
            .filter(|two| self.pairs[two[0]].0 == self.pairs[two[1]].0)
            .min_by_key(|two| two[1]);
        match twice {
            None => Ok(()),
            Some(two) => Err((
                self.numbers[two[1]],
                format!(
                    "the cell \"{}\" occurs more than once, first in line {}; cells are matched by \
                     name, make names unique",
                    shown(self.pairs[two[1]].0.as_bytes()),
                    self.numbers[two[0]]
                )
                .into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, column: Option<&str>) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read_labels(path, column)
    }

    #[test]
    fn quoted_fields_and_columns_are_read() {
        let text = "cell,batch,type\r\n\"a,1\",x,\"T \"\"CD4\"\"\"\r\nb,y,\r\n\r\n";
        let labels = read(text, Some("type")).unwrap();
        let expected = [("a,1", "T \"CD4\""), ("b", "")].map(|(a, b)| (a.into(), b.into()));
        assert_eq!(labels, expected);
    }

    #[test]
    fn unclear_or_ragged_files_are_refused() {
        for (text, column, expected) in [
            ("cell,a,b\n", None, "line 1: which column"),
            ("cell,a,b\n", Some("c"), "no column \"c\"; there are: a, b"),
            ("cell,a,b\n", Some("cell"), "no column \"cell\""),
            ("cell\nx\n", None, "line 1: expected two columns"),
            ("cell,a\nx,1\ny\n", None, "line 3: found 1 fields"),
            ("cell,a\n\"x,1\n", None, "line 2: a quoted field"),
            ("", None, "line 1: expected a header"),
            (
                "cell,a\nx,1\n\ny,1\nx,1\n",
                None,
                "line 5: the cell \"x\" occurs more than once, first in line 2",
            ),
            ("x,T\ny,B\nz,T\n", None, "line 1: is this line a header"),
            ("x,NA\ny,B\nz,NA\n", None, "line 1: is this line a header"),
            (
                "cell,a\nx,1\nx ,1\n",
                None,
                "line 3: the cell \"x\" occurs more than once",
            ),
            (
                "cell,a\nx,1\n#y,2\n",
                None,
                "line 3: is this line a comment?",
            ),
            ("cell,a\n#y,2\n", None, "line 2: is this line a comment?"),
            // Row numbers and a label that is missing, or cells and a separator.
            (
                "barcode,type\n1,a1,\n2,b1,B\n",
                Some("type"),
                "line 1: do the lines start with their numbers",
            ),
            (
                "type,note\na1,T,\nb1,B,x\n",
                None,
                "line 3: found 3 fields, but the header has 2",
            ),
            (
                "AAACCCAAGAAACACT-1,T,1\nAAACCCAAGAAACCAT-1,B,2\n",
                None,
                "line 1: the file has no header",
            ),
            (
                "AAACCCAAGAAACACT-1,T\nAAACCCAAGAAACCAT-1,B\n",
                Some("type"),
                "line 1: the file has no header",
            ),
        ] {
            let message = read(text, column).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_label_that_is_missing_is_no_separator() {
        let expected = [("a1", ""), ("b1", "B")].map(|(a, b)| (a.to_string(), b.to_string()));
        for text in [
            "cell,type\na1,\nb1,B\n",
            "type\na1,\nb1,B\n",
            "\"type\"\n\"a1\",\"\"\n\"b1\",\"B\"\n",
            "\"barcode\",\"type\"\n\"1\",\"a1\",\"\"\n\"2\",\"b1\",\"B\"\n",
        ] {
            assert_eq!(read(text, Some("type")).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn blanks_do_not_count_and_texts_for_missing_labels_are_none() {
        let text =
            "cell, type\na, B\nb ,\"B \"\nc,NA\nd, <NA> \ne,None\nf,n/a\ng,NaN\nh,None of these\n";
        let labels = read(text, Some("type")).unwrap();
        let expected = [
            ("a", "B"),
            ("b", "B"),
            ("c", ""),
            ("d", ""),
            ("e", ""),
            ("f", ""),
            ("g", ""),
            ("h", "None of these"),
        ]
        .map(|(a, b)| (a.to_string(), b.to_string()));
        assert_eq!(labels, expected);
    }

    #[test]
    fn files_without_a_header_lose_no_cell() {
        for text in [
            "AAACCCAAGAAACACT-1,T\nAAACCCAAGAAACCAT-1,B\n",
            "AAACCCAAGAAACACT-1,3\nAAACCCAAGAAACCAT-1,4\n",
            "cell_7;T\ncell_8;B\n",
            "x,1\ny,2\n",
        ] {
            assert_eq!(read(text, None).unwrap().len(), 2, "{text:?}");
        }
    }

    #[test]
    fn files_of_other_programs_are_read() {
        let expected = [("a1", "T"), ("b1", "B")].map(|(a, b)| (a.to_string(), b.to_string()));
        for (text, column) in [
            // R: write.table, quoted, with and without row numbers.
            ("\"type\"\n\"a1\" \"T\"\n\"b1\" \"B\"\n", None),
            (
                "\"barcode\" \"type\"\n\"1\" \"a1\" \"T\"\n\"2\" \"b1\" \"B\"\n",
                Some("type"),
            ),
            (
                "\"\",\"barcode\",\"type\"\n\"1\",\"a1\",\"T\"\n\"2\",\"b1\",\"B\"\n",
                None,
            ),
            // pandas: an index without a name.
            (",barcode,type\n0,a1,T\n1,b1,B\n", Some("type")),
            (",0\na1,T\nb1,B\n", None),
            // Comments, separators and blanks at ends of lines.
            ("# made by hand\ncell\ttype\t\na1\tT\t\nb1\tB\t\n\n", None),
            // pandas: an index of names that are unique, beside barcodes that are not.
            (",barcode,type\na1,AAAC-1,T\nb1,AAAC-1,B\n", Some("type")),
            ("index,type,cell_id\na1,T,7\nb1,B,7\n", Some("type")),
            (
                "\"barcode\" \"type\"\n\"a1\" \"AAAC-1\" \"T\"\n\"b1\" \"AAAC-1\" \"B\"\n",
                Some("type"),
            ),
            ("#\ttype\na1\tT\nb1\tB\n", None),
            ("cell,type\n# donor 1\na1,T\n#donor 2\nb1,B\n", None),
            ("x,type\na1,T,\nb1,B,\n", None),
            ("x,type\na1,T,\nb1,B,\n", Some("type")),
            ("cell,type\na1,T,\nb1,B,\n", None),
            ("cell;type\na1;T;\nb1;B\n", Some("type")),
            ("cell\tbatch\ttype\na1\tx\tT\t\nb1\ty\tB\t\n", Some("type")),
            ("cell,type,\na1,T\nb1,B\n", None),
            (
                "#cell\ttype\na1\tT\nb1\tB\n,,\n".trim_end_matches(",,\n"),
                None,
            ),
        ] {
            assert_eq!(read(text, column).unwrap(), expected, "{text:?}");
        }
    }
}
