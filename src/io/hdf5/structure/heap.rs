//! Collections of the global heap: where values of variable length lie.

use std::collections::HashMap;
use std::ops::Range;

use super::image::{Fields, Image, Problem};

/// A collection in memory.
pub(in crate::io) struct HeapCollection {
    bytes: Vec<u8>,
    objects: HashMap<u64, Range<usize>>,
}

impl HeapCollection {
    pub fn read(image: &Image, address: u64) -> Result<Self, Problem> {
        let head = image.read(address, 16)?;
        let mut fields = Fields::new(&head);
        fields.signature(b"GCOL")?;
        fields.take(4)?;
        let length = usize::try_from(fields.long()?)
            .map_err(|_| Problem::new("a collection of texts is longer than the file"))?;
        let bytes = image.read(address, length)?;
        let mut objects = HashMap::new();
        let mut fields = Fields::new(bytes.get(16..).unwrap_or_default());
        while fields.rest() >= 16 {
            let start = length - fields.rest() + 16;
            let index = u64::from(fields.short()?);
            fields.take(6)?;
            let size = usize::try_from(fields.long()?).unwrap_or(usize::MAX);
            // The rest is free.
            if index == 0 || size > fields.rest() {
                break;
            }
            objects.insert(index, start..start + size);
            fields.take(size.next_multiple_of(8).min(fields.rest()))?;
        }
        Ok(Self { bytes, objects })
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + 64 * self.objects.len()
    }

    /// What is stored under a number.
    pub fn object(&self, index: u64) -> Option<&[u8]> {
        self.bytes.get(self.objects.get(&index)?.clone())
    }
}
