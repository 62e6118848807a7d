//! Chunk indices, which say where the chunks of a dataset lie: fixed and extensible arrays.

use super::header::{Header, kind};
use super::image::{Fields, Image, Problem};

/// Refuses the dataset at an address when its index claims what cannot be: `hdf5-pure` takes memory for as
/// many blocks, and shifts by as many bits, as the file says.
pub(in crate::io) fn check_chunk_index(image: &Image, address: u64) -> Result<(), Problem> {
    let header = Header::read(image, address)?;
    match header
        .find(kind::LAYOUT)
        .and_then(|layout| Index::of(&layout.body))
    {
        None => Ok(()),
        Some(Index::FixedArray(address)) => check_fixed(image, address),
        Some(Index::ExtensibleArray(address)) => check_extensible(image, address),
    }
}

/// An index that is checked, with its address.
#[derive(Debug, PartialEq, Eq)]
enum Index {
    FixedArray(u64),
    ExtensibleArray(u64),
}

impl Index {
    /// From the body of a layout message of version 4 or 5.
    fn of(layout: &[u8]) -> Option<Self> {
        const CHUNKED: u8 = 2;
        const FIXED_ARRAY: u8 = 3;
        const EXTENSIBLE_ARRAY: u8 = 4;
        let [4 | 5, CHUNKED, _, axes, width, rest @ ..] = layout else {
            return None;
        };
        let (kind, parameters) = rest
            .get(usize::from(*axes) * usize::from(*width)..)?
            .split_first()?;
        let parameters_before_address = match *kind {
            FIXED_ARRAY => 1,
            EXTENSIBLE_ARRAY => 5,
            _ => return None,
        };
        let address = parameters.get(parameters_before_address..)?;
        let address = Fields::new(address).long().ok()?;
        let index = match *kind {
            FIXED_ARRAY => Self::FixedArray(address),
            _ => Self::ExtensibleArray(address),
        };
        (address != super::UNDEFINED).then_some(index)
    }
}

fn check_fixed(image: &Image, address: u64) -> Result<(), Problem> {
    let start = image.read(address, 24)?;
    let mut fields = Fields::new(&start);
    fields.signature(b"FAHD")?;
    // The version, what the array is for, and the bytes of an element.
    fields.take(3)?;
    let page_bits = fields.byte()?;
    check_page_bits(page_bits)?;
    let (chunks, block) = (fields.long()?, fields.long()?);
    // Addresses of pages are counted from that of their block.
    if chunks >> page_bits > 0 && block >= image.end() {
        return Err(Problem::new(format!(
            "a chunk index of {chunks} chunks leads behind the end of the file"
        )));
    }
    Ok(())
}

fn check_extensible(image: &Image, address: u64) -> Result<(), Problem> {
    let start = image.read(address, 12)?;
    let mut fields = Fields::new(&start);
    fields.signature(b"EAHD")?;
    // The version, what the array is for, and the bytes of an element.
    fields.take(3)?;
    let most_bits = fields.byte()?;
    let _in_index_block = fields.byte()?;
    let smallest_block = fields.byte()?;
    let direct = fields.byte()?;
    check_page_bits(fields.byte()?)?;
    if u32::from(most_bits) > u64::BITS {
        return Err(Problem::new(format!(
            "a chunk index claims up to 2^{most_bits} chunks"
        )));
    }
    // Super block u stands for 2^(u / 2) data blocks; those of the first are listed in the index block, by
    // their addresses.
    let bits = match smallest_block {
        0 => 0,
        count => count.trailing_zeros(),
    };
    let super_blocks = u32::from(most_bits).saturating_sub(bits) + 1;
    let listed = u32::from(direct).min(super_blocks);
    let blocks = (0..listed).fold(0u64, |blocks, number| {
        blocks.saturating_add(1u64.checked_shl(number / 2).unwrap_or(u64::MAX))
    });
    if blocks <= image.most_blocks() {
        return Ok(());
    }
    Err(Problem::new(format!(
        "a chunk index claims {blocks} blocks, more than there is room for"
    )))
}

fn check_page_bits(bits: u8) -> Result<(), Problem> {
    if u32::from(bits) < u64::BITS {
        return Ok(());
    }
    Err(Problem::new(format!(
        "a chunk index claims pages of 2^{bits} chunks"
    )))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use hdf5_pure::{FileBuilder, MaxExtent};

    use super::super::checksum::lookup3;
    use super::*;
    use crate::io::hdf5::{Node, Store};

    /// A file with a dataset in ten chunks, and where the header of its index begins.
    fn file(growing: Option<&[MaxExtent]>, signature: &[u8]) -> (Vec<u8>, usize) {
        let mut builder = FileBuilder::new();
        let values = builder
            .create_dataset("values")
            .with_f32_data(&[1.0; 100])
            .with_shape(&[100])
            .with_chunks(&[10]);
        if let Some(most) = growing {
            values.with_maxshape(most);
        }
        let bytes = builder.finish().unwrap();
        let start = bytes.windows(4).position(|at| at == signature).unwrap();
        (bytes, start)
    }

    /// Reads the dataset, from memory and from disk, with the checksum of the header of its index made
    /// right: it must be whole, or the problem be named.
    fn check(bytes: &mut [u8], header: Range<usize>, problem: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.h5");
        let sum = lookup3(&bytes[header.clone()]).to_le_bytes();
        bytes[header.end..header.end + sum.len()].copy_from_slice(&sum);
        std::fs::write(&path, bytes).unwrap();
        for store in [Store::open(&path), Store::open_on_disk(&path)] {
            match (store.unwrap().find("/values"), problem) {
                (Ok(Some(Node::Dataset(values))), None) => {
                    assert_eq!(values.read_f32().unwrap(), [1.0; 100]);
                }
                (Err(error), Some(problem)) => {
                    let message = error.to_string();
                    assert!(message.contains(problem), "{message}");
                }
                (_, problem) => panic!("{problem:?}"),
            }
        }
    }

    #[test]
    fn pages_of_more_chunks_than_can_be_counted_are_refused() {
        let (mut bytes, start) = file(None, b"FAHD");
        for (bits, problem) in [
            (10, None),
            (64, Some("pages of 2^64 chunks")),
            (255, Some("pages of 2^255 chunks")),
        ] {
            bytes[start + 7] = bits;
            check(&mut bytes, start..start + 24, problem);
        }
    }

    #[test]
    fn pages_behind_the_end_are_refused() {
        let (mut bytes, start) = file(None, b"FAHD");
        let size = bytes.len() as u64;
        bytes[start + 7] = 3;
        for block in [size, u64::MAX - 3, u64::MAX] {
            bytes[start + 16..start + 24].copy_from_slice(&block.to_le_bytes());
            let problem = "of 10 chunks leads behind the end";
            check(&mut bytes, start..start + 24, Some(problem));
        }
    }

    /// A dataset that can grow has an extensible array.
    #[test]
    fn more_blocks_than_there_is_room_for_are_refused() {
        let (mut bytes, start) = file(Some(&[MaxExtent::Unlimited]), b"EAHD");
        let [bits, smallest, direct, page] = [7, 9, 10, 11].map(|field| bytes[start + field]);
        for (fields, problem) in [
            ([bits, smallest, direct, page], None),
            ([bits, smallest, direct, 64], Some("pages of 2^64 chunks")),
            ([64, 1, 60, page], Some("claims 2147483646 blocks")),
            ([64, 0, 255, page], Some("more than there is room for")),
            ([65, smallest, direct, page], Some("up to 2^65 chunks")),
        ] {
            bytes[start + 7] = fields[0];
            bytes[start + 9..start + 12].copy_from_slice(&fields[1..]);
            check(&mut bytes, start..start + 12 + 6 * 8 + 8, problem);
        }
    }

    #[test]
    fn the_address_follows_the_lengths_of_a_chunk() {
        let mut layout = vec![4, 2, 0, 2, 1, 10, 8, 3, 10];
        layout.extend(77u64.to_le_bytes());
        assert_eq!(Index::of(&layout), Some(Index::FixedArray(77)));
        assert_eq!(Index::of(&layout[..12]), None);
        let mut extensible = vec![4, 2, 0, 2, 1, 10, 8, 4, 32, 4, 4, 16, 10];
        extensible.extend(78u64.to_le_bytes());
        assert_eq!(Index::of(&extensible), Some(Index::ExtensibleArray(78)));
        extensible[7] = 5;
        assert_eq!(Index::of(&extensible), None);
        let mut older = layout.clone();
        older[0] = 3;
        assert_eq!(Index::of(&older), None);
        layout.truncate(9);
        layout.extend(u64::MAX.to_le_bytes());
        assert_eq!(Index::of(&layout), None);
    }
}
