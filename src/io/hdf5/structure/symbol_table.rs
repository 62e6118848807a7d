//! Groups of HDF5's first format: a version-1 B-tree of entries, whose names lie in a local heap.

use std::ops::Range;

use super::image::{Fields, Image, Problem};
use super::link::{Link, Target, text};

const ENTRY: usize = 40;
/// How many levels a tree has at most; 2^64 links need no more.
const DEEPEST: u32 = 16;
/// What an entry says of its object besides its address: here, that it is a soft link.
const SOFT: u64 = 2;

/// The tree and heap of a group.
pub(super) struct SymbolTable {
    tree: u64,
    heap: u64,
    /// Where the names lie.
    names_at: u64,
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes that names and paths of links may still have: each has its own in the file.
    text_left: usize,
}

/// A link as it is stored.
struct Entry {
    /// Where its name lies in the list of names.
    name: Range<usize>,
    bytes: [u8; ENTRY],
}

impl SymbolTable {
    /// From the body of a symbol table message.
    pub fn read(image: &Image, body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::new(body);
        let (tree, heap) = (fields.long()?, fields.long()?);
        let bytes = image.read(heap, 32)?;
        let mut fields = Fields::new(&bytes);
        fields.signature(b"HEAP")?;
        fields.take(4)?;
        let length = fields.long()?;
        fields.take(8)?;
        let names_at = fields.long()?;
        let length = usize::try_from(length)
            .map_err(|_| Problem::new("a list of names is longer than the file"))?;
        let names = image.read(names_at, length)?;
        let mut table = Self {
            tree,
            heap,
            names_at,
            text_left: names.len(),
            names,
            entries: Vec::new(),
        };
        let mut blocks_left = image.most_blocks();
        table.walk(image, tree, 0, &mut blocks_left)?;
        Ok(table)
    }

    fn walk(
        &mut self,
        image: &Image,
        node: u64,
        depth: u32,
        blocks_left: &mut u64,
    ) -> Result<(), Problem> {
        *blocks_left = blocks_left
            .checked_sub(1)
            .filter(|_| depth <= DEEPEST)
            .ok_or_else(|| Problem::new("a tree of links has more nodes than the file"))?;
        if image.read(node, 4)? == b"SNOD" {
            let head = image.read(node, 8)?;
            let count = usize::from(Fields::new(&head[6..]).short()?);
            *blocks_left = blocks_left
                .checked_sub(count as u64)
                .ok_or_else(|| Problem::new("a tree of links has more entries than the file"))?;
            let bytes = image.read(node + 8, count * ENTRY)?;
            let (entries, _) = bytes.as_chunks::<ENTRY>();
            for &bytes in entries {
                let name = self.name(Fields::new(&bytes).long()?)?;
                self.text_left = less(self.text_left, name.len())?;
                self.entries.push(Entry { name, bytes });
            }
            return Ok(());
        }
        let head = image.read(node, 24)?;
        let mut fields = Fields::new(&head);
        fields.signature(b"TREE")?;
        if fields.short()? & 0xff != 0 {
            return Err(Problem::new("a tree is none of links"));
        }
        let count = usize::from(fields.short()?);
        let bytes = image.read(node + 24, count * 16)?;
        for pair in bytes.chunks_exact(16) {
            let child = Fields::new(&pair[8..]).long()?;
            self.walk(image, child, depth + 1, blocks_left)?;
        }
        Ok(())
    }

    /// Where the text lies that starts here.
    fn name(&self, offset: u64) -> Result<Range<usize>, Problem> {
        let outside = || Problem::new("a name lies outside of its list");
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let rest = self.names.get(start..).ok_or_else(outside)?;
        let length = rest.iter().position(|&byte| byte == 0);
        Ok(start..start + length.unwrap_or(rest.len()))
    }

    pub fn links(&self) -> Result<Vec<Link>, Problem> {
        let mut text_left = self.text_left;
        self.entries
            .iter()
            .map(|entry| {
                let mut fields = Fields::new(&entry.bytes[8..]);
                let object = fields.long()?;
                let cached = fields.number(4)?;
                fields.take(4)?;
                let target = if cached == SOFT {
                    let path = self.name(fields.number(4)?)?;
                    text_left = less(text_left, path.len())?;
                    Target::Soft(text(&self.names[path]))
                } else {
                    Target::Object(object)
                };
                Ok(Link {
                    name: text(&self.names[entry.name.clone()]),
                    target,
                })
            })
            .collect()
    }

    /// Puts links into the group, which take the place of those of the same names, and takes others
    /// out. Tree and heap stay where they are, because the entry of this group in another one may
    /// say where that is.
    pub fn store(
        mut self,
        image: &mut Image,
        links: &[(String, u64)],
        removed: &[String],
    ) -> Result<(), Problem> {
        self.entries.retain(|entry| {
            let there = &self.names[entry.name.clone()];
            let is_new = links.iter().any(|(name, _)| name.as_bytes() == there);
            let goes = removed.iter().any(|name| name.as_bytes() == there);
            !is_new && !goes
        });
        for (name, object) in links {
            self.names.resize(self.names.len().next_multiple_of(8), 0);
            let offset = self.names.len();
            self.names.extend(name.as_bytes());
            self.names.push(0);
            let mut bytes = [0; ENTRY];
            bytes[..8].copy_from_slice(&(offset as u64).to_le_bytes());
            bytes[8..16].copy_from_slice(&object.to_le_bytes());
            let name = offset..offset + name.len();
            self.entries.push(Entry { name, bytes });
        }
        self.names.resize(self.names.len().next_multiple_of(8), 0);
        let names = &self.names;
        self.entries
            .sort_by(|one, other| names[one.name.clone()].cmp(&names[other.name.clone()]));
        self.store_names(image)?;
        self.store_tree(image)
    }

    /// The list of names grows, so it moves; what was free in it stays so.
    fn store_names(&mut self, image: &mut Image) -> Result<(), Problem> {
        let mut header = image.read(self.heap, 32)?;
        let names = std::mem::take(&mut self.names);
        header[8..16].copy_from_slice(&(names.len() as u64).to_le_bytes());
        self.names_at = image.append(names);
        header[24..32].copy_from_slice(&self.names_at.to_le_bytes());
        image.write(self.heap, header);
        Ok(())
    }

    fn store_tree(&self, image: &mut Image) -> Result<(), Problem> {
        let most_links = 2 * image.superblock().leaf_rank;
        let most_children = 2 * image.superblock().node_rank;
        let mut children: Vec<Child> = Vec::new();
        for entries in self.entries.chunks(most_links) {
            let mut leaf = b"SNOD\x01\x00".to_vec();
            leaf.extend((entries.len() as u16).to_le_bytes());
            for entry in entries {
                leaf.extend(&entry.bytes);
            }
            leaf.resize(8 + most_links * ENTRY, 0);
            let last = entries.last().map(|entry| &entry.bytes[..8]);
            children.push(Child {
                last_name: last.unwrap_or_default().to_vec(),
                address: image.append(leaf),
            });
        }
        let mut level = 0u8;
        while children.len() > most_children {
            let first_name = &mut vec![0; 8];
            let groups: Vec<&[Child]> = children.chunks(most_children).collect();
            let node_bytes = node_bytes(most_children) as u64;
            let start = image.end();
            let at = |index: usize| start + index as u64 * node_bytes;
            let mut above = Vec::new();
            for (index, group) in groups.iter().enumerate() {
                let left = index.checked_sub(1).map(at);
                let right = (index + 1 < groups.len()).then(|| at(index + 1));
                let node = node(level, group, first_name, [left, right], most_children);
                *first_name = group[group.len() - 1].last_name.clone();
                above.push(Child {
                    last_name: first_name.clone(),
                    address: image.append(node),
                });
            }
            children = above;
            level += 1;
        }
        let root = node(level, &children, &[0; 8], [None, None], most_children);
        image.write(self.tree, root);
        Ok(())
    }
}

/// What is left for texts after one more.
fn less(text_left: usize, length: usize) -> Result<usize, Problem> {
    text_left
        .checked_sub(length)
        .ok_or_else(|| Problem::new("the names of links are longer than their list"))
}

/// A node or leaf on the way into a tree.
struct Child {
    /// Where its last name lies.
    last_name: Vec<u8>,
    address: u64,
}

fn node_bytes(most_children: usize) -> usize {
    24 + 8 * (2 * most_children + 1)
}

fn node(
    level: u8,
    children: &[Child],
    first_name: &[u8],
    siblings: [Option<u64>; 2],
    most_children: usize,
) -> Vec<u8> {
    let mut bytes = b"TREE\x00".to_vec();
    bytes.push(level);
    bytes.extend((children.len() as u16).to_le_bytes());
    for sibling in siblings {
        bytes.extend(sibling.unwrap_or(super::UNDEFINED).to_le_bytes());
    }
    bytes.extend(first_name);
    for child in children {
        bytes.extend(child.address.to_le_bytes());
        bytes.extend(&child.last_name);
    }
    bytes.resize(node_bytes(most_children), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::super::Superblock;
    use super::*;

    /// The links of a table of `leaves` leaves, all of them the same one.
    fn links(names: &[u8], offsets: &[u64], leaves: u16) -> Result<Vec<Link>, Problem> {
        const HEAP: u64 = 48;
        let names_at = HEAP + 32;
        let leaf = names_at + names.len() as u64;
        let tree = leaf + 8 + (offsets.len() * ENTRY) as u64;
        let mut bytes = b"HEAP\0\0\0\0".to_vec();
        for number in [names.len() as u64, 1, names_at] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(names);
        bytes.extend(b"SNOD\x01\0");
        bytes.extend((offsets.len() as u16).to_le_bytes());
        for offset in offsets {
            bytes.extend(offset.to_le_bytes());
            bytes.extend([0; ENTRY - 8]);
        }
        bytes.extend(b"TREE\0\0");
        bytes.extend(leaves.to_le_bytes());
        bytes.extend([0; 24]);
        for _ in 0..leaves {
            bytes.extend(leaf.to_le_bytes());
            bytes.extend([0; 8]);
        }
        let end = HEAP + bytes.len() as u64;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&Superblock::stand_in(0, end)).unwrap();
        file.write_all(&bytes).unwrap();
        let image = Image::new(Arc::new(file))?;
        let mut body = tree.to_le_bytes().to_vec();
        body.extend(HEAP.to_le_bytes());
        SymbolTable::read(&image, &body)?.links()
    }

    #[test]
    fn links_take_no_more_memory_than_the_file() {
        let found = links(b"\0one\0two\0", &[1, 5], 1).unwrap();
        let found: Vec<String> = found.into_iter().map(|link| link.name).collect();
        assert_eq!(found, ["one", "two"]);
        for (names, offsets, leaves, expected) in [
            // A long name, which many entries have.
            (vec![b'a'; 4096], vec![0; 500], 1, "longer than their list"),
            // A leaf that is there many times.
            (vec![0; 64], vec![0; 50], 2000, "more entries than the file"),
        ] {
            let problem = links(&names, &offsets, leaves).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
