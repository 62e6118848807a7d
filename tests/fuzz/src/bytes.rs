//! Changes of bytes that know nothing of their meaning.

use crate::random::Random;

/// Numbers at which code goes wrong.
pub const INTERESTING: [u64; 26] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    32,
    64,
    127,
    128,
    255,
    256,
    1024,
    4096,
    32_767,
    65_535,
    65_536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes bytes without moving any.
pub fn change_in_place(random: &mut Random, data: &mut [u8]) {
    if data.is_empty() {
        return;
    }
    let at = random.below(data.len());
    match random.below(8) {
        0 | 1 => data[at] ^= 1 << random.below(8),
        2 => data[at] = random.next() as u8,
        3 => data[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'"', b'\n']),
        4 | 5 => {
            let width = *random.pick(&[1usize, 2, 4, 8]);
            let number = number_near(random, data, at, width);
            put(data, at, width, number, random.one_in(8));
        }
        6 => {
            // What lies elsewhere in the file, at the same width.
            let length = *random.pick(&[1usize, 2, 4, 8, 16, 32]);
            let from = random.below(data.len());
            let length = length.min(data.len() - from).min(data.len() - at);
            data.copy_within(from..from + length, at);
        }
        _ => {
            let length = random.length(16).min(data.len() - at);
            let value = *random.pick(&[0u8, 0xff]);
            data[at..at + length].fill(value);
        }
    }
}

/// An interesting number, or one near the number that is there.
fn number_near(random: &mut Random, data: &[u8], at: usize, width: usize) -> u64 {
    if random.one_in(2) {
        let number = *random.pick(&INTERESTING);
        return match random.below(3) {
            0 => number,
            1 => number.wrapping_add(1),
            _ => number.wrapping_neg(),
        };
    }
    let mut number = 0u64;
    for (place, &byte) in data[at..].iter().take(width).enumerate() {
        number |= u64::from(byte) << (8 * place);
    }
    let change = 1 + random.length(32) as u64;
    match random.below(4) {
        0 => number.wrapping_add(change),
        1 => number.wrapping_sub(change),
        2 => number.wrapping_mul(2),
        _ => number / 2,
    }
}

fn put(data: &mut [u8], at: usize, width: usize, number: u64, big_endian: bool) {
    let width = width.min(data.len() - at);
    for place in 0..width {
        let byte = (number >> (8 * place)) as u8;
        let place = if big_endian { width - 1 - place } else { place };
        data[at + place] = byte;
    }
}

/// Changes bytes, also their number.
pub fn change(random: &mut Random, data: &mut Vec<u8>, other: &[u8], most: usize) {
    match random.below(8) {
        0 => {
            let from = random.below(data.len());
            let length = random.length(64).min(data.len() - from);
            data.drain(from..from + length);
        }
        1 => {
            let from = random.below(data.len());
            let length = random.length(64).min(data.len() - from);
            let copy = data[from..from + length].to_vec();
            let at = random.below(data.len() + 1);
            data.splice(at..at, copy);
        }
        2 => {
            let at = random.below(data.len() + 1);
            let new: Vec<u8> = (0..random.length(16))
                .map(|_| random.next() as u8)
                .collect();
            data.splice(at..at, new);
        }
        3 if random.one_in(4) => data.truncate(random.below(data.len() + 1)),
        4 if !other.is_empty() => {
            let from = random.below(other.len());
            let length = random.length(256).min(other.len() - from);
            let at = random.below(data.len() + 1);
            let end = (at + random.length(256)).min(data.len());
            data.splice(at..end, other[from..from + length].iter().copied());
        }
        _ => change_in_place(random, data),
    }
    data.truncate(most);
}
