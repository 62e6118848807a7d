//! Guarded access to an HDF5 file: every read is bounded by the size of the file.

mod content;
mod fletcher32;
mod foreign;
mod half_precision;
mod known_links;
mod linked;
mod positioned;
mod rows;
mod sparse;
pub(super) mod structure;
mod texts;

use std::io::Seek;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_pure::{
    AttrValue, ChunkIndex, DType, Dataset, File, FormatError, Group, VlenStringReadOptions,
};

use super::budget::{Budget, Shortage, bytes_of};
use crate::error::{Error, Result};
use content::Content;
use known_links::KnownLinks;
use linked::Object;
use positioned::Positioned;
use structure::{Image, check_attributes, check_chunk_index};

pub(super) use content::is_hdf5;
pub(super) use half_precision::is_half;
pub(super) use texts::HeapTexts;

pub(super) use rows::StoredRows;
pub(super) use sparse::{SparseParts, check_numeric, read_sparse};

/// Deflate cannot expand further than this; what claims more is not in the file.
const MAX_EXPANSION: u64 = 1032;
/// Small datasets may be filled by a fill value alone, up to this many bytes.
const FREE_BYTES: u64 = 1 << 20;
/// How much of a dataset the HDF5 layer holds undecoded, unless its chunks are larger.
const WINDOW_BYTES: u64 = 1 << 20;
/// What the HDF5 layer needs to find a text of variable length, besides the text.
const VARIABLE_TEXT: u64 = 96;

/// An open file and how much memory it may ask for.
pub(super) struct Store {
    path: PathBuf,
    /// The group that paths start at; empty for the root.
    root: String,
    file: File,
    /// The same bytes, for what the HDF5 layer does not show.
    bytes: Arc<std::fs::File>,
    file_bytes: u64,
    links: KnownLinks,
    budget: Budget,
}

/// What an HDF5 path leads to.
pub(super) enum Node {
    Group(Group),
    Dataset(Dataset),
}

impl Node {
    /// The attributes; those of types without a use here are left out.
    pub(super) fn attributes(&self) -> Result<Attributes, hdf5_pure::Error> {
        match self {
            Self::Group(group) => group.attrs(),
            Self::Dataset(dataset) => dataset.attrs(),
        }
        .map(Attributes)
    }
}

/// Attributes of a group or dataset.
pub(super) struct Attributes(std::collections::HashMap<String, AttrValue>);

impl Attributes {
    /// The attribute when it is one string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The attribute when it is a list of strings; an empty list may have any type.
    pub(super) fn texts(&self, name: &str) -> Option<&[String]> {
        let value = self.0.get(name)?;
        let empty = value.to_f64s().is_some_and(|list| list.is_empty());
        value.as_strings().or(empty.then_some(&[]))
    }

    /// The attribute when it is a list of non-negative integers.
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<u64>> {
        self.0.get(name)?.to_u64s()
    }
}

impl Store {
    /// A file whose bytes are all in memory: quick to read as a whole.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::in_memory(path, Content::open(path)?)
    }

    fn in_memory(path: &Path, content: Content) -> Result<Self> {
        let budget = content.budget();
        budget
            .take(content.length)
            .map_err(|shortage| match shortage {
                Shortage::System { bytes } => Error::io(
                    path,
                    std::io::Error::new(
                        std::io::ErrorKind::OutOfMemory,
                        format!(
                            "the system has no memory left for the file of {bytes} bytes; read an \
                             .h5ad file part by part with `H5adOptions::open`, or use a larger \
                             machine"
                        ),
                    ),
                ),
                other => other.at(path, "at /"),
            })?;
        let bytes = content.read(path)?;
        Self::with(path, content, budget, || File::from_bytes(bytes))
    }

    /// A file of which only what is read is in memory.
    pub(super) fn open_on_disk(path: &Path) -> Result<Self> {
        let content = Content::open(path)?;
        let source = Positioned {
            file: Arc::clone(&content.file),
            length: content.length,
        };
        let budget = content.budget();
        Self::with(path, content, budget, || File::from_source(source))
    }

    fn with(
        path: &Path,
        content: Content,
        budget: Budget,
        open: impl FnOnce() -> Result<File, hdf5_pure::Error>,
    ) -> Result<Self> {
        let file = open().map_err(|error| match error {
            hdf5_pure::Error::Io(source) => Error::io(path, source),
            other => Error::format(
                path,
                None,
                format!("the HDF5 file is damaged or truncated: {other}"),
            ),
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            root: String::new(),
            file,
            file_bytes: content.length,
            links: KnownLinks::new(content.length.max(FREE_BYTES)),
            bytes: content.file,
            budget,
        })
    }

    /// The same file, with paths that start at a group.
    pub(super) fn within_group(mut self, group: String) -> Self {
        self.root = group;
        self
    }

    /// The group that paths start at; empty for the root.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// A path from the root of the file.
    fn whole_path(&self, at: &str) -> String {
        let path = format!("{}{at}", self.root);
        match path.strip_suffix('/') {
            Some(path) if !path.is_empty() => path.to_string(),
            _ => path,
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file, without a compression as a whole.
    pub(super) fn content(&self) -> Arc<std::fs::File> {
        Arc::clone(&self.bytes)
    }

    /// Bytes of the file, without a compression as a whole.
    pub(super) fn content_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Copies the bytes of the file in place of all that the other one holds.
    pub(super) fn copy_content(&self, mut target: &std::fs::File) -> std::io::Result<()> {
        target.set_len(0)?;
        target.rewind()?;
        let source = Positioned {
            file: self.content(),
            length: self.file_bytes,
        };
        std::io::copy(&mut source.reader(), &mut target).map(|_| ())
    }

    /// An error at an HDF5 path.
    pub(super) fn error(&self, at: &str, reason: impl std::fmt::Display) -> Error {
        let at = self.whole_path(at);
        Error::format(&self.path, None, format!("at {at}: {reason}"))
    }

    /// The memory that may be used.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The error at an HDF5 path when memory was refused.
    pub(super) fn within<T>(&self, at: &str, memory: Result<T, Shortage>) -> Result<T> {
        memory.map_err(|shortage| shortage.at(&self.path, format!("at {at}")))
    }

    /// Counts a list of `elements` that is to be read from a dataset and kept as `T`, and whether
    /// there is memory for `besides` bytes more and for what the HDF5 layer holds meanwhile.
    pub(super) fn take_list<T>(
        &self,
        at: &str,
        dataset: &Dataset,
        elements: usize,
        besides: u64,
    ) -> Result<()> {
        let undecoded = self.undecoded(at, dataset)?;
        self.within(at, self.budget.take_list::<T>(elements))?;
        self.within(at, self.budget.allow(undecoded.saturating_add(besides)))
    }

    /// Bytes that the HDF5 layer holds at most while a dataset is read from start to end.
    pub(super) fn undecoded(&self, at: &str, dataset: &Dataset) -> Result<u64> {
        let damaged = |error| self.damaged(at, error);
        let element = dataset.element_size().map_err(damaged)?;
        let product = |axes: &[u64]| {
            axes.iter()
                .fold(element, |bytes, &axis| bytes.saturating_mul(axis))
        };
        let shape = dataset.shape().map_err(damaged)?;
        let whole = product(&shape);
        let chunks = dataset.chunk_shape().map_err(damaged)?.unwrap_or_default();
        let row = product(shape.get(1..).unwrap_or_default());
        let rows = chunks.first().copied().unwrap_or(1).max(1);
        let window = row.saturating_mul(rows).max(WINDOW_BYTES).min(whole);
        let chunk = if chunks.is_empty() {
            0
        } else {
            product(&chunks)
        };
        Ok(window.saturating_add(chunk.saturating_mul(2)))
    }

    /// The refusal of what this reader does not know.
    pub(super) fn unsupported(&self, at: &str, encoding: &str) -> Error {
        Error::format(
            &self.path,
            None,
            format!(
                "unsupported encoding `{encoding}` at {}",
                self.whole_path(at)
            ),
        )
    }

    /// An error of the HDF5 layer at an HDF5 path.
    pub(super) fn damaged(&self, at: &str, error: hdf5_pure::Error) -> Error {
        match error {
            hdf5_pure::Error::Io(source) => Error::io(&self.path, source),
            hdf5_pure::Error::Format(FormatError::UnsupportedFilter(filter)) => {
                foreign::refused(self, at, filter)
            }
            hdf5_pure::Error::Format(
                error @ (FormatError::UnsupportedVirtualLayout
                | FormatError::UnsupportedExternalStorage),
            ) => self.to_rewrite(at, format!("{error}; write all into one file")),
            hdf5_pure::Error::Format(
                error @ (FormatError::UnsupportedMessage(_)
                | FormatError::UnsupportedFilteredHeapObject
                | FormatError::UnsupportedSohmReference
                | FormatError::UnsupportedZfp(_)
                | FormatError::UnsupportedFillValueVersion(_)),
            ) => self.to_rewrite(
                at,
                format!("{error}, which is not known here; rewrite the file"),
            ),
            other => self.error(at, format!("the file is damaged or truncated: {other}")),
        }
    }

    /// The refusal of what another program can store in a way that is read here.
    pub(super) fn to_rewrite(&self, at: &str, reason: impl std::fmt::Display) -> Error {
        self.error(
            at,
            format!(
                "{reason} in Python: import anndata; \
                 anndata.read_h5ad(\"{}\").write_h5ad(\"rewritten.h5ad\")",
                self.path.display()
            ),
        )
    }

    /// What is at the path, `None` when there is nothing. Soft links are followed, and datasets whose
    /// compression only this crate knows come decompressed.
    pub(super) fn find(&self, at: &str) -> Result<Option<Node>> {
        match self.stored(at)? {
            Some(Node::Dataset(dataset)) => {
                let decoded = foreign::decoded(self, at, &dataset)?;
                Ok(Some(Node::Dataset(decoded.unwrap_or(dataset))))
            }
            found => Ok(found),
        }
    }

    /// Whether there is something at the path.
    pub(super) fn exists(&self, at: &str) -> Result<bool> {
        Ok(self.linked(at)?.is_some())
    }

    /// As [`find`](Self::find), with datasets as they are stored.
    pub(super) fn stored(&self, at: &str) -> Result<Option<Node>> {
        // The HDF5 layer reads all links of every group along a path, and more of a damaged one than
        // the file holds; what is not there or damaged must not come so far.
        match self.linked(at)? {
            Some(object) => self.open_object(at, &object),
            None => Ok(None),
        }
    }

    fn open_object(&self, at: &str, object: &Object) -> Result<Option<Node>> {
        let path = &object.path;
        let image = self.image()?;
        let links = self.links.of(&image, object.address);
        let opened = match links.map_err(|problem| self.problem(at, problem))? {
            Some(_) => self.file.group(path).map(Node::Group),
            None => self.file.dataset(path).map(Node::Dataset),
        };
        match opened {
            Ok(node) => {
                if let Node::Dataset(dataset) = &node {
                    self.check_chunk_index(at, &image, object.address, dataset)?;
                }
                Ok(Some(node))
            }
            // A type with a name.
            Err(
                hdf5_pure::Error::NotAGroup(_)
                | hdf5_pure::Error::NotADataset(_)
                | hdf5_pure::Error::Format(FormatError::PathNotFound(_)),
            ) => Ok(None),
            Err(error) => Err(self.damaged(at, error)),
        }
    }

    fn check_chunk_index(
        &self,
        at: &str,
        image: &Image,
        address: u64,
        dataset: &Dataset,
    ) -> Result<()> {
        // A layout of the newest version, which the HDF5 layer does not know, is read as an older one.
        if !matches!(
            dataset.chunk_index(),
            Ok(Some(ChunkIndex::FixedArray | ChunkIndex::ExtensibleArray)) | Err(_)
        ) {
            return Ok(());
        }
        check_chunk_index(image, address).map_err(|problem| self.problem(at, problem))
    }

    /// The names of the groups within a group, sorted.
    pub(super) fn groups(&self, at: &str) -> Result<Vec<String>> {
        let mut groups = Vec::new();
        for name in self.members(at)? {
            if self.is_group(&format!("{}/{name}", at.trim_end_matches('/')))? {
                groups.push(name);
            }
        }
        Ok(groups)
    }

    /// What is at the path.
    pub(super) fn node(&self, at: &str) -> Result<Node> {
        self.find(at)?
            .ok_or_else(|| self.error(at, "missing; the file is not complete"))
    }

    /// The dataset at the path.
    pub(super) fn dataset(&self, at: &str) -> Result<Dataset> {
        match self.node(at)? {
            Node::Dataset(dataset) => Ok(dataset),
            Node::Group(_) => Err(self.error(at, "is a group, expected a dataset")),
        }
    }

    /// The attributes of a node.
    pub(super) fn attributes(&self, at: &str, node: &Node) -> Result<Attributes> {
        if let Some(object) = self.linked(at)? {
            check_attributes(&self.image()?, object.address)
                .map_err(|problem| self.problem(at, problem))?;
        }
        node.attributes().map_err(|error| self.damaged(at, error))
    }

    /// The element type of a dataset.
    pub(super) fn dtype(&self, at: &str, dataset: &Dataset) -> Result<DType> {
        dataset.dtype().map_err(|error| self.damaged(at, error))
    }

    /// The shape of a dataset of `N` axes.
    pub(super) fn shape<const N: usize>(&self, at: &str, dataset: &Dataset) -> Result<[usize; N]> {
        let shape = dataset.shape().map_err(|error| self.damaged(at, error))?;
        let axes: Option<Vec<usize>> = shape
            .iter()
            .map(|&axis| usize::try_from(axis).ok())
            .collect();
        axes.and_then(|axes| axes.try_into().ok())
            .ok_or_else(|| self.error(at, format!("has the shape {shape:?}, expected {N} axes")))
    }

    /// The length of a one-dimensional dataset, refused when the file cannot hold so many
    /// elements.
    pub(super) fn length(&self, at: &str, dataset: &Dataset) -> Result<usize> {
        let shape = dataset.shape().map_err(|error| self.damaged(at, error))?;
        // A column of a single value in every row is a list.
        let length = match shape[..] {
            [length, 1] => usize::try_from(length).unwrap_or(usize::MAX),
            _ => {
                let [length] = self.shape(at, dataset)?;
                length
            }
        };
        self.check_extent(at, dataset, &[length])?;
        Ok(length)
    }

    /// Refuses a dataset that claims more elements than the file can hold.
    pub(super) fn check_extent(&self, at: &str, dataset: &Dataset, shape: &[usize]) -> Result<()> {
        let element = dataset
            .element_size()
            .map_err(|error| self.damaged(at, error))?;
        let limit = FREE_BYTES.max(self.file_bytes.saturating_mul(MAX_EXPANSION));
        shape
            .iter()
            .try_fold(element, |bytes, &axis| bytes.checked_mul(axis as u64))
            .filter(|&bytes| bytes <= limit)
            .map(|_| ())
            .ok_or_else(|| {
                self.error(
                    at,
                    format!(
                        "claims the shape {shape:?}, more than a file of {} bytes can hold; it is \
                         damaged",
                        self.file_bytes
                    ),
                )
            })
    }

    /// A one-dimensional dataset of integers that must not be negative.
    pub(super) fn read_indices<T: Index>(&self, at: &str, dataset: &Dataset) -> Result<Vec<T>> {
        let length = self.length(at, dataset)?;
        self.take_list::<T>(at, dataset, length, bytes_of::<u64>(length))?;
        let read = match self.dtype(at, dataset)? {
            DType::I32 => dataset.read_i32().map(converted),
            DType::U32 => dataset.read_u32().map(converted),
            DType::U64 => dataset.read_u64().map(converted),
            kind if is_integer(&kind) => dataset.read_i64().map(converted),
            other => return Err(self.unsupported(at, &format!("index type {other}"))),
        };
        self.valid_indices(at, read)
    }

    /// The length of a compressed chunk along the first axis; `None` where there are no chunks.
    pub(super) fn chunk_length(&self, at: &str, dataset: &Dataset) -> Result<Option<usize>> {
        let shape = dataset
            .chunk_shape()
            .map_err(|error| self.damaged(at, error))?;
        let length = shape.and_then(|shape| shape.first().copied());
        Ok(length.map(|length| usize::try_from(length).unwrap_or(usize::MAX).max(1)))
    }

    /// Some elements of a one-dimensional dataset of integers that must not be negative.
    pub(super) fn read_index_window(
        &self,
        at: &str,
        dataset: &Dataset,
        window: &Range<usize>,
    ) -> Result<Vec<u32>> {
        let (start, count) = (window.start as u64, window.len() as u64);
        self.allow_window(at, dataset, window.len())?;
        let read = match self.dtype(at, dataset)? {
            DType::I32 => dataset.read_i32_rows(start, count).map(converted),
            DType::U32 => dataset.read_u32_rows(start, count).map(converted),
            DType::U64 => dataset.read_u64_rows(start, count).map(converted),
            kind if is_integer(&kind) => dataset.read_i64_rows(start, count).map(converted),
            other => return Err(self.unsupported(at, &format!("index type {other}"))),
        };
        self.valid_indices(at, read)
    }

    /// Whether there is memory to read so many elements of a dataset.
    pub(super) fn allow_window(&self, at: &str, dataset: &Dataset, elements: usize) -> Result<()> {
        let damaged = |error| self.damaged(at, error);
        let element = dataset.element_size().map_err(damaged)?;
        let chunks = dataset.chunk_shape().map_err(damaged)?.unwrap_or_default();
        let chunk = chunks
            .iter()
            .fold(element, |bytes, &axis| bytes.saturating_mul(axis));
        // As it is stored, as it is read and as it is wanted.
        let each = element.saturating_add(12);
        let bytes = (elements as u64)
            .saturating_mul(each)
            .saturating_add(chunk.saturating_mul(if chunks.is_empty() { 0 } else { 2 }));
        self.within(at, self.budget.allow(bytes))
    }

    /// Indices that were read, refused when one of them does not fit.
    fn valid_indices<T>(
        &self,
        at: &str,
        read: Result<Option<Vec<T>>, hdf5_pure::Error>,
    ) -> Result<Vec<T>> {
        let indices = read.map_err(|error| self.damaged(at, error))?;
        indices
            .ok_or_else(|| self.error(at, "an index is negative or too large; the file is damaged"))
    }

    /// A one-dimensional dataset of text.
    pub(super) fn read_text(&self, at: &str, dataset: &Dataset) -> Result<Vec<String>> {
        let length = self.length(at, dataset)?;
        let damaged = |error| self.damaged(at, error);
        match self.dtype(at, dataset)? {
            DType::VariableLengthString => {
                let meanwhile = (length as u64).saturating_mul(VARIABLE_TEXT);
                self.take_list::<String>(at, dataset, length, meanwhile)?;
                // Strings lie uncompressed in the file, each once.
                let limit = usize::try_from(self.file_bytes).unwrap_or(usize::MAX);
                let options = VlenStringReadOptions::new().with_max_payload_bytes(limit);
                let mut texts = Vec::with_capacity(length);
                let mut refused = None;
                dataset
                    .visit_vlen_strings(options, |text| match self.budget.take(text.len() as u64) {
                        Ok(()) if refused.is_none() => texts.push(text.to_string()),
                        Ok(()) => {}
                        Err(shortage) => refused = Some(shortage),
                    })
                    .map_err(damaged)?;
                self.within(at, refused.map_or(Ok(texts), Err))
            }
            DType::String => {
                let element = dataset.element_size().map_err(damaged)?;
                // A byte that is no text becomes a character of three; the list grows twofold.
                let most = (length as u64)
                    .saturating_mul(element.saturating_mul(4).saturating_add(3 * 24));
                let undecoded = self.undecoded(at, dataset)?;
                self.within(at, self.budget.allow(most.saturating_add(undecoded)))?;
                let texts = dataset.read_string().map_err(damaged)?;
                let kept: usize = texts.iter().map(String::capacity).sum();
                let list = bytes_of::<String>(texts.capacity());
                self.within(at, self.budget.take(list + kept as u64))?;
                Ok(texts)
            }
            other => Err(self.unsupported(at, &format!("text of type {other}"))),
        }
    }

    /// Whether a dataset is a single value.
    pub(super) fn is_scalar(&self, at: &str, dataset: &Dataset) -> Result<bool> {
        let shape = dataset.shape().map_err(|error| self.damaged(at, error))?;
        Ok(shape.is_empty())
    }

    /// The text of a dataset that is a single one.
    pub(super) fn read_scalar_text(&self, at: &str, dataset: &Dataset) -> Result<Vec<String>> {
        let element = dataset
            .element_size()
            .map_err(|error| self.damaged(at, error))?;
        self.within(at, self.budget.allow(element.saturating_mul(4)))?;
        let texts = dataset
            .read_string()
            .map_err(|error| self.damaged(at, error))?;
        let kept: usize = texts.iter().map(String::capacity).sum();
        self.within(at, self.budget.take(kept as u64))?;
        Ok(texts)
    }

    /// A one-dimensional dataset of truth values.
    pub(super) fn read_flags(&self, at: &str, dataset: &Dataset) -> Result<Vec<bool>> {
        let length = self.length(at, dataset)?;
        self.take_list::<bool>(at, dataset, length, length as u64)?;
        let flags = dataset.read_u8().map_err(|error| self.damaged(at, error))?;
        Ok(flags.into_iter().map(|flag| flag != 0).collect())
    }
}

/// What indices are read as.
pub(super) trait Index: TryFrom<i64> + TryFrom<u64> + TryFrom<i32> + TryFrom<u32> {}

impl<T: TryFrom<i64> + TryFrom<u64> + TryFrom<i32> + TryFrom<u32>> Index for T {}

/// Integers that can be read as `i64`.
fn is_integer(kind: &DType) -> bool {
    matches!(
        kind,
        DType::I8 | DType::I16 | DType::I64 | DType::U8 | DType::U16
    )
}

fn converted<S, T: TryFrom<S>>(values: Vec<S>) -> Option<Vec<T>> {
    values
        .into_iter()
        .map(|value| T::try_from(value).ok())
        .collect()
}

/// A shape for a message, the first axes of many: a file may claim any number.
pub(super) fn shown_shape(shape: &[u64]) -> String {
    const MOST: usize = 8;
    match shape.get(..MOST) {
        Some(first) if shape.len() > MOST => {
            format!("{first:?} and {} more axes", shape.len() - MOST)
        }
        _ => format!("{shape:?}"),
    }
}
