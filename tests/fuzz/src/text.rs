//! Changes of text: lines, fields, numbers.

use std::ops::Range;

use crate::bytes;
use crate::random::Random;

/// Words at which readers of text go wrong.
const WORDS: [&[u8]; 44] = [
    b"0",
    b"-1",
    b"1",
    b"2",
    b"3",
    b"0.5",
    b"1e3",
    b"1e-400",
    b"1e400",
    b"-0",
    b"+1",
    b"1.",
    b".5",
    b"1e",
    b"nan",
    b"NaN",
    b"inf",
    b"-Infinity",
    b"4294967295",
    b"4294967296",
    b"2147483648",
    b"16777217",
    b"9223372036854775807",
    b"18446744073709551615",
    b"18446744073709551616",
    b"340282366920938463463374607431768211456",
    b"0x10",
    b"1_000",
    b"1,000",
    b"\"",
    b"\"\"",
    b"\"a\"\"b\"",
    b"'",
    b"\t",
    b",",
    b";",
    b" ",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xc3\xa4",
    b"\xf0\x9f\xa7\xac",
    b"%",
    b"#",
];

const ENDS: [&[u8]; 5] = [b"\n", b"\r\n", b"\r", b"\n\n", b""];

/// Changes text once.
pub fn change(random: &mut Random, text: &mut Vec<u8>, other: &[u8], most: usize) {
    match random.below(12) {
        0 => {
            let line = line(random, text);
            text.drain(line);
        }
        1 => {
            let line = line(random, text);
            let copy = text[line.clone()].to_vec();
            let most_times = if random.one_in(50) { 2000 } else { 3 };
            let times = 1 + random.length(most_times);
            let room = most.saturating_sub(text.len()) / copy.len().max(1);
            text.splice(line.end..line.end, copy.repeat(times.min(room)));
        }
        2 => {
            // Two lines change places.
            let (first, second) = (line(random, text), line(random, text));
            if first.end <= second.start {
                let (a, b) = (text[first.clone()].to_vec(), text[second.clone()].to_vec());
                text.splice(second, a);
                text.splice(first, b);
            }
        }
        3 => {
            let line = line(random, other);
            let new = other[line].to_vec();
            let at = self::line(random, text).start;
            text.splice(at..at, new);
        }
        4 => {
            let field = field(random, text);
            text.drain(field);
        }
        5 => {
            let (from, to) = (field(random, text), field(random, text));
            let copy = text[from].to_vec();
            text.splice(to, copy);
        }
        6 => {
            let field = field(random, text);
            let longest = if random.one_in(100) { 20_000 } else { 100 };
            let times = random.length(longest);
            text.splice(field, b"n".repeat(times));
        }
        7 => {
            let end = *random.pick(&ENDS);
            let line = line(random, text);
            let start = line
                .end
                .saturating_sub(usize::from(text[line.clone()].ends_with(b"\n")));
            text.splice(start..line.end, end.iter().copied());
        }
        8 | 9 => {
            if let Some(number) = number(random, text) {
                let word = *random.pick(&WORDS);
                text.splice(number, word.iter().copied());
            }
        }
        10 => {
            let word = *random.pick(&WORDS);
            let field = field(random, text);
            let range = if random.one_in(2) {
                field
            } else {
                field.start..field.start
            };
            text.splice(range, word.iter().copied());
        }
        _ => bytes::change(random, text, other, most),
    }
    text.truncate(most);
}

/// A line with its end.
fn line(random: &mut Random, text: &[u8]) -> Range<usize> {
    around(random, text, |byte| byte == b'\n', true)
}

/// A field without what parts it from others.
fn field(random: &mut Random, text: &[u8]) -> Range<usize> {
    let parts = |byte| matches!(byte, b'\n' | b'\t' | b',' | b' ' | b'\r');
    around(random, text, parts, false)
}

fn around(
    random: &mut Random,
    text: &[u8],
    is_end: impl Fn(u8) -> bool,
    with_end: bool,
) -> Range<usize> {
    let at = random.below(text.len());
    let start = text[..at].iter().rposition(|&byte| is_end(byte));
    let start = start.map_or(0, |end| end + 1);
    let end = text[at..].iter().position(|&byte| is_end(byte));
    let end = end.map_or(text.len(), |end| at + end + usize::from(with_end));
    start..end.max(start)
}

/// Digits in a row.
fn number(random: &mut Random, text: &[u8]) -> Option<Range<usize>> {
    let at = random.below(text.len());
    let start = at + text[at..].iter().position(u8::is_ascii_digit)?;
    let length = text[start..].iter().position(|byte| !byte.is_ascii_digit());
    Some(start..length.map_or(text.len(), |length| start + length))
}
