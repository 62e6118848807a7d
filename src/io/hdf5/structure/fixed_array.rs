//! Fixed arrays, which say where the chunks of a dataset lie.

use super::header::{Header, kind};
use super::image::{Fields, Image, Problem};

/// Refuses the dataset at an address when its index is a fixed array whose pages hold more chunks than can
/// be counted: `hdf5-pure` shifts by as many bits as the file says.
pub(in crate::io) fn check_pages(image: &Image, address: u64) -> Result<(), Problem> {
    let header = Header::read(image, address)?;
    let layout = header.find(kind::LAYOUT);
    let Some(address) = layout.and_then(|layout| address_in(&layout.body)) else {
        return Ok(());
    };
    let start = image.read(address, 8)?;
    let mut fields = Fields::new(&start);
    fields.signature(b"FAHD")?;
    // The version, what the array is for, and the bytes of an element.
    fields.take(3)?;
    let bits = fields.byte()?;
    if u32::from(bits) < u64::BITS {
        return Ok(());
    }
    Err(Problem::new(format!(
        "a chunk index claims pages of 2^{bits} chunks"
    )))
}

/// The address of the fixed array in the body of a layout message of version 4 or 5.
fn address_in(layout: &[u8]) -> Option<u64> {
    const CHUNKED: u8 = 2;
    const FIXED_ARRAY: u8 = 3;
    let [4 | 5, CHUNKED, _, axes, width, rest @ ..] = layout else {
        return None;
    };
    let index = rest.get(usize::from(*axes) * usize::from(*width)..)?;
    let [FIXED_ARRAY, _page_bits, address @ ..] = index else {
        return None;
    };
    let address = Fields::new(address).long().ok()?;
    (address != super::UNDEFINED).then_some(address)
}

#[cfg(test)]
mod tests {
    use hdf5_pure::FileBuilder;

    use super::super::checksum::lookup3;
    use super::*;
    use crate::io::hdf5::{Node, Store};

    #[test]
    fn pages_of_more_chunks_than_can_be_counted_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.h5");
        let mut builder = FileBuilder::new();
        builder
            .create_dataset("values")
            .with_f32_data(&[1.0; 100])
            .with_shape(&[100])
            .with_chunks(&[10]);
        let mut bytes = builder.finish().unwrap();
        let start = bytes.windows(4).position(|at| at == b"FAHD").unwrap();
        for (bits, is_sound) in [(10, true), (64, false), (255, false)] {
            bytes[start + 7] = bits;
            let end = start + 24;
            let sum = lookup3(&bytes[start..end]);
            bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            for store in [Store::open(&path), Store::open_on_disk(&path)] {
                match store.unwrap().find("/values") {
                    Ok(Some(Node::Dataset(values))) => {
                        assert!(is_sound, "{bits} bits");
                        assert_eq!(values.read_f32().unwrap(), [1.0; 100]);
                    }
                    Err(error) => {
                        let message = error.to_string();
                        assert!(!is_sound, "{message}");
                        assert!(
                            message.contains(&format!("pages of 2^{bits} chunks")),
                            "{message}"
                        );
                    }
                    Ok(_) => panic!("no dataset"),
                }
            }
        }
    }

    #[test]
    fn the_address_follows_the_lengths_of_a_chunk() {
        let mut layout = vec![4, 2, 0, 2, 1, 10, 8, 3, 10];
        layout.extend(77u64.to_le_bytes());
        assert_eq!(address_in(&layout), Some(77));
        assert_eq!(address_in(&layout[..12]), None);
        let mut extensible = layout.clone();
        extensible[7] = 4;
        assert_eq!(address_in(&extensible), None);
        let mut older = layout.clone();
        older[0] = 3;
        assert_eq!(address_in(&older), None);
        layout.truncate(9);
        layout.extend(u64::MAX.to_le_bytes());
        assert_eq!(address_in(&layout), None);
    }
}
