//! The checksum of chunks: Fletcher's, of 32 bits.

/// How many sums fit in 32 bits before they are folded.
const UNFOLDED: usize = 360;

/// The bytes before a checksum at their end; `None` when it is that of other bytes.
pub(super) fn verified(mut data: Vec<u8>) -> Option<Vec<u8>> {
    let (content, &stored) = data.split_last_chunk::<4>()?;
    let is_right = fletcher32(content) == u32::from_le_bytes(stored);
    let length = content.len();
    data.truncate(length);
    is_right.then_some(data)
}

/// Of all bytes, two by two with the first the higher one, as `H5_checksum_fletcher32`.
fn fletcher32(bytes: &[u8]) -> u32 {
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let (mut first, mut second) = (0u32, 0u32);
    for block in bytes.chunks(2 * UNFOLDED) {
        for pair in block.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            first += u32::from(u16::from_be_bytes([pair[0], low]));
            second += first;
        }
        first = fold(first);
        second = fold(second);
    }
    fold(second) << 16 | fold(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Well-known values, which are of the lower byte first.
    #[test]
    fn published_values() {
        assert_eq!(fletcher32(b"badc\0e"), 0xf04f_c729);
        assert_eq!(fletcher32(b"badcfe"), 0x5650_2d2a);
        assert_eq!(fletcher32(b"badcfehg"), 0xebe1_9591);
        // An odd byte is the higher one of its pair.
        assert_eq!(fletcher32(b"bad"), fletcher32(b"bad\0"));
    }

    #[test]
    fn long_lists_do_not_overflow() {
        // Sums of 0xffff fold to 0xffff again.
        assert_eq!(fletcher32(&[0xff; 100_000]), u32::MAX);
    }

    #[test]
    fn other_bytes_have_another_checksum() {
        let mut data = vec![1, 2, 3];
        data.extend(fletcher32(&data).to_le_bytes());
        assert_eq!(verified(data.clone()).as_deref(), Some(&[1, 2, 3][..]));
        data[1] ^= 1;
        assert_eq!(verified(data), None);
        assert_eq!(verified(vec![0; 3]), None);
    }
}
