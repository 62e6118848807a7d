//! Text files by line: plain or gzip, with bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::atomic::is_gzip;
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
}

impl Lines {
    /// Opens a file, decompressing when the path ends in `.gz`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let file_bytes = file
            .metadata()
            .map_err(|source| Error::io(path, source))?
            .len();
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
        })
    }

    /// An error at the line last read.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::format(&self.path, self.number, reason)
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
        match self.reader.read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(None),
            Ok(_) => {
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
            Err(source) => Err(self.failure(source)),
        }
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

/// Splits a line of a delimited table; quoted fields may hold the separator, and a doubled quote
/// stands for one (RFC 4180). `None` when a quoted field does not end on the line.
pub(super) fn split_fields(line: &[u8], separator: u8) -> Option<Vec<Vec<u8>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = next_field(rest, separator)?;
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

/// The first field and what follows its separator.
pub(super) fn next_field(line: &[u8], separator: u8) -> Option<(Vec<u8>, Option<&[u8]>)> {
    let Some(mut rest) = line.strip_prefix(b"\"") else {
        let (field, after) = next_plain_field(line, separator);
        return Some((field.to_vec(), after));
    };
    let mut field = Vec::new();
    loop {
        let quote = rest.iter().position(|&byte| byte == b'"')?;
        field.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.first() {
            None => return Some((field, None)),
            Some(&byte) if byte == separator => return Some((field, Some(&rest[1..]))),
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
pub(super) fn quoted(field: &str, separator: char) -> std::borrow::Cow<'_, str> {
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
            File::create(&path).unwrap(),
            flate2::Compression::best(),
        );
        let zeros = vec![b'0'; 1 << 20];
        for _ in 0..200 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let message = lines.read().unwrap_err().to_string();
        assert!(message.contains("200-fold"), "{message}");
        assert!(lines.line.capacity() as u64 <= 2 * FREE_EXPANSION);
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
                let found: Vec<String> = split_fields(line.as_bytes(), separator as u8)
                    .unwrap()
                    .iter()
                    .map(|field| name_of(field))
                    .collect();
                prop_assert_eq!(&found, &fields);
            }
        }
    }
}
