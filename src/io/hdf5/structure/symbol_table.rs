//! Groups of HDF5's first format: a version-1 B-tree of entries, whose names lie in a local heap.

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
}

/// A link as it is stored.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    bytes: Vec<u8>,
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
        let mut table = Self {
            tree,
            heap,
            names_at,
            names: image.read(names_at, length)?,
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
            let bytes = image.read(node + 8, count * ENTRY)?;
            for entry in bytes.chunks_exact(ENTRY) {
                let name = self.name(Fields::new(entry).long()?)?.to_vec();
                let bytes = entry.to_vec();
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

    fn name(&self, offset: u64) -> Result<&[u8], Problem> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.names.get(offset..));
        rest.and_then(|rest| rest.split(|&byte| byte == 0).next())
            .ok_or_else(|| Problem::new("a name lies outside of its list"))
    }

    pub fn links(&self) -> Result<Vec<Link>, Problem> {
        self.entries
            .iter()
            .map(|entry| {
                let mut fields = Fields::new(&entry.bytes[8..]);
                let object = fields.long()?;
                let cached = fields.number(4)?;
                fields.take(4)?;
                let target = if cached == SOFT {
                    Target::Soft(text(self.name(fields.number(4)?)?))
                } else {
                    Target::Object(object)
                };
                Ok(Link {
                    name: text(&entry.name),
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
            let is_new = links.iter().any(|(name, _)| name.as_bytes() == entry.name);
            let goes = removed.iter().any(|name| name.as_bytes() == entry.name);
            !is_new && !goes
        });
        for (name, object) in links {
            self.names.resize(self.names.len().next_multiple_of(8), 0);
            let offset = self.names.len() as u64;
            self.names.extend(name.as_bytes());
            self.names.push(0);
            let mut bytes = offset.to_le_bytes().to_vec();
            bytes.extend(object.to_le_bytes());
            bytes.resize(ENTRY, 0);
            let name = name.as_bytes().to_vec();
            self.entries.push(Entry { name, bytes });
        }
        self.names.resize(self.names.len().next_multiple_of(8), 0);
        self.entries.sort_by(|one, other| one.name.cmp(&other.name));
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
