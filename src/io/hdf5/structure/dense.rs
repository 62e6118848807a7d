//! What groups of many links, and objects of many attributes, keep in a fractal heap with a
//! version-2 B-tree.

use std::collections::{HashMap, HashSet};

use super::UNDEFINED;
use super::image::{Fields, Image, Problem};

/// Trees and heaps that are deeper are damaged.
const DEEPEST: u32 = 32;

/// What the records of a tree name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Links,
    Attributes,
    /// Objects that are too large for the blocks of their heap.
    LargeObjects,
}

impl Kind {
    /// The number of trees of these, by name.
    fn number(self) -> u8 {
        match self {
            Self::LargeObjects => 1,
            Self::Links => 5,
            Self::Attributes => 8,
        }
    }

    /// A checksum of the name, and the identifier in the heap: of 7 bytes for links, of 8 for
    /// attributes, which also have flags and a number. Address, length and identifier of a large
    /// object.
    fn record_bytes(self) -> u64 {
        match self {
            Self::Links => 4 + 7,
            Self::Attributes => 8 + 1 + 4 + 4,
            Self::LargeObjects => 8 + 8 + 8,
        }
    }

    /// Where the identifier lies in a record.
    fn id_at(self) -> usize {
        match self {
            Self::Links => 4,
            Self::Attributes => 0,
            Self::LargeObjects => 16,
        }
    }
}

/// An object of a heap.
pub(super) struct Object {
    pub bytes: Vec<u8>,
    /// The record of the tree that names it.
    pub record: Vec<u8>,
}

/// The objects of a heap that a tree of `kind` names.
pub(super) fn read(
    image: &Image,
    heap: u64,
    tree: u64,
    kind: Kind,
) -> Result<Vec<Object>, Problem> {
    let heap = Heap::open(image, heap)?;
    let mut bytes_left = image.end();
    records(image, tree, kind)?
        .into_iter()
        .map(|record| {
            let start = kind.id_at();
            let id = record
                .get(start..start + heap.id_bytes)
                .ok_or_else(|| Problem::new("the records of a tree are too short"))?;
            let (at, length) = heap.find(image, id)?;
            bytes_left = bytes_left.checked_sub(length).ok_or_else(more_than_file)?;
            Ok(Object {
                bytes: image.read(at, length as usize)?,
                record,
            })
        })
        .collect()
}

/// Refuses what a tree of attributes and their heap claim beyond the bytes of the file.
pub(super) fn check_attributes(image: &Image, heap: u64, tree: u64) -> Result<(), Problem> {
    /// The flag of a message that lies in a heap of the whole file.
    const SHARED: u8 = 0x02;
    /// The identifier, before the flags.
    const ID_BYTES: usize = 8;
    let heap = Heap::open(image, heap)?;
    if heap.id_bytes != ID_BYTES {
        return Err(Problem::new("a heap of attributes contradicts itself"));
    }
    let mut bytes_left = image.end();
    let mut seen = HashSet::new();
    let mut large = None;
    for record in records(image, tree, Kind::Attributes)? {
        let (id, rest) = record.split_at(record.len().min(ID_BYTES));
        if rest.first().is_none_or(|flags| flags & SHARED != 0) {
            continue;
        }
        let length = match place_of(id)? {
            Place::Inside => heap.position(id)?.1,
            Place::Apart => {
                let lengths = match large.take() {
                    Some(lengths) => lengths,
                    None => heap.lengths_apart(image)?,
                };
                let mut fields = Fields::new(id);
                fields.take(1)?;
                let key = fields.number(ID_BYTES - 1)?;
                let length = lengths.get(&key).copied().ok_or_else(lost)?;
                large = Some(lengths);
                length
            }
            Place::InIdentifier => 0,
        };
        bytes_left = bytes_left.checked_sub(length).ok_or_else(more_than_file)?;
        if !seen.insert(id.to_vec()) {
            return Err(Problem::new("two attributes lie in the same place"));
        }
    }
    Ok(())
}

/// Where an object lies.
enum Place {
    /// In a block of the heap.
    Inside,
    /// By itself, because it is too large for one.
    Apart,
    /// So small that it is the identifier.
    InIdentifier,
}

fn place_of(id: &[u8]) -> Result<Place, Problem> {
    Ok(match Fields::new(id).byte()? >> 4 & 3 {
        0 => Place::Inside,
        1 => Place::Apart,
        _ => Place::InIdentifier,
    })
}

fn more_than_file() -> Problem {
    Problem::new("a heap holds more than the file")
}

struct Heap {
    id_bytes: usize,
    offset_bytes: usize,
    width: u64,
    smallest: u64,
    largest_direct: u64,
    root: u64,
    /// Rows of the root block; 0 where it is a direct one.
    rows: u32,
    /// The tree of objects that lie apart.
    apart: u64,
}

impl Heap {
    fn open(image: &Image, address: u64) -> Result<Self, Problem> {
        let bytes = image.read(address, 142)?;
        let mut fields = Fields::new(&bytes);
        fields.signature(b"FRHP")?;
        fields.take(1)?;
        let id_bytes = usize::from(fields.short()?);
        let filters = fields.short()?;
        if filters > 0 {
            return Err(Problem::Unsupported("a heap of names is compressed".into()));
        }
        fields.take(13)?;
        let apart = fields.long()?;
        fields.take(80)?;
        let width = u64::from(fields.short()?);
        let smallest = fields.long()?;
        let largest_direct = fields.long()?;
        let bits = fields.short()?;
        fields.take(2)?;
        let root = fields.long()?;
        let rows = u32::from(fields.short()?);
        let sound = width > 0
            && smallest.is_power_of_two()
            && largest_direct.is_power_of_two()
            && smallest <= largest_direct
            && largest_direct <= 1 << 32
            && bits <= 64;
        if !sound {
            return Err(Problem::new("a heap of names contradicts itself"));
        }
        Ok(Self {
            id_bytes,
            offset_bytes: usize::from(bits).div_ceil(8),
            width,
            smallest,
            largest_direct,
            root,
            rows,
            apart,
        })
    }

    /// The lengths of the objects that lie apart, by their numbers.
    fn lengths_apart(&self, image: &Image) -> Result<HashMap<u64, u64>, Problem> {
        if self.apart == UNDEFINED {
            return Err(lost());
        }
        let records = records(image, self.apart, Kind::LargeObjects)?;
        let lengths = records.iter().map(|record| {
            let mut fields = Fields::new(record);
            let (_, length, number) = (fields.long()?, fields.long()?, fields.long()?);
            Ok((number, length))
        });
        lengths.collect()
    }

    /// Where an object lies, and how long it is.
    fn find(&self, image: &Image, id: &[u8]) -> Result<(u64, u64), Problem> {
        let Place::Inside = place_of(id)? else {
            return Err(Problem::Unsupported(
                "a name or attribute is too large to lie in its heap itself".into(),
            ));
        };
        let (offset, length) = self.position(id)?;
        let at = match self.rows {
            0 => self.root.checked_add(offset),
            rows => Some(self.place(image, self.root, rows, offset, 0)?),
        };
        at.map(|at| (at, length)).ok_or_else(lost)
    }

    /// The offset and the length that the identifier of an object gives.
    fn position(&self, id: &[u8]) -> Result<(u64, u64), Problem> {
        let mut fields = Fields::new(id);
        fields.take(1)?;
        let offset = fields.number(self.offset_bytes)?;
        Ok((offset, fields.number(fields.rest().min(8))?))
    }

    /// Bytes of a block in this row of an indirect one.
    fn row_bytes(&self, row: u32) -> u64 {
        self.smallest
            .checked_shl(row.saturating_sub(1))
            .unwrap_or(u64::MAX)
    }

    /// Where an offset lies that counts from the start of what an indirect block leads to.
    fn place(
        &self,
        image: &Image,
        block: u64,
        rows: u32,
        offset: u64,
        depth: u32,
    ) -> Result<u64, Problem> {
        if depth > DEEPEST || block == UNDEFINED {
            return Err(lost());
        }
        let direct_rows = self.largest_direct.trailing_zeros() - self.smallest.trailing_zeros() + 2;
        let mut start = 0u64;
        for row in 0..rows {
            let bytes = self.row_bytes(row);
            let stop = start.saturating_add(bytes.saturating_mul(self.width));
            if offset >= stop {
                start = stop;
                continue;
            }
            let column = (offset - start) / bytes;
            let inner = (offset - start) % bytes;
            let entries = u64::from(row) * self.width + column;
            let head = 4 + 1 + 8 + self.offset_bytes as u64;
            let children = image.read(block, head as usize)?;
            Fields::new(&children).signature(b"FHIB")?;
            let child = Fields::new(&image.read(block + head + 8 * entries, 8)?).long()?;
            if child == UNDEFINED {
                return Err(lost());
            }
            if row < direct_rows {
                return child.checked_add(inner).ok_or_else(lost);
            }
            let first_row = self.smallest.saturating_mul(self.width);
            let rows = bytes.ilog2().saturating_sub(first_row.ilog2()) + 1;
            return self.place(image, child, rows, inner, depth + 1);
        }
        Err(lost())
    }
}

fn lost() -> Problem {
    Problem::new("a name leads to no block of its heap")
}

/// All records of a version-2 B-tree, in order.
fn records(image: &Image, address: u64, kind: Kind) -> Result<Vec<Vec<u8>>, Problem> {
    let bytes = image.read(address, 38)?;
    let mut fields = Fields::new(&bytes);
    fields.signature(b"BTHD")?;
    let (_, found) = (fields.byte()?, fields.byte()?);
    if found != kind.number() {
        return Err(Problem::new(format!(
            "a tree of kind {found}, expected {}",
            kind.number()
        )));
    }
    let node_bytes = fields.number(4)?;
    let record_bytes = u64::from(fields.short()?);
    let depth = u32::from(fields.short()?);
    fields.take(2)?;
    let root = fields.long()?;
    let count = u64::from(fields.short()?);
    // Nodes that are there many times would hold as many records, so these must be small.
    if record_bytes != kind.record_bytes() || node_bytes < 10 + record_bytes || depth > DEEPEST {
        return Err(Problem::new("a tree of names contradicts itself"));
    }
    // What a child's address takes, level by level from the leaves.
    let most_in_leaf = (node_bytes - 10) / record_bytes;
    let count_width = width_of(most_in_leaf);
    let mut total_widths = vec![0];
    let mut most_below = most_in_leaf;
    for level in 1..=depth {
        let pointer = 8 + count_width + total_widths[level as usize - 1];
        let most = node_bytes.saturating_sub(10 + pointer) / (record_bytes + pointer);
        most_below = most_below
            .saturating_mul(most.saturating_add(1))
            .saturating_add(most);
        total_widths.push(width_of(most_below));
    }
    let mut tree = Tree {
        image,
        record_bytes,
        count_width: count_width as usize,
        total_widths,
        records: Vec::new(),
        blocks_left: image.most_blocks(),
    };
    if root != UNDEFINED {
        tree.walk(root, count, depth)?;
    }
    Ok(tree.records)
}

/// Bytes that numbers up to this one take.
fn width_of(most: u64) -> u64 {
    u64::from(most.max(1).ilog2()) / 8 + 1
}

struct Tree<'a> {
    image: &'a Image,
    record_bytes: u64,
    count_width: usize,
    total_widths: Vec<u64>,
    records: Vec<Vec<u8>>,
    blocks_left: u64,
}

impl Tree<'_> {
    fn walk(&mut self, node: u64, count: u64, depth: u32) -> Result<(), Problem> {
        self.blocks_left = self
            .blocks_left
            .checked_sub(1 + count)
            .ok_or_else(|| Problem::new("a tree of names has more nodes than the file"))?;
        let total_width = match depth {
            0 => 0,
            _ => self.total_widths[depth as usize - 1] as usize,
        };
        let pointer = 8 + self.count_width + total_width;
        let children = if depth == 0 { 0 } else { count as usize + 1 };
        let length = 6 + (count * self.record_bytes) as usize + children * pointer;
        let bytes = self.image.read(node, length)?;
        let mut fields = Fields::new(&bytes);
        fields.signature(if depth == 0 { b"BTLF" } else { b"BTIN" })?;
        fields.take(2)?;
        let mut records = Vec::with_capacity(count as usize);
        for _ in 0..count {
            records.push(fields.take(self.record_bytes as usize)?.to_vec());
        }
        let mut records = records.into_iter();
        for _ in 0..children {
            let child = fields.long()?;
            let count = fields.number(self.count_width)?;
            fields.take(total_width)?;
            self.walk(child, count, depth - 1)?;
            self.records.extend(records.next());
        }
        self.records.extend(records);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    /// The trees of a file of many columns and attributes, with other lengths of records.
    #[test]
    fn records_of_another_length_are_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let whole = std::fs::read(fixtures.join("many_columns.h5ad")).unwrap();
        for kind in [Kind::Links, Kind::Attributes] {
            let head = [b"BTHD\0".as_slice(), &[kind.number()]].concat();
            let tree = whole.windows(6).position(|bytes| bytes == head).unwrap();
            let found = |record_bytes: Option<u16>| {
                let mut bytes = whole.clone();
                if let Some(record_bytes) = record_bytes {
                    bytes[tree + 6..tree + 10].copy_from_slice(&(1u32 << 26).to_le_bytes());
                    bytes[tree + 10..tree + 12].copy_from_slice(&record_bytes.to_le_bytes());
                }
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                let image = Image::new(Arc::new(file)).unwrap();
                records(&image, tree as u64, kind)
            };
            assert!(found(None).unwrap().len() > 8);
            for record_bytes in [0, 16, u16::MAX] {
                let problem = found(Some(record_bytes)).unwrap_err().to_string();
                assert!(problem.contains("contradicts itself"), "{problem}");
            }
        }
    }

    #[test]
    fn attributes_in_the_same_place_are_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let whole = std::fs::read(fixtures.join("many_columns.h5ad")).unwrap();
        let at = |start: &[u8]| {
            let found = whole.windows(start.len()).position(|bytes| bytes == start);
            found.unwrap()
        };
        let image = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            Image::new(Arc::new(file)).unwrap()
        };
        let tree = at(b"BTHD\0\x08");
        // The heap of the attributes is the one whose identifiers have 8 bytes.
        let heap = at(b"FRHP\0\x08\0");
        let check = |bytes: &[u8]| check_attributes(&image(bytes), heap as u64, tree as u64);
        check(&whole).unwrap();
        let leaf = at(b"BTLF\0\x08") + 6;
        let mut bytes = whole.clone();
        bytes.copy_within(leaf..leaf + 17, leaf + 17);
        let problem = check(&bytes).unwrap_err().to_string();
        assert!(problem.contains("same place"), "{problem}");
    }

    /// Attributes of 5000 bytes are objects by themselves: here, made to share the space of the
    /// largest part of the file.
    #[test]
    fn large_attributes_that_overlap_are_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let whole = std::fs::read(fixtures.join("large_attributes.h5ad")).unwrap();
        let at = |start: &[u8]| {
            let found = whole.windows(start.len()).position(|bytes| bytes == start);
            found.unwrap()
        };
        let (heap, tree) = (at(b"FRHP\0\x08\0"), at(b"BTHD\0\x08"));
        let check = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            let image = Image::new(Arc::new(file)).unwrap();
            check_attributes(&image, heap as u64, tree as u64)
        };
        check(&whole).unwrap();
        let leaf = at(b"BTLF\0\x01") + 6;
        let mut bytes = whole.clone();
        for record in 0..3 {
            let length = leaf + 24 * record + 8;
            bytes[length..length + 8].copy_from_slice(&(whole.len() as u64 / 2).to_le_bytes());
        }
        let problem = check(&bytes).unwrap_err().to_string();
        assert!(problem.contains("more than the file"), "{problem}");
    }
}
