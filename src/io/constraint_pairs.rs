//! Constraint pairs in delimited files.

use std::path::Path;

use super::budget::Budget;
use super::delimited::{Separator, UNCLOSED, read_head};
use super::name_kinds::{Heading, plain};
use super::text::{Lines, Refusal, shown};
use crate::error::Result;

/// Whether two cells belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PairKind {
    /// They belong to one cluster.
    MustLink,
    /// They belong to different clusters.
    CannotLink,
}

/// A pair of cells as a file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedPair {
    /// The name of the first cell.
    pub first: String,
    /// The name of the second cell.
    pub second: String,
    /// What is said of them.
    pub kind: PairKind,
    /// The line of the file that says it, counted from 1.
    pub line: usize,
}

/// Reads constraint pairs from a delimited file of three columns: the names of two cells, and `must`
/// or `cannot` (also `must-link` and `cannot-link`, with whatever between the words).
///
/// The separator is that of the extension (`.csv`, `.tsv`) or the one that divides the first lines;
/// the file may be gzip, in UTF-8 or UTF-16, fields may be quoted, lines that start with `#` are
/// comments; one that may be a pair is refused. A first line is a header where its third field says what
/// the column holds (`kind`, `type`, `link`, `constraint`, …), or its first two head cells (`first` and
/// `second`, `cell`, `barcode`, …); any other is a pair.
///
/// Cells are named as their source names them;
/// [`ConstraintPairs`](crate::pairs::ConstraintPairs) wants their positions among the cells that
/// preprocessing kept.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with file and line for a line of another number of fields,
/// or with another third field; [`Error::Io`](crate::Error::Io) when the file cannot be read;
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
///
/// ```
/// use celldec::io::{PairKind, read_constraint_pairs};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("pairs.csv");
/// # std::fs::write(&path, "first,second,kind\nAAAC-1,TTGT-1,must\n").unwrap();
///
/// let pairs = read_constraint_pairs(&path)?;
/// assert_eq!((pairs[0].first.as_str(), pairs[0].second.as_str()), ("AAAC-1", "TTGT-1"));
/// assert_eq!((pairs[0].kind, pairs[0].line), (PairKind::MustLink, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_constraint_pairs(path: impl AsRef<Path>) -> Result<Vec<NamedPair>> {
    let mut lines = Lines::open(path.as_ref())?;
    let budget = lines.budget();
    let mut pairs = Vec::new();
    let Some(head) = read_head(&mut lines, None)? else {
        return Ok(pairs);
    };
    let separator = head.separator;
    let header = Some((head.header_line, head.header.as_slice()));
    let first = head.first.as_deref().map(|line| (head.first_line, line));
    for (number, line) in header.into_iter().chain(first) {
        let is_first = number == head.header_line;
        push(&mut pairs, line, number, separator, is_first, &budget)
            .map_err(|refusal| lines.refuse_at(number, refusal))?;
    }
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.read()? else {
            return Ok(pairs);
        };
        let pushed = separator.read_line(line, 3, |line| {
            push(&mut pairs, line, number, separator, false, &budget)
        });
        pushed.map_err(|refusal| lines.refuse(refusal))?;
    }
}

/// Adds the pair of a line; the first line may be a header, which is none.
fn push(
    pairs: &mut Vec<NamedPair>,
    line: &[u8],
    number: usize,
    separator: Separator,
    is_first: bool,
    budget: &Budget,
) -> std::result::Result<(), Refusal> {
    let mut rest = Some(separator.trimmed(line));
    let mut next = || -> std::result::Result<_, Refusal> {
        let Some(fields) = rest else { return Ok(None) };
        let (field, after) = separator.next_field(fields).ok_or(UNCLOSED)?;
        rest = after;
        Ok(Some(field))
    };
    let (Some(first), Some(second), Some(kind), None) = (next()?, next()?, next()?, next()?) else {
        return Err("expected three fields: barcode,barcode,must or barcode,barcode,cannot".into());
    };
    let word = kind.trim_ascii();
    let kind = match kind_of(word) {
        Some(kind) => kind,
        None if is_first && is_header([&*first, &*second, word]) => return Ok(()),
        None => {
            let header = if is_first {
                "; a header is known by headings such as first,second,kind"
            } else {
                ""
            };
            let reason = format!(
                "the third field is \"{}\", expected must or cannot{header}",
                shown(word)
            );
            return Err(reason.into());
        }
    };
    let pair = NamedPair {
        first: budget.name(first.trim_ascii())?,
        second: budget.name(second.trim_ascii())?,
        kind,
        line: number,
    };
    budget.push(pairs, pair)?;
    Ok(())
}

fn kind_of(word: &[u8]) -> Option<PairKind> {
    match plain(std::str::from_utf8(word).ok()?)?.as_str() {
        "must" | "mustlink" => Some(PairKind::MustLink),
        "cannot" | "cannotlink" => Some(PairKind::CannotLink),
        _ => None,
    }
}

/// Whether fields head columns. Those that may be a pair with a mistyped kind are none: it would be
/// lost.
fn is_header(fields: [&[u8]; 3]) -> bool {
    /// Headings as [`plain`] makes them.
    const OF_KINDS: [&str; 15] = [
        "kind",
        "kinds",
        "type",
        "types",
        "pairtype",
        "link",
        "links",
        "linktype",
        "constraint",
        "constraints",
        "constrainttype",
        "relation",
        "relationship",
        "label",
        "class",
    ];
    const OF_CELLS: [&str; 4] = ["first", "second", "from", "to"];
    let [first, second, kind] = fields.map(String::from_utf8_lossy);
    let heads_cells = |field: &str| {
        Heading::of(field) == Some(Heading::Cells)
            || plain(field).is_some_and(|field| OF_CELLS.contains(&field.as_str()))
    };
    let heads_kinds = plain(&kind).is_some_and(|kind| OF_KINDS.contains(&kind.as_str()));
    heads_kinds || (heads_cells(&first) && heads_cells(&second))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::error::Error;

    fn read(name: &str, bytes: &[u8]) -> Result<Vec<(String, String, PairKind, usize)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let pairs = read_constraint_pairs(path)?;
        let fields = |pair: NamedPair| (pair.first, pair.second, pair.kind, pair.line);
        Ok(pairs.into_iter().map(fields).collect())
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The pair of `ä` and `b` that must link in this line, and one of `b` and `c` in the next.
    fn two(line: usize) -> Vec<(String, String, PairKind, usize)> {
        vec![
            ("ä".into(), "b".into(), PairKind::MustLink, line),
            ("b".into(), "c".into(), PairKind::CannotLink, line + 1),
        ]
    }

    #[test]
    fn pairs_are_read_in_any_encoding_and_with_any_line_ends() {
        let text = "ä,b,must\nb,c,Cannot\n";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let units = format!("\u{feff}{text}");
            units.encode_utf16().flat_map(bytes).collect()
        };
        for (what, bytes) in [
            ("UTF-8", text.into()),
            ("byte order mark", format!("\u{feff}{text}").into()),
            ("UTF-16, low byte first", utf16(u16::to_le_bytes)),
            ("UTF-16, high byte first", utf16(u16::to_be_bytes)),
            ("both line ends", text.replace('\n', "\r\n").into()),
            ("carriage returns", text.replace('\n', "\r").into()),
            ("gzip", compressed(text.as_bytes())),
        ] {
            assert_eq!(read("pairs.csv", &bytes).unwrap(), two(1), "{what}");
        }
    }

    #[test]
    fn headers_comments_and_separators_are_understood() {
        for (name, text, line) in [
            ("pairs.csv", "first,second,kind\nä,b,must\nb,c,cannot\n", 2),
            ("pairs.csv", "\n# ours\n\"ä\", b ,must\n\"b\",c,cannot", 3),
            ("pairs.tsv", "ä\tb\tmust\nb\tc\tcannot\n\n", 1),
            ("pairs.csv", "ä;b;must\nb;c;cannot\n", 1),
            ("pairs.csv", "ä,b,must\nb,c,cannot\n# a, b, c\n#\n", 1),
            ("pairs.csv", "ä,b,must-link\nb,c,Cannot_Link\n", 1),
            (
                "pairs.csv",
                "cell1,cell2,Link type\nä,b,must link\nb,c,cannot link\n",
                2,
            ),
            (
                "pairs.csv",
                "Barcode,barcode,what\nä,b,must\nb,c,cannot\n",
                2,
            ),
            ("pairs.txt", "#a\tb\tkind\nä\tb\tMUST\nb\tc\tcannot\n", 2),
        ] {
            assert_eq!(read(name, text.as_bytes()).unwrap(), two(line), "{text:?}");
        }
        for nothing in ["", "\n\n", "# none\n", "a,b,kind\n"] {
            assert_eq!(read("pairs.csv", nothing.as_bytes()).unwrap(), []);
        }
    }

    #[test]
    fn other_lines_are_refused_with_their_number() {
        for (text, expected) in [
            ("a,b\nb,c,must\n", "line 1: expected three fields"),
            (
                "AAAC-1,TTTG-1,mustlnk\n",
                "line 1: the third field is \"mustlnk\", expected must or cannot; a header",
            ),
            ("x1,x2,1\nx1,x3,0\n", "line 1: the third field is \"1\""),
            ("a,b,must\nb,c,must,now\n", "line 2: expected three fields"),
            (
                "a,b,must\n\nb,c,maybe\n",
                "line 3: the third field is \"maybe\"",
            ),
            ("a,b,must\n\"b,c,must\n", "line 2: a quoted field"),
        ] {
            let message = read("pairs.csv", text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_small_file_of_many_pairs_is_stopped() {
        let error = read("pairs.csv", &compressed(&b"a,b,must\n".repeat(4 << 20))).unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
    }
}
