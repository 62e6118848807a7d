//! Text that may be compressed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::bytes;
use crate::random::Random;

/// The most that is decompressed to be changed.
const MOST: u64 = 1 << 20;

/// Compresses.
pub fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a list does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

/// Changes what a file holds, compressed or not; seldom the compressed bytes themselves.
pub fn change(
    random: &mut Random,
    name: &str,
    data: &mut Vec<u8>,
    mut change: impl FnMut(&mut Random, &mut Vec<u8>),
) {
    if !name.ends_with(".gz") {
        change(random, data);
        return;
    }
    if random.one_in(8) {
        match random.below(4) {
            0 => data.extend(data.clone()),
            1 => data.truncate(random.below(data.len() + 1)),
            2 => data.extend((0..random.length(64)).map(|_| random.next() as u8)),
            _ => bytes::change(random, data, &[], 1 << 20),
        }
        return;
    }
    let mut text = Vec::new();
    // What cannot be decompressed to its end is changed as far as it can.
    let _ = MultiGzDecoder::new(&data[..])
        .take(MOST)
        .read_to_end(&mut text);
    change(random, &mut text);
    if random.one_in(3000) {
        let line = text.split_inclusive(|&byte| byte == b'\n').next_back();
        let line = line.unwrap_or(b"\n").to_vec();
        text.extend(line.repeat((8 << 20) / line.len().max(1)));
    }
    *data = packed(&text);
}
