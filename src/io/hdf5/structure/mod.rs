//! The structure of an HDF5 file below what the crate `hdf5-pure` shows: object headers, the links
//! of groups, and changes to them that move nothing.
//!
//! Objects are never laid out anew: what is added lies behind the end of the file, and of what was
//! there only the places change that must lead to it. So everything that is not understood here
//! (attributes and types of any kind, references to objects) stays byte for byte as it was. Laid
//! down in "HDF5 File Format Specification Version 3.0".

mod checksum;
mod chunk_index;
mod dense;
mod group;
mod header;
mod heap;
mod image;
mod link;
mod path;
mod superblock;
mod symbol_table;

pub(in crate::io) use chunk_index::check_chunk_index;
pub(in crate::io) use group::{Changes, Group, check_attributes};
pub(in crate::io) use header::{Header, Message, kind};
pub(in crate::io) use heap::HeapCollection;
pub(in crate::io) use image::{Image, Problem};
pub(in crate::io) use link::Target;
pub(in crate::io) use path::{Found, follow, follow_by};
pub(in crate::io) use superblock::Superblock;

/// An address that leads nowhere.
pub(in crate::io) const UNDEFINED: u64 = u64::MAX;
