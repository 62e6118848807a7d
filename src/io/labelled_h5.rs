//! HDF5 files of a matrix `X` and labels `Y`, as the authors of scDeepCluster and scDCC give them.

use std::path::Path;

use super::annotations::{AnnotatedCounts, CellAnnotations, UnreadAnnotation};
use super::budget::bytes_of;
use super::h5ad::{read_dense, read_plain};
use super::hdf5::{Node, Store};
use super::names::named;
use crate::error::{Error, Result};

const MATRIX: &str = "/X";
/// Lists of names, where there are some.
const CELL_NAMES: [&str; 4] = ["cell_names", "barcodes", "cells", "obs_names"];
const GENE_NAMES: [&str; 4] = ["gene_names", "genes", "features", "var_names"];

/// Reads the `.h5` files of scDeepCluster and scDCC: `X` holds counts of cells × genes, `Y` a label
/// for every cell, which becomes the annotation "Y", as does every other list of such a length.
///
/// Cells and genes are numbered from 0 where the file does not name them.
///
/// # Errors
/// [`Error::Format`] with the HDF5 path when there is no matrix `X` or the file is damaged;
/// [`Error::Io`] when it cannot be read; [`Error::NegativeCount`] and [`Error::NonFiniteCount`] for
/// such values; [`Error::MemoryLimit`] when it asks for more memory than its size warrants.
///
/// ```
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/containers/labelled.h5");
/// let data = celldec::io::read_labelled_h5(path)?;
/// assert_eq!((data.counts.cells(), data.counts.genes()), (12, 6));
/// assert_eq!(data.cell_annotations.get("Y").map(|labels| labels.len()), Some(12));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_labelled_h5(path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
    let store = Store::open(path.as_ref())?;
    let Some(Node::Dataset(matrix)) = store.find(MATRIX)? else {
        return Err(store.error(MATRIX, "missing, expected a matrix of cells × genes"));
    };
    let [cells, genes] = store.shape(MATRIX, &matrix)?;
    store.check_extent(MATRIX, &matrix, &[cells, genes])?;
    let cell_names = names(&store, &CELL_NAMES, cells)?;
    let gene_names = names(&store, &GENE_NAMES, genes)?;
    let counts = read_dense(&store, MATRIX, &matrix, cells, genes);
    let (mut columns, mut unread) = (Vec::new(), Vec::new());
    for name in store.members("/")? {
        let at = format!("/{name}");
        let is_names = CELL_NAMES.contains(&name.as_str()) || GENE_NAMES.contains(&name.as_str());
        let Some(Node::Dataset(dataset)) = store.find(&at)? else {
            continue;
        };
        let shape = dataset.shape().map_err(|error| store.damaged(&at, error))?;
        // Some lists lie as a column.
        let is_list = matches!(shape[..], [length] | [length, 1] if length == cells as u64);
        if is_names || !is_list {
            continue;
        }
        match read_plain(&store, &at, &dataset) {
            Ok(column) => columns.push((name, column)),
            Err(Error::Format { reason, .. }) => unread.push(UnreadAnnotation { name, reason }),
            Err(error) => return Err(error),
        }
    }
    store.within(MATRIX, store.budget().allow_naming(cells, &gene_names))?;
    Ok(AnnotatedCounts {
        counts: named(counts, cell_names, gene_names)?,
        cell_annotations: CellAnnotations::new(columns).with_unread(unread),
        embeddings: Vec::new(),
    })
}

/// Names where the file has a list of so many, numbers elsewhere.
fn names(store: &Store, usual: &[&str], count: usize) -> Result<Vec<String>> {
    for name in usual {
        let at = format!("/{name}");
        if let Some(Node::Dataset(dataset)) = store.find(&at)?
            && let Ok(names) = store.read_text(&at, &dataset)
            && names.len() == count
        {
            return Ok(names);
        }
    }
    store.within(
        MATRIX,
        store.budget().take(bytes_of::<(String, u64)>(count)),
    )?;
    Ok((0..count).map(|number| number.to_string()).collect())
}
