//! Text as UTF-8 with lines, in whatever encoding and with whatever line ends the file has it.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes of UTF-16 that are decoded at a time.
const BLOCK_BYTES: u64 = 1 << 16;

/// The same text as UTF-8 whose lines end in line feeds.
///
/// UTF-16 is known by its byte order mark, or by the zero byte beside every character of a line of
/// numbers; line ends that are carriage returns alone (old spreadsheets for the Mac) become line feeds.
/// Anything else passes unchanged.
pub(super) fn as_utf8(mut reader: Box<dyn BufRead>) -> io::Result<Box<dyn BufRead>> {
    let start = reader.fill_buf()?;
    let order = match start {
        [0xff, 0xfe, ..] => Some(Order::LittleEndian),
        [0xfe, 0xff, ..] => Some(Order::BigEndian),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(Order::LittleEndian),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(Order::BigEndian),
        _ => None,
    };
    if let Some(order) = order {
        return Ok(Box::new(BufReader::new(Utf16::new(reader, order))));
    }
    if start.contains(&b'\r') && !start.contains(&b'\n') {
        return Ok(Box::new(BufReader::new(LineFeeds(reader))));
    }
    Ok(reader)
}

/// Whether bytes cannot be the start of a text.
pub(super) fn is_binary(start: &[u8]) -> bool {
    start.contains(&0)
}

#[derive(Debug, Clone, Copy)]
enum Order {
    LittleEndian,
    BigEndian,
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    inner: R,
    order: Order,
    /// The first half of a character whose second half is in the next block.
    half: Option<u16>,
    text: Vec<u8>,
    given: usize,
}

impl<R: Read> Utf16<R> {
    fn new(inner: R, order: Order) -> Self {
        Self {
            inner,
            order,
            half: None,
            text: Vec::new(),
            given: 0,
        }
    }

    fn decode_block(&mut self) -> io::Result<()> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is no whole UTF-16 text");
        let mut bytes = Vec::with_capacity(BLOCK_BYTES as usize);
        self.inner
            .by_ref()
            .take(BLOCK_BYTES)
            .read_to_end(&mut bytes)?;
        let at_end = (bytes.len() as u64) < BLOCK_BYTES;
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        let mut units: Vec<u16> = self.half.take().into_iter().collect();
        units.extend(pairs.iter().map(|&pair| match self.order {
            Order::LittleEndian => u16::from_le_bytes(pair),
            Order::BigEndian => u16::from_be_bytes(pair),
        }));
        if !at_end
            && units
                .last()
                .is_some_and(|unit| (0xd800..0xdc00).contains(unit))
        {
            self.half = units.pop();
        }
        self.given = 0;
        self.text.clear();
        for character in char::decode_utf16(units) {
            let character = character.map_err(|_| damaged())?;
            self.text
                .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() {
            self.decode_block()?;
        }
        let there = &self.text[self.given..];
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        self.given += read;
        Ok(read)
    }
}

/// Carriage returns as line feeds.
struct LineFeeds<R>(R);

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        for byte in &mut buffer[..read] {
            if *byte == b'\r' {
                *byte = b'\n';
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        as_utf8(Box::new(BufReader::new(io::Cursor::new(bytes))))?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn utf16(text: &str, order: Order) -> Vec<u8> {
        let bytes = |unit: u16| match order {
            Order::LittleEndian => unit.to_le_bytes(),
            Order::BigEndian => unit.to_be_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf16_is_known_with_and_without_its_mark() {
        for order in [Order::LittleEndian, Order::BigEndian] {
            assert_eq!(decoded(utf16("cell,A\n", order)).unwrap(), "cell,A\n");
            let marked = decoded(utf16("\u{feff}cell,Zellgröße\n", order)).unwrap();
            assert_eq!(marked, "\u{feff}cell,Zellgröße\n");
        }
        let mut cut = utf16("\u{feff}cell", Order::LittleEndian);
        cut.pop();
        assert_eq!(decoded(cut).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn characters_may_lie_across_blocks() {
        // Every other unit is a first half, so one lies at the end of a block.
        let text = format!("\u{feff}a{}", "𝛼".repeat(BLOCK_BYTES as usize));
        assert_eq!(decoded(utf16(&text, Order::BigEndian)).unwrap(), text);
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        assert_eq!(decoded(b"a,1\rb,2\r".to_vec()).unwrap(), "a,1\nb,2\n");
        assert_eq!(
            decoded(b"a,1\r\nb\r,2\n".to_vec()).unwrap(),
            "a,1\r\nb\r,2\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "[a-z,\t\u{e4}\u{1d6fc}]{2,40}") {
            let marked = format!("\u{feff}{text}");
            prop_assert_eq!(decoded(utf16(&marked, Order::LittleEndian)).unwrap(), marked);
            prop_assert_eq!(decoded(text.clone().into_bytes()).unwrap(), text);
        }
    }
}
