//! Fields of delimited text: separators, quotes, comments.

use std::borrow::Cow;
use std::path::Path;

use super::budget::Budget;
use super::name_kinds::{Heading, is_number};
use super::text::{Lines, Refusal, shown};
use crate::error::Result;

/// What stands between fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// One byte: two of them enclose an empty field.
    Byte(u8),
    /// Any number of spaces and tabs, as in text that is aligned for reading.
    Blanks,
}

/// A field, and what follows its separator where there is one.
pub(super) type Field<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// The refusal of a line where [`Separator::next_field`] finds no end.
pub(super) const UNCLOSED: &str = "a quoted field does not end where the field ends";

impl Separator {
    /// The separator that a byte stands for.
    pub fn from_byte(byte: u8) -> Self {
        if byte == b' ' {
            Self::Blanks
        } else {
            Self::Byte(byte)
        }
    }

    /// Which separator a file uses: that of its extension, or tab, comma, semicolon or blanks; the
    /// first one that divides two lines as the first two of a table are divided.
    pub fn of(path: &Path, first: &[u8], second: Option<&[u8]>) -> Self {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let by_extension = match stem.rsplit('.').next() {
            Some("csv") => Some(Self::Byte(b',')),
            Some("tsv") => Some(Self::Byte(b'\t')),
            _ => None,
        };
        let usual = [b'\t', b',', b';', b' '].map(Self::from_byte);
        let candidates = || by_extension.into_iter().chain(usual);
        let divided = |line: &[u8], separator: Self| separator.count(line).unwrap_or(1);
        if let Some(second) = second {
            // A header may lack a name above the names of lines, or end in a separator.
            let fits = |separator: &Self| {
                let (first, second) = (divided(first, *separator), divided(second, *separator));
                second >= 2 && first.abs_diff(second) <= 1
            };
            let in_both =
                candidates().find(|candidate| fits(candidate) && divided(first, *candidate) >= 2);
            if let Some(separator) = in_both.or_else(|| candidates().find(fits)) {
                return separator;
            }
        }
        candidates()
            .find(|&candidate| divided(first, candidate) >= 2)
            .or(by_extension)
            .unwrap_or(Self::Byte(b'\t'))
    }

    /// The line without what does not belong to its fields.
    pub fn trimmed(self, line: &[u8]) -> &[u8] {
        match self {
            Self::Byte(_) => line,
            Self::Blanks => line.trim_ascii(),
        }
    }

    /// Whether a line after the header is left out: a comment, or one that has nothing but separators
    /// and blanks.
    ///
    /// What starts with `#` like a name, and has as many fields as lines have, may be either.
    pub fn leaves_out(self, line: &[u8], width: usize) -> std::result::Result<bool, Refusal> {
        let Some(comment) = line.strip_prefix(b"#") else {
            return Ok(line.iter().all(|byte| match self {
                Self::Byte(separator) => *byte == separator || byte.is_ascii_whitespace(),
                Self::Blanks => byte.is_ascii_whitespace(),
            }));
        };
        let is_word = comment
            .first()
            .is_some_and(|byte| *byte != b'#' && !byte.is_ascii_whitespace());
        if is_word && width > 1 && self.count(line).is_some_and(|fields| fields >= width) {
            return Err(format!(
                "is this line a comment? It starts with \"{}\" and has fields like other lines; \
                 remove it, or quote the name",
                shown(&line[..line.len().min(20)])
            )
            .into());
        }
        Ok(true)
    }

    /// Reads a line after the header, unless it is [left out](Self::leaves_out).
    pub fn read_line(
        self,
        line: &[u8],
        width: usize,
        read: impl FnOnce(&[u8]) -> std::result::Result<(), Refusal>,
    ) -> std::result::Result<(), Refusal> {
        match self.leaves_out(line, width)? {
            true => Ok(()),
            false => read(line),
        }
    }

    /// Whether a separator ends the line; a last field that is empty may also be quoted.
    pub fn ends(self, line: &[u8]) -> bool {
        match self {
            Self::Byte(separator) => line.last() == Some(&separator),
            Self::Blanks => false,
        }
    }

    /// How many fields a line has; `None` when a quoted one does not end on the line.
    pub fn count(self, line: &[u8]) -> Option<usize> {
        let mut rest = Some(self.trimmed(line));
        let mut fields = 0;
        while let Some(line) = rest {
            fields += 1;
            rest = if line.first() == Some(&b'"') {
                self.next_field(line)?.1
            } else {
                self.next_plain_field(line).1
            };
        }
        Some(fields)
    }

    /// The names in the header of a delimited table.
    pub fn split_names(
        self,
        line: &[u8],
        budget: &Budget,
    ) -> std::result::Result<Vec<String>, Refusal> {
        let line = self.trimmed(line);
        let most = self.count(line).ok_or(UNCLOSED)?;
        let mut names = budget.list(most)?;
        let mut rest = Some(line);
        while let Some(fields) = rest {
            let (field, after) = self.next_name(fields).ok_or(UNCLOSED)?;
            names.push(budget.name(&field)?);
            rest = after;
        }
        Ok(names)
    }

    /// As [`next_field`](Self::next_field); blanks around a name count within quotes only.
    pub fn next_name(self, line: &[u8]) -> Option<Field<'_>> {
        if line.first() == Some(&b'"') {
            return self.next_field(line);
        }
        let (name, after) = self.next_plain_field(line);
        Some((name.trim_ascii().into(), after))
    }

    /// The first field and what follows its separator; `None` when a quoted field does not end on
    /// the line.
    ///
    /// Quoted fields may hold the separator; a quote within is doubled (RFC 4180) or, as R's
    /// `write.table` writes it, preceded by a backslash.
    pub fn next_field(self, line: &[u8]) -> Option<Field<'_>> {
        let Some(mut rest) = line.strip_prefix(b"\"") else {
            let (field, after) = self.next_plain_field(line);
            return Some((field.into(), after));
        };
        let mut field = Vec::new();
        loop {
            let quote = rest.iter().position(|&byte| byte == b'"')?;
            field.extend_from_slice(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.first() {
                None => return Some((field.into(), None)),
                // A quote that follows a backslash, and then the one that ends the field.
                Some(b'"')
                    if field.last() == Some(&b'\\')
                        && rest.get(1).is_none_or(|&byte| self.separates(byte)) =>
                {
                    field.pop();
                    field.push(b'"');
                    let after = rest.get(2..).and_then(|rest| self.after(rest));
                    return Some((field.into(), after));
                }
                Some(b'"') => {
                    field.push(b'"');
                    rest = &rest[1..];
                }
                Some(&byte) if self.separates(byte) => {
                    return Some((field.into(), self.after(&rest[1..])));
                }
                Some(_) if field.last() == Some(&b'\\') => {
                    field.pop();
                    field.push(b'"');
                }
                Some(_) => return None,
            }
        }
    }

    /// The first field of a line without quotes and what follows its separator.
    #[inline]
    pub fn next_plain_field(self, line: &[u8]) -> (&[u8], Option<&[u8]>) {
        match line.iter().position(|&byte| self.separates(byte)) {
            Some(end) => (&line[..end], self.after(&line[end + 1..])),
            None => (line, None),
        }
    }

    #[inline]
    fn separates(self, byte: u8) -> bool {
        match self {
            Self::Byte(separator) => byte == separator,
            Self::Blanks => matches!(byte, b' ' | b'\t'),
        }
    }

    /// What follows a separator: blanks at the end of a line separate nothing.
    #[inline]
    fn after(self, rest: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Byte(_) => Some(rest),
            Self::Blanks => {
                let rest = rest.trim_ascii_start();
                (!rest.is_empty()).then_some(rest)
            }
        }
    }
}

/// The first lines of a delimited file, its comments left out.
pub(super) struct Head {
    /// The first line: a header, where there is one.
    pub header: Vec<u8>,
    /// Its number.
    pub header_line: usize,
    /// The line after it.
    pub first: Option<Vec<u8>>,
    /// Its number.
    pub first_line: usize,
    /// How its fields are separated.
    pub separator: Separator,
}

/// Reads the first two lines that are neither blank nor comments, which start with `#`; `None` when
/// there are none.
///
/// A comment that heads columns, as in `#cell  cluster`, is the header. A first line `sep=;` is for Excel
/// and names the separator, unless the caller does.
pub(super) fn read_head(lines: &mut Lines, separator: Option<Separator>) -> Result<Option<Head>> {
    let mut separator = separator;
    let path = lines.path().to_path_buf();
    let mut comment: Option<(usize, Vec<u8>)> = None;
    let header = loop {
        match read_line(lines)? {
            None => break None,
            Some(line) if line.starts_with(b"#") => comment = Some((lines.number(), line)),
            Some(line) => match named_separator(&line) {
                Some(named) if lines.number() == 1 => separator = separator.or(Some(named)),
                _ => break Some(line),
            },
        }
    };
    let Some(line) = header else {
        return Ok(None);
    };
    let number = lines.number();
    if let Some((comment_line, comment)) = comment {
        let comment = unmarked(&comment);
        let separator = separator.unwrap_or_else(|| Separator::of(&path, comment, Some(&line)));
        if heads(comment, &line, separator) {
            return Ok(Some(Head {
                header: comment.to_vec(),
                header_line: comment_line,
                first: Some(line),
                first_line: number,
                separator,
            }));
        }
    }
    let by_header = separator.unwrap_or_else(|| Separator::of(&path, &line, None));
    let width = by_header.count(&line).unwrap_or(1);
    let first = loop {
        match read_line(lines)? {
            Some(line) if line.starts_with(b"#") => {
                let left_out = by_header.leaves_out(&line, width);
                left_out.map_err(|refusal| lines.refuse(refusal))?;
            }
            first => break first,
        }
    };
    let separator = separator.unwrap_or_else(|| Separator::of(&path, &line, first.as_deref()));
    Ok(Some(Head {
        header: line,
        header_line: number,
        first,
        first_line: lines.number(),
        separator,
    }))
}

/// The separator of a line such as `sep=;`, which other separators may end.
fn named_separator(line: &[u8]) -> Option<Separator> {
    let (word, rest) = line.split_at_checked(4)?;
    if !word.eq_ignore_ascii_case(b"sep=") {
        return None;
    }
    match rest.split_first()? {
        (&byte, after) if after.iter().all(|&other| other == byte) => {
            Some(Separator::from_byte(byte))
        }
        _ => None,
    }
}

/// A comment without what marks it as one: a separator after it divides an empty field.
fn unmarked(comment: &[u8]) -> &[u8] {
    let marks = comment.iter().take_while(|&&byte| byte == b'#').count();
    let blanks = comment[marks..].iter().take_while(|&&byte| byte == b' ');
    &comment[marks + blanks.count()..]
}

/// Whether a comment names the columns of the line after it.
fn heads(comment: &[u8], line: &[u8], separator: Separator) -> bool {
    let (Some(columns), Some(fields)) = (separator.count(comment), separator.count(line)) else {
        return false;
    };
    if columns < 2 {
        return false;
    }
    let name = |line| {
        let (name, _) = separator.next_plain_field(separator.trimmed(line));
        Heading::of(&String::from_utf8_lossy(name))
    };
    let last_is_number = |line| is_number(last_field(line, separator));
    let counts_follow = last_is_number(line) && !last_is_number(comment);
    // Words of prose are divided by blanks, names of columns by separators alone.
    let is_bare = matches!(separator, Separator::Byte(_))
        && !comment
            .iter()
            .any(|byte| byte.is_ascii_whitespace() && !separator.separates(*byte));
    // R writes no heading above the names of lines.
    if columns + 1 == fields {
        return is_bare && counts_follow;
    }
    columns == fields
        && match name(comment) {
            Some(Heading::Genes | Heading::Symbols | Heading::Cells) => true,
            Some(Heading::Neutral) if is_bare && name(line).is_none() => true,
            _ => counts_follow,
        }
}

fn last_field(line: &[u8], separator: Separator) -> &[u8] {
    let mut line = separator.trimmed(line);
    while let (_, Some(rest)) = separator.next_plain_field(line) {
        line = rest;
    }
    line
}

/// The next line that is not blank, to keep.
fn read_line(lines: &mut Lines) -> Result<Option<Vec<u8>>> {
    let budget = lines.budget();
    loop {
        let copy = match lines.read()? {
            None => return Ok(None),
            Some(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Some(line) => budget.list(line.len()).map(|mut copy: Vec<u8>| {
                copy.extend_from_slice(line);
                copy
            }),
        };
        return copy.map(Some).map_err(|shortage| lines.refuse(shortage));
    }
}

/// A field for a delimited file, quoted when it must be.
pub(super) fn quoted(field: &str, separator: char) -> Cow<'_, str> {
    // Blanks around a name would not be read back without quotes.
    let needs_quotes = field.contains([separator, '"', '\n', '\r']) || field.trim_ascii() != field;
    if needs_quotes {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_follow_the_extension_unless_absent() {
        for (name, first, second, expected) in [
            ("a.csv", "x,y\tz", None, Separator::Byte(b',')),
            ("a.csv.gz", "x;y", None, Separator::Byte(b';')),
            ("a.tsv", "x\ty,z", None, Separator::Byte(b'\t')),
            ("a.txt", "x y", None, Separator::Blanks),
            ("a.csv", "x", None, Separator::Byte(b',')),
            (
                "a.csv",
                "c\tg,1\th",
                Some("x\t1\t2"),
                Separator::Byte(b'\t'),
            ),
            ("a.csv", "c;g", Some("x;1,5"), Separator::Byte(b';')),
            ("a.csv", "label", Some("x,T"), Separator::Byte(b',')),
            ("a.txt", "  g   h", Some("x 1   2"), Separator::Blanks),
            ("a.csv", "c,g,h,", Some("x,1,2"), Separator::Byte(b',')),
        ] {
            let found = Separator::of(Path::new(name), first.as_bytes(), second.map(str::as_bytes));
            assert_eq!(found, expected, "{name}: {first:?}");
        }
    }

    #[test]
    fn quotes_are_doubled_or_follow_a_backslash() {
        let comma = Separator::Byte(b',');
        let budget = Budget::new([(0, 0)]);
        for (line, expected) in [
            (r#""a ""b""",c"#, ["a \"b\"", "c"]),
            (r#""a \"b\"","c""#, ["a \"b\"", "c"]),
            (r#""a\",c"#, ["a\\", "c"]),
        ] {
            assert_eq!(
                comma.split_names(line.as_bytes(), &budget).unwrap(),
                expected
            );
        }
        assert_eq!(comma.count(b"\"a,b"), None);
        assert_eq!(Separator::Blanks.count(b"  a  \"b c\"\t 3  "), Some(3));
    }

    fn head(text: &str) -> Option<Head> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.txt");
        std::fs::write(&path, text).unwrap();
        read_head(&mut Lines::open(&path).unwrap(), None).unwrap()
    }

    #[test]
    fn comments_are_left_out_unless_they_head_columns() {
        for (text, header, line) in [
            ("GENE\tA\nx\t1\n", "GENE\tA", 1),
            ("##v 1\n\n##w\nCell_Index,A\n1,2\n", "Cell_Index,A", 4),
            (
                "#DGE\tVERSION:1.1\tFORMAT:raw\nGENE\tA\tB\nx\t1\t2\n",
                "GENE\tA\tB",
                2,
            ),
            ("#A B\nx 1\ny 2\n", "A B", 1),
            ("#note of a b\nx\t1\n", "x\t1", 2),
            ("# cell\tcluster\nx\tT\n", "cell\tcluster", 1),
            // Nothing above the names, or no field for it.
            ("#\tA\tB\nx\t1\t2\n", "\tA\tB", 1),
            ("# \tA\tB\nx\t1\t2\n", "\tA\tB", 1),
            ("#A\tB\nx\t1\t2\n", "A\tB", 1),
            ("#\tcluster\nx\tT\n", "\tcluster", 1),
            ("#sample\tcluster\nx\tT\n", "sample\tcluster", 1),
            ("#sample\ta7\ncell\tA\nx\t1\n", "cell\tA", 2),
            ("# counts, raw\nx,1,2\n", "x,1,2", 2),
            ("#counts\nx,1\n", "x,1", 2),
        ] {
            let found = head(text).unwrap();
            assert_eq!(String::from_utf8_lossy(&found.header), header, "{text:?}");
            assert_eq!(found.header_line, line, "{text:?}");
        }
        assert!(head("#only\n\n").is_none());
    }

    #[test]
    fn a_line_for_excel_names_the_separator() {
        for (text, separator) in [
            ("sep=;\nc;g,h\nx;1\n", b';'),
            ("SEP=,\nc,g\nx,1\n", b','),
            ("sep=|\r\nc|g\r\nx|1\r\n", b'|'),
        ] {
            let found = head(text).unwrap();
            assert_eq!(found.separator, Separator::Byte(separator), "{text:?}");
            assert_eq!(found.header_line, 2, "{text:?}");
            assert!(found.header.starts_with(b"c"), "{text:?}");
        }
        assert_eq!(head("sep=x1\tA\nx\t1\n").unwrap().header_line, 1);
    }

    #[test]
    fn comments_after_the_header_are_left_out() {
        for text in [
            "cell\tA\n# cells of donor 1\nx\t1\n",
            "cell\tA\n#note\n\n##a\tb\nx\t1\n",
        ] {
            assert_eq!(head(text).unwrap().first.unwrap(), b"x\t1", "{text:?}");
        }
        let comma = Separator::Byte(b',');
        for line in ["", ",,", " ", "#", "# a, b, c", "##a,b,c", "#a,b"] {
            assert!(comma.leaves_out(line.as_bytes(), 3).unwrap(), "{line:?}");
        }
        for line in ["a,1,2", "\"#a\",1,2", "x"] {
            assert!(!comma.leaves_out(line.as_bytes(), 3).unwrap(), "{line:?}");
        }
        for (separator, line) in [
            (comma, "#a,1,2"),
            (comma, "#a,1,2,"),
            (Separator::Blanks, "#a 1 2"),
        ] {
            let refused = separator.leaves_out(line.as_bytes(), 3);
            assert!(matches!(refused, Err(Refusal::Reason(_))), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn quoting_round_trips(fields in prop::collection::vec("[a-c,;\"\t ]{0,6}", 1..6)) {
            for separator in [',', '\t', ';'] {
                let line = fields
                    .iter()
                    .map(|field| quoted(field, separator).into_owned())
                    .collect::<Vec<_>>()
                    .join(&separator.to_string());
                let budget = Budget::new([(0, 0)]);
                let found = Separator::Byte(separator as u8)
                    .split_names(line.as_bytes(), &budget)
                    .unwrap();
                prop_assert_eq!(&found, &fields);
            }
        }
    }
}
