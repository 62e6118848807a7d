//! Datasets whose chunks are compressed by filters that `hdf5-pure` has not got.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use hdf5_pure::{ChunkIndex, Dataset, File, Filter, FormatError};

use super::fletcher32;
use super::linked::Object;
use super::positioned::{check_end, read_at, source_error};
use super::structure::{Header, Image, Message, Problem, UNDEFINED, kind};
use super::{Store, bytes_of};
use crate::error::{Error, Result};

const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const CHECKSUM: u16 = 3;
const ZSTD: u16 = 32015;
/// The version of layouts that HDF5 2.0 writes in its newest format.
const NEWEST_LAYOUT: u8 = 5;
/// Filters of a dataset: a chunk has a bit for each, whether it was left out.
const MOST_FILTERS: usize = u32::BITS as usize;
/// Filters of `hdf5-pure`: deflate, shuffle, checksum, scale-offset, LZF.
const KNOWN: [u16; 5] = [DEFLATE, SHUFFLE, CHECKSUM, 6, 32000];

/// The dataset as `hdf5-pure` can read it, where it cannot read what is stored: with its chunks
/// decompressed, or with a layout of an older version; `None` where it can.
pub(super) fn decoded(store: &Store, at: &str, dataset: &Dataset) -> Result<Option<Dataset>> {
    let older = match dataset.layout() {
        Err(hdf5_pure::Error::Format(FormatError::InvalidLayoutVersion(NEWEST_LAYOUT))) => {
            Some(changed(store, at, |image, address| {
                with_older_layout(image, address)
            })?)
        }
        _ => None,
    };
    let known = older.as_ref().unwrap_or(dataset);
    if let Ok(Some(ChunkIndex::BTreeV2)) = known.chunk_index()
        && known.chunks().is_err()
    {
        return Err(store.to_rewrite(
            at,
            "its chunks are found by a version-2 B-tree, as those of datasets that can grow along \
             two axes, which is not read here; rewrite the file",
        ));
    }
    let filters = known.filter_pipeline();
    check_number(store, at, filters.len())?;
    if filters.iter().all(|filter| KNOWN.contains(&filter.id)) {
        return Ok(older);
    }
    for filter in &filters {
        if ![DEFLATE, SHUFFLE, CHECKSUM, ZSTD].contains(&filter.id) {
            return Err(refused(store, at, filter.id));
        }
    }
    let bytes = decompress(store, at, known, &filters)?;
    changed(store, at, |image, address| {
        stored_plainly(image, address, bytes)
    })
    .map(Some)
}

/// Refuses more filters than there are bits for.
fn check_number(store: &Store, at: &str, filters: usize) -> Result<()> {
    if filters <= MOST_FILTERS {
        return Ok(());
    }
    Err(store.error(
        at,
        format!("claims {filters} filters, HDF5 has at most {MOST_FILTERS}; the file is damaged"),
    ))
}

/// A dataset of the file as it were with a change to its object header.
fn changed(
    store: &Store,
    at: &str,
    change: impl FnOnce(&mut Image, u64) -> Result<(), Problem>,
) -> Result<Dataset> {
    let mut image = store.image()?;
    let problem = |problem| store.problem(at, problem);
    let Some(Object { path, address }) = store.linked(at)? else {
        return Err(store.error(at, "missing; the file is not complete"));
    };
    change(&mut image, address).map_err(problem)?;
    image.finish();
    let file = File::from_source(image).map_err(|error| store.damaged(at, error))?;
    file.dataset(&path)
        .map_err(|error| store.damaged(at, error))
}

/// The refusal of a filter by its name.
pub(super) fn refused(store: &Store, at: &str, filter: u16) -> Error {
    let name = match filter {
        4 => "szip",
        5 => "N-bit",
        305 => "LZO",
        307 => "bzip2",
        32001 => "Blosc",
        32004 => "LZ4",
        32008 => "bitshuffle",
        32013 => "ZFP",
        32017 => "SZ",
        32026 => "Blosc2",
        _ => "an unknown filter",
    };
    let path = store.path().display();
    store.error(
        at,
        format!(
            "compressed with {name} (HDF5 filter {filter}), which cannot be read here; rewrite the \
             file in Python: import hdf5plugin, anndata; \
             anndata.read_h5ad(\"{path}\").write_h5ad(\"rewritten.h5ad\", compression=\"gzip\")"
        ),
    )
}

/// All elements, as they are without chunks.
fn decompress(store: &Store, at: &str, dataset: &Dataset, filters: &[Filter]) -> Result<Vec<u8>> {
    let damaged = |error| store.damaged(at, error);
    let broken = |reason: &str| store.error(at, format!("{reason}; the file is damaged"));
    let axes = dataset.shape().map_err(damaged)?;
    let chunk_axes = dataset.chunk_shape().map_err(damaged)?.unwrap_or_default();
    let element = dataset.element_size().map_err(damaged)?;
    let whole = |axes: &[u64]| {
        let bytes = axes
            .iter()
            .try_fold(element, |all, &axis| all.checked_mul(axis));
        bytes.and_then(|bytes| usize::try_from(bytes).ok())
    };
    let shape: Vec<usize> = axes
        .iter()
        .filter_map(|&axis| usize::try_from(axis).ok())
        .collect();
    store.check_extent(at, dataset, &shape)?;
    let too_large = || broken("claims more elements than a file can hold");
    let length = whole(&axes).ok_or_else(too_large)?;
    let chunk_length = whole(&chunk_axes).ok_or_else(too_large)?;
    let element = usize::try_from(element).unwrap_or(usize::MAX);
    if chunk_axes.len() != axes.len() || chunk_axes.contains(&0) {
        return Err(broken("its chunks have another shape"));
    }
    store.within(at, store.budget().take_list::<u8>(length))?;
    let meanwhile = bytes_of::<u8>(chunk_length).saturating_mul(4);
    store.within(at, store.budget().allow(meanwhile))?;
    let grid = Grid {
        axes: &axes,
        chunk_axes: &chunk_axes,
        element,
    };
    let chunks = dataset.chunks().map_err(damaged)?;
    let mut bytes = if chunks.len() as u64 >= grid.chunks() {
        vec![0; length]
    } else {
        // Chunks that were never written hold the fill value.
        let unwritten = changed(store, at, stored_nowhere)?;
        unwritten.read_raw().map_err(damaged)?
    };
    if bytes.len() != length {
        return Err(broken(
            "its fill value has another length than its elements",
        ));
    }
    for chunk in chunks {
        let stored = usize::try_from(chunk.storage_size)
            .ok()
            .filter(|&stored| stored as u64 <= store.file_bytes)
            .ok_or_else(|| broken("a chunk is longer than the file"))?;
        store.within(at, store.budget().allow(stored as u64 + meanwhile))?;
        let mut data = vec![0; stored];
        read_at(&store.bytes, &mut data, chunk.address)
            .map_err(|_| broken("a chunk lies behind the end of the file"))?;
        for (number, filter) in filters.iter().enumerate().rev() {
            if chunk.filter_mask & 1 << number == 0 {
                data = undo(filter, data, chunk_length, element)
                    .map_err(|reason| store.error(at, format!("{reason}; the file is damaged")))?;
            }
        }
        if data.len() != chunk_length {
            return Err(broken("a chunk has another length than it should"));
        }
        grid.place(&data, &chunk.offset, &mut bytes)
            .ok_or_else(|| broken("a chunk lies outside of its dataset"))?;
    }
    Ok(bytes)
}

/// What a chunk was before a filter.
fn undo(filter: &Filter, data: Vec<u8>, most: usize, element: usize) -> Result<Vec<u8>, String> {
    // A checksum may come on top.
    let most = most as u64 + 4;
    let mut output = Vec::new();
    match filter.id {
        DEFLATE => {
            let read = ZlibDecoder::new(&data[..])
                .take(most)
                .read_to_end(&mut output);
            read.map_err(|error| format!("a chunk cannot be decompressed ({error})"))?;
        }
        ZSTD => {
            let failed = |error| format!("a chunk cannot be decompressed by zstd ({error})");
            let decoder = ruzstd::decoding::StreamingDecoder::new(&data[..])
                .map_err(|error| failed(error.to_string()))?;
            let read = decoder.take(most).read_to_end(&mut output);
            read.map_err(|error| failed(error.to_string()))?;
        }
        SHUFFLE => {
            let width = filter
                .client_data
                .first()
                .map_or(element, |&width| width as usize);
            return Ok(unshuffled(&data, width).into_owned());
        }
        _ => {
            let failed = "a chunk has another checksum than was stored";
            return fletcher32::verified(data).ok_or_else(|| failed.to_string());
        }
    }
    Ok(output)
}

/// Bytes that were sorted by their place in an element; those after the last whole one stay.
fn unshuffled(data: &[u8], width: usize) -> Cow<'_, [u8]> {
    if width <= 1 {
        return data.into();
    }
    let count = data.len() / width;
    let mut output = data.to_vec();
    for (position, &byte) in data[..count * width].iter().enumerate() {
        output[position % count * width + position / count] = byte;
    }
    output.into()
}

/// How chunks cover a dataset.
struct Grid<'a> {
    axes: &'a [u64],
    chunk_axes: &'a [u64],
    element: usize,
}

impl Grid<'_> {
    /// How many chunks hold the whole dataset.
    fn chunks(&self) -> u64 {
        let axes = self.axes.iter().zip(self.chunk_axes);
        axes.fold(1, |all, (axis, chunk)| {
            all.saturating_mul(axis.div_ceil(*chunk))
        })
    }

    /// Copies the part of a chunk that lies within the dataset, row by row.
    fn place(&self, chunk: &[u8], offset: &[u64], into: &mut [u8]) -> Option<()> {
        let last = self.axes.len().checked_sub(1)?;
        if offset.len() != self.axes.len() {
            return None;
        }
        let inside: Vec<u64> = (0..=last)
            .map(|axis| {
                self.axes[axis]
                    .saturating_sub(offset[axis])
                    .min(self.chunk_axes[axis])
            })
            .collect();
        if inside.contains(&0) {
            return None;
        }
        let rows: u64 = inside[..last].iter().product();
        let row_bytes = usize::try_from(inside[last]).ok()? * self.element;
        for row in 0..rows {
            let (mut left, mut from, mut to) = (row, 0, 0);
            let (mut from_stride, mut to_stride) = (self.chunk_axes[last], self.axes[last]);
            for axis in (0..last).rev() {
                let at = left % inside[axis];
                left /= inside[axis];
                from += at * from_stride;
                to += (offset[axis] + at) * to_stride;
                from_stride *= self.chunk_axes[axis];
                to_stride *= self.axes[axis];
            }
            let from = usize::try_from(from).ok()? * self.element;
            let to = usize::try_from(to + offset[last]).ok()? * self.element;
            let source = chunk.get(from..from + row_bytes)?;
            into.get_mut(to..to + row_bytes)?.copy_from_slice(source);
        }
        Some(())
    }
}

/// Lets the dataset have neither chunks nor filters.
fn stored_plainly(image: &mut Image, address: u64, bytes: Vec<u8>) -> Result<(), Problem> {
    let length = bytes.len() as u64;
    let data = image.append(bytes);
    with_plain_layout(image, address, data, length)
}

/// Lets the dataset be one that nothing was ever written to.
fn stored_nowhere(image: &mut Image, address: u64) -> Result<(), Problem> {
    with_plain_layout(image, address, UNDEFINED, 0)
}

fn with_plain_layout(
    image: &mut Image,
    address: u64,
    data: u64,
    length: u64,
) -> Result<(), Problem> {
    let mut header = Header::read(image, address)?;
    // Version 3, contiguous.
    let mut layout = vec![3, 1];
    layout.extend(data.to_le_bytes());
    layout.extend(length.to_le_bytes());
    header
        .messages
        .retain(|message| ![kind::FILTERS, kind::LAYOUT].contains(&message.kind));
    header.messages.push(Message::new(kind::LAYOUT, layout));
    header.store(image)
}

/// Lets the layout have the version before the newest, which has the same fields.
fn with_older_layout(image: &mut Image, address: u64) -> Result<(), Problem> {
    let mut header = Header::read(image, address)?;
    for message in &mut header.messages {
        if message.kind == kind::LAYOUT
            && let Some(version) = message.body.first_mut()
        {
            *version = NEWEST_LAYOUT - 1;
        }
    }
    header.store(image)
}

impl hdf5_pure::Source for Image {
    fn len(&self) -> u64 {
        self.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), hdf5_pure::FormatError> {
        check_end(offset, buffer.len(), self.length())?;
        self.fill(offset, buffer).map_err(source_error)
    }
}

impl Store {
    /// The structure of the file.
    pub(in crate::io) fn image(&self) -> Result<Image> {
        Image::new(Arc::clone(&self.bytes)).map_err(|problem| self.problem("/", problem))
    }

    /// An error of the structure at an HDF5 path.
    pub(in crate::io) fn problem(&self, at: &str, problem: Problem) -> Error {
        match problem {
            Problem::Io(source) => Error::io(&self.path, source),
            Problem::Unsupported(reason) => self.to_rewrite(
                at,
                format!("{reason}, which is not known here; rewrite the file"),
            ),
            other => self.error(at, format!("the file is damaged or truncated: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Node;
    use super::*;

    #[test]
    fn damaged_chunks_with_checksums_are_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let whole = std::fs::read(fixtures.join("zstd.h5ad")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.h5ad");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let store = Store::open(&path).unwrap();
            let dataset = store.dataset("/layers/dense")?;
            Ok::<_, Error>(dataset.read_f64().unwrap())
        };
        let values = read(&whole).unwrap();
        std::fs::write(&path, &whole).unwrap();
        let store = Store::open(&path).unwrap();
        let Some(Node::Dataset(stored)) = store.stored("/layers/dense").unwrap() else {
            panic!("no dataset");
        };
        let chunk = stored.chunks().unwrap().remove(0);
        for position in chunk.address..chunk.address + chunk.storage_size {
            let mut damaged = whole.clone();
            damaged[position as usize] ^= 0x10;
            // A bit without a meaning may change nothing.
            if let Ok(found) = read(&damaged) {
                assert_eq!(found, values, "byte {position}");
            }
        }
    }

    #[test]
    fn more_filters_than_there_are_bits_for_are_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let store = Store::open(&fixtures.join("zstd.h5ad")).unwrap();
        check_number(&store, "/X/data", 32).unwrap();
        let refused = check_number(&store, "/X/data", 33).unwrap_err();
        let message = refused.to_string();
        assert!(
            message.contains("at /X/data: claims 33 filters"),
            "{message}"
        );
    }

    #[test]
    fn bytes_come_back_to_their_elements() {
        // Three elements of two bytes and a rest.
        let shuffled = [1, 3, 5, 2, 4, 6, 7];
        assert_eq!(*unshuffled(&shuffled, 2), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(*unshuffled(&shuffled, 1), shuffled);
    }

    #[test]
    fn chunks_at_the_edge_are_cut() {
        let grid = Grid {
            axes: &[3, 3],
            chunk_axes: &[2, 2],
            element: 1,
        };
        let mut whole = vec![0; 9];
        let chunks = [([0, 0], [1, 2, 4, 5]), ([0, 2], [3, 0, 6, 0])];
        let more = [([2, 0], [7, 8, 0, 0]), ([2, 2], [9, 0, 0, 0])];
        for (offset, chunk) in chunks.into_iter().chain(more) {
            grid.place(&chunk, &offset, &mut whole).unwrap();
        }
        assert_eq!(whole, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(grid.place(&[0; 4], &[4, 0], &mut whole), None);
    }
}
