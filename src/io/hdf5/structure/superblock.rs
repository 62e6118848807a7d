//! The superblock: where a file's structure begins and ends.

use std::fs::File;

use super::checksum::lookup3;
use super::image::{Fields, Problem};
use crate::io::hdf5::positioned::read_at;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// The longest superblock: version 1 with the entry of the root group.
const LONGEST: u64 = 100;
/// A user block ends at this many bytes, or at twice as many, and so on.
const SHORTEST_USER_BLOCK: u64 = 512;

/// What a superblock says.
#[derive(Debug, Clone)]
pub(in crate::io) struct Superblock {
    /// Where it lies in the file; all addresses count from here.
    pub(super) base: u64,
    /// The end of the file.
    pub(super) end: u64,
    /// The object header of the root group.
    pub(super) root: u64,
    /// Its extension, where it has one.
    pub(super) extension: Option<u64>,
    /// Half of the most children of a node of a version-1 tree of groups.
    pub(super) node_rank: usize,
    /// Half of the most links of a leaf of such a tree.
    pub(super) leaf_rank: usize,
    /// Its own bytes, without user block.
    bytes: Vec<u8>,
    /// Where the end of the file stands in it.
    end_at: usize,
}

impl Superblock {
    pub(super) fn find(file: &File, size: u64) -> Result<Self, Problem> {
        let mut at = 0;
        while at + SIGNATURE.len() as u64 <= size {
            let mut bytes = vec![0; (size - at).min(LONGEST) as usize];
            read_at(file, &mut bytes, at)?;
            if bytes.starts_with(SIGNATURE) {
                return Self::parse(at, bytes);
            }
            at = (at * 2).max(SHORTEST_USER_BLOCK);
        }
        Err(Problem::new("it has no superblock"))
    }

    fn parse(base: u64, mut bytes: Vec<u8>) -> Result<Self, Problem> {
        let block = bytes.clone();
        let mut fields = Fields::new(&block);
        fields.take(SIGNATURE.len())?;
        let version = fields.byte()?;
        if version > 3 {
            return Err(Problem::new(format!(
                "its superblock has version {version}, known are 0 to 3"
            )));
        }
        // Those of HDF5's library where a file does not say.
        let (mut node_rank, mut leaf_rank) = (16, 4);
        let (sizes, end_at);
        if version < 2 {
            fields.take(4)?;
            sizes = [fields.byte()?, fields.byte()?];
            fields.take(1)?;
            leaf_rank = usize::from(fields.short()?);
            node_rank = usize::from(fields.short()?);
            fields.take(if version == 1 { 8 } else { 4 })?;
            end_at = if version == 1 { 44 } else { 40 };
        } else {
            sizes = [fields.byte()?, fields.byte()?];
            fields.take(1)?;
            end_at = 28;
        }
        if sizes != [8, 8] {
            return Err(Problem::Unsupported(format!(
                "its addresses and lengths have {} and {} bytes instead of 8",
                sizes[0], sizes[1]
            )));
        }
        // What it says of the user block before it is not true of files that got theirs later.
        fields.take(8)?;
        let extension = fields.long()?;
        let end = fields.long()?;
        let root;
        if version < 2 {
            fields.take(16)?;
            root = fields.long()?;
            bytes.truncate(end_at + 56);
        } else {
            root = fields.long()?;
            bytes.truncate(48);
        }
        if node_rank == 0 || leaf_rank == 0 {
            return Err(Problem::new("its superblock allows no links"));
        }
        Ok(Self {
            base,
            end,
            root,
            extension: (version >= 2 && extension != super::UNDEFINED).then_some(extension),
            node_rank,
            leaf_rank,
            bytes,
            end_at,
        })
    }

    /// The superblock with another end of the file, and its address.
    pub(super) fn with_end(&self, end: u64) -> (u64, Vec<u8>) {
        let mut bytes = self.bytes.clone();
        // The end alone counts from the start of the file.
        let end = self.base + end;
        bytes[self.end_at..self.end_at + 8].copy_from_slice(&end.to_le_bytes());
        if self.bytes[8] >= 2 {
            sign(&mut bytes);
        }
        (0, bytes)
    }

    /// Another superblock of the same file, in place of this one for a while: addresses count from
    /// the start of the file.
    pub(in crate::io) fn stand_in(root: u64, end: u64) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([3, 8, 8, 0]);
        for address in [0, super::UNDEFINED, end, root] {
            bytes.extend(address.to_le_bytes());
        }
        bytes.extend([0; 4]);
        sign(&mut bytes);
        bytes
    }

    /// Refuses files in whose place no other superblock can stand.
    pub(in crate::io) fn check_plain(&self) -> Result<(), Problem> {
        if self.base == 0 {
            return Ok(());
        }
        Err(Problem::new("it has a user block before its contents"))
    }
}

/// Brings the checksum at the end up to date.
fn sign(bytes: &mut [u8]) {
    let split = bytes.len() - 4;
    let sum = lookup3(&bytes[..split]);
    bytes[split..].copy_from_slice(&sum.to_le_bytes());
}
