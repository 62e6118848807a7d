//! Text files by line: plain or gzip, with bounded memory.

use std::borrow::Cow;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::atomic::is_gzip;
use super::budget::{Budget, OF_COMPRESSED, OF_PLAIN_TEXT, Shortage};
use super::input::open_file;
use super::read_ahead::ReadAhead;
use crate::error::{Error, Result};

/// Real count tables shrink by well under 100; deflate reaches 1032 only for constant data.
const MAX_EXPANSION: u64 = 200;
/// Small files may expand by any factor up to this many bytes.
const FREE_EXPANSION: u64 = 64 << 20;

/// Lines of a text file, without their line ends, counted from 1.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: usize,
    file_bytes: u64,
    gzip: bool,
    budget: Arc<Budget>,
}

/// What a line is refused for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is malformed.
    Reason(String),
    /// It takes too much memory.
    Shortage(Shortage),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.into())
    }
}

impl From<Shortage> for Refusal {
    fn from(shortage: Shortage) -> Self {
        Self::Shortage(shortage)
    }
}

/// The budget of files that are read together.
pub(super) fn budget_of(paths: &[&Path]) -> Result<Arc<Budget>> {
    let mut files = Vec::with_capacity(paths.len());
    for &path in paths {
        let bytes = fs::metadata(path)
            .map_err(|source| Error::io(path, source))?
            .len();
        let per_byte = if is_gzip(path) {
            OF_COMPRESSED
        } else {
            OF_PLAIN_TEXT
        };
        files.push((bytes, per_byte));
    }
    Ok(Arc::new(Budget::new(files)))
}

impl Lines {
    /// Opens a file, decompressing when the path ends in `.gz`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, budget_of(&[path])?)
    }

    /// As [`open`](Self::open), as one of several files that share a budget.
    pub(super) fn open_within(path: &Path, budget: Arc<Budget>) -> Result<Self> {
        let (file, file_bytes) = open_file(path)?;
        let gzip = is_gzip(path);
        let reader: Box<dyn BufRead> = if gzip {
            let limit = FREE_EXPANSION.max(file_bytes.saturating_mul(MAX_EXPANSION));
            let bounded = Bounded {
                inner: MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)),
                left: limit,
            };
            Box::new(ReadAhead::new(bounded).map_err(|source| Error::io(path, source))?)
        } else {
            Box::new(BufReader::with_capacity(1 << 17, file))
        };
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            line: Vec::new(),
            number: 0,
            file_bytes,
            gzip,
            budget,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What everything that is read of the file is counted in.
    pub(super) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// An error at the line last read.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::format(&self.path, self.number, reason)
    }

    /// The refusal of the line last read.
    pub(super) fn refuse(&self, refusal: impl Into<Refusal>) -> Error {
        match refusal.into() {
            Refusal::Reason(reason) => self.error(reason),
            Refusal::Shortage(shortage) => shortage.at(&self.path, format!("line {}", self.number)),
        }
    }

    /// How many lines of at least `shortest` bytes the file can plausibly hold: what may be
    /// reserved on the word of a header.
    pub(super) fn plausible_lines(&self, shortest: u64) -> usize {
        // Ten-fold is about what gzip makes of a sparse matrix; longer lists simply grow.
        let bytes = if self.gzip {
            self.file_bytes.saturating_mul(10)
        } else {
            self.file_bytes
        };
        usize::try_from(bytes / shortest + 1).unwrap_or(usize::MAX)
    }

    /// The next line, or `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        loop {
            let mut block = match self.reader.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(self.failure(source)),
            };
            if block.is_empty() {
                break;
            }
            if let Err(shortage) = self.budget.reserve(&mut self.line, block.len()) {
                return Err(self.refuse(shortage));
            }
            let taken = match block.read_until(b'\n', &mut self.line) {
                Ok(taken) => taken,
                Err(source) => return Err(self.failure(source)),
            };
            self.reader.consume(taken);
            if self.line.last() == Some(&b'\n') {
                break;
            }
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        while let Some(b'\n' | b'\r') = self.line.last() {
            self.line.pop();
        }
        let start = if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Ok(Some(&self.line[start..]))
    }

    /// What is read already of the lines to come, up to the end of a block of the file; empty at the
    /// end. For callers that know the form of their lines better than [`read`](Self::read) does.
    pub(super) fn buffered(&mut self) -> Result<&[u8]> {
        // Asked twice because a buffer cannot be returned from a match on its own error.
        if let Err(source) = self.reader.fill_buf() {
            self.number += 1;
            return Err(self.failure(source));
        }
        self.reader
            .fill_buf()
            .map_err(|source| Error::io(&self.path, source))
    }

    /// Passes over the first bytes of [`buffered`](Self::buffered), which are so many whole lines.
    pub(super) fn pass(&mut self, bytes: usize, lines: usize) {
        self.reader.consume(bytes);
        self.number += lines;
    }

    fn failure(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => Error::format(
                &self.path,
                self.number,
                format!("the compressed file is truncated or damaged: {source}; fetch it again"),
            ),
            _ => Error::io(&self.path, source),
        }
    }
}

/// Refuses to deliver more bytes than announced, against gzip bombs.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "it expands more than {MAX_EXPANSION}-fold (decompress it first if that is meant)"
                ),
            )
        })?;
        Ok(read)
    }
}

/// A non-negative integer of decimal digits only.
pub(super) fn parse_index(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A number; the short digit strings of counts take a fast path.
pub(super) fn parse_value(field: &[u8]) -> Option<f32> {
    // Seven digits fit the 24 bits of an f32, so no rounding rule of ours is needed.
    if field.len() <= 7
        && let Some(value) = parse_index(field)
    {
        return Some(value as f32);
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Text for a message: never longer than a line can show.
pub(super) fn shown(field: &[u8]) -> String {
    const LONGEST: usize = 40;
    if field.len() <= LONGEST {
        String::from_utf8_lossy(field).into_owned()
    } else {
        format!("{}…", String::from_utf8_lossy(&field[..LONGEST]))
    }
}

/// The names in the header of a delimited table; quoted fields may hold the separator, and a
/// doubled quote stands for one (RFC 4180).
pub(super) fn split_names(
    line: &[u8],
    separator: u8,
    budget: &Budget,
) -> std::result::Result<Vec<String>, Refusal> {
    let most = 1 + line.iter().filter(|&&byte| byte == separator).count();
    let mut names = budget.list(most)?;
    let mut rest = Some(line);
    while let Some(fields) = rest {
        let (field, after) = next_field(fields, separator).ok_or(UNCLOSED)?;
        names.push(budget.name(&field)?);
        rest = after;
    }
    Ok(names)
}

/// The refusal of a line where [`next_field`] finds no end.
pub(super) const UNCLOSED: &str = "a quoted field does not end where the field ends";

/// Names for a message, the first of many.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    let mut list = names
        .iter()
        .take(MOST)
        .map(|name| shown(name.as_ref().as_bytes()))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        list.push_str(&format!(" and {} more", names.len() - MOST));
    }
    list
}

/// A field, and what follows its separator where there is one.
pub(super) type Field<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// The first field and what follows its separator; `None` when a quoted field does not end on the
/// line.
pub(super) fn next_field(line: &[u8], separator: u8) -> Option<Field<'_>> {
    let Some(mut rest) = line.strip_prefix(b"\"") else {
        let (field, after) = next_plain_field(line, separator);
        return Some((field.into(), after));
    };
    let mut field = Vec::new();
    loop {
        let quote = rest.iter().position(|&byte| byte == b'"')?;
        field.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.first() {
            None => return Some((field.into(), None)),
            Some(&byte) if byte == separator => return Some((field.into(), Some(&rest[1..]))),
            Some(b'"') => {
                field.push(b'"');
                rest = &rest[1..];
            }
            Some(_) => return None,
        }
    }
}

/// The first field of a line without quotes and what follows its separator.
pub(super) fn next_plain_field(line: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|&byte| byte == separator) {
        Some(end) => (&line[..end], Some(&line[end + 1..])),
        None => (line, None),
    }
}

/// Which separator a file uses: that of its extension, unless its first line lacks it and has
/// another.
pub(super) fn separator_of(path: &Path, first_line: &[u8]) -> u8 {
    let count = |byte: u8| first_line.iter().filter(|&&b| b == byte).count();
    let name = path.to_string_lossy().to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let by_extension = match stem.rsplit('.').next() {
        Some("csv") => Some(b','),
        Some("tsv") => Some(b'\t'),
        _ => None,
    };
    match by_extension {
        Some(separator) if count(separator) > 0 => separator,
        _ => [b'\t', b',', b';', b' ']
            .into_iter()
            .find(|&separator| count(separator) > 0)
            .or(by_extension)
            .unwrap_or(b'\t'),
    }
}

/// Text of a name; names in other encodings than UTF-8 are kept readable.
pub(super) fn name_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// A field for a delimited file, quoted when it must be.
pub(super) fn quoted(field: &str, separator: char) -> Cow<'_, str> {
    if field.contains([separator, '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn numbers_are_parsed_as_the_standard_library_does() {
        for text in [
            "0",
            "7",
            "9999999",
            "16777217",
            "123456789012",
            "1.5",
            "-2",
            "1e3",
            "nan",
            "inf",
        ] {
            let expected: f32 = text.parse().unwrap();
            let found = parse_value(text.as_bytes()).unwrap();
            assert!(
                found == expected || (found.is_nan() && expected.is_nan()),
                "{text}"
            );
        }
        for text in ["", "x", "1 ", "1,5", "--1"] {
            assert_eq!(parse_value(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_index(b"18446744073709551616"), None);
    }

    #[test]
    fn separators_follow_the_extension_unless_absent() {
        let path = |name: &str| PathBuf::from(name);
        assert_eq!(separator_of(&path("a.csv"), b"x,y\tz"), b',');
        assert_eq!(separator_of(&path("a.csv.gz"), b"x;y"), b';');
        assert_eq!(separator_of(&path("a.tsv"), b"x\ty,z"), b'\t');
        assert_eq!(separator_of(&path("a.txt"), b"x y"), b' ');
        assert_eq!(separator_of(&path("a.csv"), b"x"), b',');
    }

    #[test]
    fn a_gzip_bomb_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.tsv.gz");
        let mut encoder = flate2::write::GzEncoder::new(
            fs::File::create(&path).unwrap(),
            flate2::Compression::best(),
        );
        let zeros = vec![b'0'; 1 << 20];
        for _ in 0..200 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap();
        // One line of 200 MB, of which none of the memory limit is left for.
        let mut lines = Lines::open(&path).unwrap();
        let error = lines.read().unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
        assert!(lines.line.capacity() < 64 << 20);
    }

    #[test]
    fn an_endless_run_of_empty_lines_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.tsv.gz");
        let mut encoder = flate2::write::GzEncoder::new(
            fs::File::create(&path).unwrap(),
            flate2::Compression::best(),
        );
        let lines = vec![b'\n'; 1 << 20];
        for _ in 0..100 {
            encoder.write_all(&lines).unwrap();
        }
        encoder.finish().unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let message = loop {
            match lines.read() {
                Ok(line) => assert_eq!(line, Some(&b""[..])),
                Err(error) => break error.to_string(),
            }
        };
        assert!(message.contains("200-fold"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_refused() {
        let message = Lines::open(Path::new("/dev/zero"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.contains("it is a device, expected a file"),
            "{message}"
        );
    }

    #[test]
    fn long_lists_are_cut_in_messages() {
        let names: Vec<String> = (0..30).map(|i| i.to_string()).collect();
        assert!(listed(&names).ends_with("18, 19 and 10 more"));
        assert_eq!(listed(&["a", "b"]), "a, b");
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
                let found = split_names(line.as_bytes(), separator as u8, &budget).unwrap();
                prop_assert_eq!(&found, &fields);
            }
        }
    }
}
