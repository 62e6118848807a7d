//! Text files by line: plain or gzip, with bounded memory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::budget::{Budget, OF_COMPRESSED, OF_PLAIN_TEXT, Shortage};
use super::encoding::{as_utf8, is_binary};
use super::input::{is_gzip, is_gzip_file, open_file, read_start, unpacked};
use super::read_ahead::ReadAhead;
use crate::error::{Error, Result};

/// Other things than text that are given in its place, by their first bytes.
const NO_TEXT: &[(&[u8], &str)] = &[
    (
        b"PK\x03\x04",
        "it is a zip archive, as .xlsx files are; export the table as CSV, or unzip it",
    ),
    (b"BZh", "it is compressed by bzip2; decompress it (bunzip2)"),
    (
        b"\xfd7zXZ\0",
        "it is compressed by xz; decompress it (unxz)",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd; decompress it (unzstd)",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "it is an HDF5 file, not a text; check which file is meant",
    ),
];

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
        let per_byte = if is_gzip_file(path)? {
            OF_COMPRESSED
        } else {
            OF_PLAIN_TEXT
        };
        files.push((bytes, per_byte));
    }
    Ok(Arc::new(Budget::new(files)))
}

impl Lines {
    /// Opens a file; gzip is known by its content, whatever the name.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, budget_of(&[path])?)
    }

    /// As [`open`](Self::open), as one of several files that share a budget.
    pub(super) fn open_within(path: &Path, budget: Arc<Budget>) -> Result<Self> {
        let (mut file, file_bytes) = open_file(path)?;
        let start = read_start(path, &mut file, 8)?;
        let gzip = is_gzip(&start);
        if let Some((_, reason)) = NO_TEXT.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(Error::format(path, None, *reason));
        }
        let mut reader =
            decoded(file, file_bytes, gzip).map_err(|source| failure(path, 1, gzip, source))?;
        let text = reader
            .fill_buf()
            .map_err(|source| failure(path, 1, gzip, source))?;
        if is_binary(text) {
            return Err(Error::format(
                path,
                None,
                "it is no text, it holds zero bytes; check which file is meant",
            ));
        }
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

    /// The number of the line last read.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// An error at the line last read.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::format(&self.path, self.number, reason)
    }

    /// The refusal of the line last read.
    pub(super) fn refuse(&self, refusal: impl Into<Refusal>) -> Error {
        self.refuse_at(self.number, refusal)
    }

    /// The refusal of an earlier line.
    pub(super) fn refuse_at(&self, line: usize, refusal: impl Into<Refusal>) -> Error {
        match refusal.into() {
            Refusal::Reason(reason) => Error::format(&self.path, line, reason),
            Refusal::Shortage(shortage) => shortage.at(&self.path, format!("line {line}")),
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
        failure(&self.path, self.number, self.gzip, source)
    }
}

fn failure(path: &Path, line: usize, gzip: bool, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            let what = if gzip { "compressed file" } else { "text" };
            Error::format(
                path,
                line,
                format!("the {what} is truncated or damaged: {source}; fetch it again"),
            )
        }
        _ => Error::io(path, source),
    }
}

/// The text of a file, unpacked.
fn decoded(file: File, file_bytes: u64, gzip: bool) -> io::Result<Box<dyn BufRead>> {
    as_utf8(if gzip {
        Box::new(ReadAhead::new(unpacked(file, file_bytes))?)
    } else {
        Box::new(BufReader::with_capacity(1 << 17, file))
    })
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

/// Names for a message, the first of many.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    if names.is_empty() {
        return "none".to_string();
    }
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

/// Text of a name; names in other encodings than UTF-8 are kept readable.
pub(super) fn name_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(listed::<String>(&[]), "none");
    }

    #[test]
    fn gzip_is_known_by_content_and_not_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"a\nb\n").unwrap();
        let packed = encoder.finish().unwrap();
        for (name, bytes) in [("plain.csv", &packed[..]), ("text.csv.gz", b"a\nb\n")] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let mut lines = Lines::open(&path).unwrap();
            assert_eq!(lines.read().unwrap(), Some(&b"a"[..]), "{name}");
            assert_eq!(lines.read().unwrap(), Some(&b"b"[..]), "{name}");
            assert_eq!(lines.read().unwrap(), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.csv");
        for (bytes, expected) in [
            (&b"PK\x03\x04rest"[..], "a zip archive, as .xlsx"),
            (b"BZh91AY", "compressed by bzip2"),
            (b"\xfd7zXZ\0..", "compressed by xz"),
            (b"\x28\xb5\x2f\xfd..", "compressed by zstd"),
            (b"\x89HDF\r\n\x1a\n..", "an HDF5 file"),
            (b"a,b\n\0\0\0\0,1\n", "holds zero bytes"),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = Lines::open(&path).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("counts.csv"), "{message}");
        }
    }
}
