//! The files that name the rows and columns of a matrix.

use std::borrow::Cow;
use std::sync::Arc;

use super::GeneNames;
use crate::error::{Error, Result};
use crate::io::budget::{Budget, Shortage, bytes_of};
use crate::io::delimited::Separator;
use crate::io::features::{FeatureTypes, is_feature_type};
use crate::io::name_kinds::{Heading, is_gene_identifier};
use crate::io::text::{Lines, Refusal, shown};

/// The lines of a file of names, to find out what their columns are.
pub(super) struct NameLines {
    lines: Lines,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Blank lines at the end, which are not among the others.
    blank: usize,
    /// How its fields are separated; `None` where a line is a single field.
    separator: Option<Separator>,
    /// Lines before the first name: 1 where there is a header.
    header: usize,
}

impl NameLines {
    /// Reads all lines; blank ones at the end do not count.
    pub fn read(mut lines: Lines) -> Result<Self> {
        let budget = lines.budget();
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        let mut named = (0, 0);
        let mut blank = 0;
        while let Some(line) = lines.read()? {
            // Some programs end lines at one and some do not, so they count names differently.
            if line.contains(&b'\r') {
                return Err(lines.error(
                    "a carriage return within the line; give all lines one kind of line end",
                ));
            }
            let is_blank = line.iter().all(u8::is_ascii_whitespace);
            let kept = keep(line, &mut text, &mut ends, &budget);
            kept.map_err(|shortage| lines.refuse(shortage))?;
            if is_blank {
                blank += 1;
            } else {
                named = (text.len(), ends.len());
                blank = 0;
            }
        }
        text.truncate(named.0);
        ends.truncate(named.1);
        let mut read = Self {
            lines,
            text,
            ends,
            blank,
            separator: None,
            header: 0,
        };
        read.separator = read.find_separator();
        Ok(read)
    }

    /// The file.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len() - self.header
    }

    /// Whether there are so many names, or one more line, which is a header.
    pub fn fits(&self, names: u64) -> bool {
        self.ends.len() as u64 == names || (self.has_one_more_than(names) && self.is_headed())
    }

    fn has_one_more_than(&self, names: u64) -> bool {
        self.ends.len().checked_sub(1).map(|lines| lines as u64) == Some(names)
    }

    /// Takes the first line for a header when there is one more line than names.
    pub fn leave_header(&mut self, names: u64) {
        self.header = usize::from(self.ends.len() as u64 > names && self.is_headed());
    }

    /// Takes these for the symbols of as many genes, a line for each: a symbol may be missing at the
    /// end as elsewhere. A header is left out.
    pub fn match_genes(&mut self, genes: &Self) -> Result<()> {
        let wanted = genes.len();
        // A first line without a symbol is that of a gene.
        self.header = usize::from(self.is_headed() && !self.line(0).trim_ascii().is_empty());
        let named = self.len();
        if named == wanted || named + self.blank == wanted {
            return Ok(());
        }
        let reason = format!(
            "its symbols are {named}{}, but {} names {wanted} genes; the files must belong \
             together, or take identifiers with `MtxOptions::with_gene_names(GeneNames::Ids)`",
            self.doubt(wanted as u64),
            genes.lines().path().display()
        );
        Err(Error::format(self.lines.path(), None, reason))
    }

    /// What a message says of a first line that may be a header.
    pub fn doubt(&self, names: u64) -> String {
        if self.has_one_more_than(names) {
            format!(
                " (is its line 1, \"{}\", a header? then remove it)",
                shown(self.line(0))
            )
        } else {
            String::new()
        }
    }

    /// Names and types of the features.
    pub fn genes(
        self,
        gene_names: GeneNames,
        types: &FeatureTypes,
        symbols: Option<NameLines>,
    ) -> Result<(Vec<String>, Vec<Option<String>>)> {
        let columns = self.feature_columns(types);
        let budget = self.lines.budget();
        let mut genes = Vec::new();
        let mut found_types = Vec::new();
        for position in 0..self.len() {
            let kept = self.gene(position, &columns, gene_names, symbols.as_ref(), &budget);
            let kept = kept.and_then(|(name, feature_type)| {
                budget.push(&mut genes, name)?;
                Ok(budget.push(&mut found_types, feature_type)?)
            });
            kept.map_err(|refusal| self.refuse(position, refusal))?;
        }
        self.free(&budget);
        if let Some(symbols) = symbols {
            symbols.free(&budget);
        }
        Ok((genes, found_types))
    }

    fn gene(
        &self,
        position: usize,
        columns: &FeatureColumns,
        gene_names: GeneNames,
        symbols: Option<&NameLines>,
        budget: &Budget,
    ) -> std::result::Result<(String, Option<String>), Refusal> {
        let fields = self.fields(self.header + position);
        let field = |at: usize| fields.get(at).map_or(&b""[..], |field| field.trim_ascii());
        let id = field(columns.id);
        let own = columns.symbol.map_or(&b""[..], field);
        let beside = symbols
            .filter(|symbols| position < symbols.len())
            .map(|symbols| symbols.line(symbols.header + position).trim_ascii());
        let symbol = beside.unwrap_or(own);
        let [first, second] = match gene_names {
            GeneNames::Symbols => [symbol, id],
            GeneNames::Ids => [id, symbol],
        };
        let name = if first.is_empty() { second } else { first };
        if name.is_empty() {
            return Err(
                "the gene name is empty; expected an id and a symbol, separated by a tab".into(),
            );
        }
        let feature_type = columns.feature_type.map_or(&b""[..], field);
        let feature_type = match feature_type.is_empty() {
            true => None,
            false => Some(budget.name(feature_type)?),
        };
        Ok((budget.name(name)?, feature_type))
    }

    /// Names of the cells.
    pub fn cells(self) -> Result<Vec<String>> {
        let headed = self.heading_at(|heading| heading == Heading::Cells);
        let column = headed.unwrap_or(usize::from(self.is_numbered()));
        let budget = self.lines.budget();
        let mut cells = Vec::new();
        for position in 0..self.len() {
            let fields = self.fields(self.header + position);
            let name = fields.get(column).map_or(&b""[..], |field| field.as_ref());
            if name.is_empty() {
                let reason = "the cell barcode is empty; expected one barcode a line";
                return Err(self.refuse(position, reason));
            }
            let kept = budget
                .name(name)
                .and_then(|name| budget.push(&mut cells, name));
            kept.map_err(|shortage| self.refuse(position, shortage))?;
        }
        self.free(&budget);
        Ok(cells)
    }

    fn refuse(&self, position: usize, refusal: impl Into<Refusal>) -> Error {
        self.lines.refuse_at(self.header + position + 1, refusal)
    }

    fn free(self, budget: &Arc<Budget>) {
        budget.give_back(self.text.capacity() as u64 + bytes_of::<usize>(self.ends.capacity()));
    }

    fn line(&self, line: usize) -> &[u8] {
        let start = line.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[line]]
    }

    /// Fields of a line, without quotes around them.
    fn fields(&self, line: usize) -> Vec<Cow<'_, [u8]>> {
        /// More columns than any such file has.
        const MOST: usize = 16;
        let line = self.line(line);
        let Some(separator) = self.separator else {
            return vec![unquoted(line)];
        };
        let mut fields = Vec::new();
        let mut rest = Some(separator.trimmed(line));
        while let Some(line) = rest
            && fields.len() < MOST
        {
            // A quote that does not end is part of a name.
            let (field, after) = separator.next_field(line).unwrap_or_else(|| {
                let (field, after) = separator.next_plain_field(line);
                (field.into(), after)
            });
            fields.push(field);
            rest = after;
        }
        fields
    }

    /// A tab, unless lines have none: names may hold blanks and commas, so these divide only what
    /// cannot be a name. Any line may be one that lacks a symbol.
    fn find_separator(&self) -> Option<Separator> {
        let last = self.ends.len().checked_sub(1)?;
        let comma = Separator::Byte(b',');
        let name = self.lines.path().to_string_lossy().to_ascii_lowercase();
        let is_csv = name.strip_suffix(".gz").unwrap_or(&name).ends_with(".csv");
        // The first line may be a header, which is divided in the same way.
        let line = self.line(last.min(1));
        let is_of_commas = is_csv && line.contains(&b',') && !line.contains(&b'\t');
        if self.text.contains(&b'\t') && !is_of_commas {
            return Some(Separator::Byte(b'\t'));
        }
        if is_csv {
            return Some(comma);
        }
        [comma, Separator::Blanks].into_iter().find(|&separator| {
            let is_divided = |line: &&[u8]| separator.count(line).is_some_and(|fields| fields >= 2);
            let mut lines = (1..=last).chain([0]).map(|line| self.line(line));
            let Some(line) = lines.find(is_divided) else {
                return false;
            };
            let Some((first, _)) = separator.next_field(separator.trimmed(line)) else {
                return false;
            };
            let first = String::from_utf8_lossy(&first).into_owned();
            line.starts_with(b"\"")
                || (is_gene_identifier(&first) && first.len() >= 8)
                || self.counts_up(separator)
        })
    }

    /// Whether every line starts with its number.
    fn is_numbered(&self) -> bool {
        self.separator
            .is_some_and(|separator| self.counts_up(separator))
    }

    fn counts_up(&self, separator: Separator) -> bool {
        // A header, if any, has no number.
        let first = usize::from(self.ends.len() > 2 && self.header == 1);
        let number = |line: usize| {
            let line = separator.trimmed(self.line(line));
            let (field, rest) = separator.next_field(line)?;
            rest?;
            String::from_utf8_lossy(&field).parse::<usize>().ok()
        };
        let from = match number(first) {
            Some(from @ (0 | 1)) => from,
            _ => return false,
        };
        self.ends.len() > first + 1
            && (first..self.ends.len()).all(|line| number(line) == Some(from + line - first))
    }

    /// Whether the first line holds headings.
    fn is_headed(&self) -> bool {
        /// What R and pandas call columns that have no name.
        const UNNAMED: [&str; 3] = ["x", "V1", "0"];
        if self.ends.is_empty() {
            return false;
        }
        let fields = self.fields(0);
        let texts = || fields.iter().map(|field| String::from_utf8_lossy(field));
        let says =
            |text: &str| Heading::of(text).is_some_and(|heading| heading != Heading::Neutral);
        texts().any(|text| says(&text))
            || texts().all(|text| Heading::of(&text).is_some() || UNNAMED.contains(&&*text))
    }

    /// The column of a heading, where there is a header.
    fn heading_at(&self, wanted: impl Fn(Heading) -> bool) -> Option<usize> {
        if self.header == 0 {
            return None;
        }
        let headings = self.fields(0);
        // R writes no heading above the numbers of rows.
        let shift = usize::from(self.len() > 0 && self.fields(1).len() == headings.len() + 1);
        headings
            .iter()
            .position(|text| Heading::of(&String::from_utf8_lossy(text)).is_some_and(&wanted))
            .map(|column| column + shift)
    }

    /// What the columns of a features file are: after row numbers, if any, an identifier, a symbol and
    /// a type, unless a header says otherwise.
    fn feature_columns(&self, types: &FeatureTypes) -> FeatureColumns {
        let first = usize::from(self.is_numbered());
        // Lines without a symbol may be short.
        let columns = (0..self.len())
            .map(|position| self.fields(self.header + position).len())
            .max()
            .unwrap_or_default();
        let id = self
            .heading_at(|heading| heading == Heading::Genes)
            .unwrap_or(first);
        let is_type = |column: &usize| {
            (0..self.len()).any(|position| {
                self.fields(self.header + position)
                    .get(*column)
                    .is_some_and(|field| {
                        let text = String::from_utf8_lossy(field);
                        is_feature_type(&text) || types.is_wanted(&text)
                    })
            })
        };
        // Where it is by custom, and then the others: files with a type have it in the first line.
        let feature_type = Some(first + 2)
            .filter(|column| *column < columns && is_type(column))
            .or_else(|| {
                let fields = (self.len() > 0).then(|| self.fields(self.header))?;
                let of_types =
                    |field: &Cow<'_, [u8]>| is_feature_type(&String::from_utf8_lossy(field));
                (first + 1..fields.len()).find(|&column| of_types(&fields[column]))
            });
        let symbol = self
            .heading_at(|heading| heading == Heading::Symbols)
            .or(Some(first + 1))
            .filter(|&column| column < columns && Some(column) != feature_type);
        FeatureColumns {
            id,
            symbol,
            feature_type,
        }
    }
}

#[derive(Debug)]
struct FeatureColumns {
    id: usize,
    symbol: Option<usize>,
    feature_type: Option<usize>,
}

fn keep(
    line: &[u8],
    text: &mut Vec<u8>,
    ends: &mut Vec<usize>,
    budget: &Budget,
) -> std::result::Result<(), Shortage> {
    budget.reserve(text, line.len())?;
    text.extend_from_slice(line);
    budget.push(ends, text.len())
}

fn unquoted(field: &[u8]) -> Cow<'_, [u8]> {
    let inner = field
        .strip_prefix(b"\"")
        .and_then(|field| field.strip_suffix(b"\""));
    inner.unwrap_or(field).into()
}
