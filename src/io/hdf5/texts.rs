//! Texts of variable length that are fields of records: they lie in a heap of the file.

use std::collections::HashMap;
use std::ops::Range;

use super::Store;
use super::structure::{HeapCollection, Image};
use crate::error::Result;

/// A reader of texts that remembers the parts of the heap that it has seen.
pub(in crate::io) struct HeapTexts<'a> {
    store: &'a Store,
    image: Image,
    collections: HashMap<u64, HeapCollection>,
}

impl<'a> HeapTexts<'a> {
    pub fn new(store: &'a Store) -> Result<Self> {
        Ok(Self {
            store,
            image: store.image()?,
            collections: HashMap::new(),
        })
    }

    /// The text that a field of 16 bytes stands for: its length, and where it lies.
    pub fn read(&mut self, at: &str, field: &[u8]) -> Result<String> {
        let number = |range: Range<usize>| {
            let bytes = field.get(range).unwrap_or_default().iter().rev();
            bytes.fold(0u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (length, address, index) = (number(0..4), number(4..12), number(12..16));
        if length == 0 || address == 0 {
            return Ok(String::new());
        }
        if !self.collections.contains_key(&address) {
            let collection = HeapCollection::read(&self.image, address)
                .map_err(|problem| self.store.problem(at, problem))?;
            let memory = self.store.budget().take(collection.bytes() as u64);
            self.store.within(at, memory)?;
            self.collections.insert(address, collection);
        }
        let object = self.collections[&address].object(index);
        let text = object
            .and_then(|object| object.get(..length as usize))
            .ok_or_else(|| {
                self.store
                    .error(at, "a text is missing; the file is damaged")
            })?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let memory = self.store.budget().take(3 * text.len() as u64);
        self.store.within(at, memory)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}
