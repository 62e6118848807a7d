//! Matrices: CSR, CSC and dense.

use hdf5_pure::Dataset;

use super::H5adMatrix;
use crate::counts::CountMatrix;
use crate::error::Result;
use crate::io::hdf5::{Node, Store, check_numeric, read_sparse, shown_shape};

/// Elements of a dense matrix held in memory at a time, unless a chunk has more.
pub(super) const DENSE_WINDOW: usize = 1 << 20;

/// The HDF5 paths of the chosen matrix and of the frame that names its genes.
pub(super) fn locate(store: &Store, matrix: &H5adMatrix) -> Result<(String, &'static str)> {
    let (at, genes_at) = match matrix {
        H5adMatrix::X => ("/X".to_string(), "/var"),
        H5adMatrix::Layer(name) => (format!("/layers/{name}"), "/var"),
        H5adMatrix::Raw => ("/raw/X".to_string(), "/raw/var"),
    };
    let missing = match store.find(&at)? {
        None => true,
        Some(node) => store.attributes(&at, &node)?.text("encoding-type") == Some("null"),
    };
    if missing {
        let there = available(store)?;
        let there = if there.is_empty() {
            "the file holds no matrix".to_string()
        } else {
            format!("choose one of: {}", there.join(", "))
        };
        return Err(store.error(&at, format!("the file has no such matrix; {there}")));
    }
    Ok((at, genes_at))
}

/// The matrices of the file, as the options that choose them.
fn available(store: &Store) -> Result<Vec<String>> {
    let mut there = Vec::new();
    if let Some(node) = store.find("/X")?
        && store.attributes("/X", &node)?.text("encoding-type") != Some("null")
    {
        there.push("X (the default)".to_string());
    }
    if let Some(Node::Group(_)) = store.find("/layers")? {
        there.extend(
            store
                .members("/layers")?
                .iter()
                .map(|name| format!("`H5adOptions::with_layer({name:?})`")),
        );
    }
    if store.find("/raw/X")?.is_some() {
        there.push("`H5adOptions::with_raw()`".to_string());
    }
    Ok(there)
}

/// Reads a matrix of cells × genes; its dimensions must be those of the names.
pub(super) fn read(store: &Store, at: &str, cells: usize, genes: usize) -> Result<CountMatrix> {
    let node = store.node(at)?;
    let attributes = store.attributes(at, &node)?;
    if attributes.contains("h5sparse_format") {
        return Err(legacy(store, at));
    }
    match node {
        Node::Dataset(dataset) => {
            let encoding = attributes.text("encoding-type").unwrap_or("array");
            if encoding != "array" {
                return Err(store.unsupported(at, encoding));
            }
            read_dense(store, at, &dataset, cells, genes)
        }
        Node::Group(_) => {
            let by_cells = match attributes.text("encoding-type") {
                Some("csr_matrix") => true,
                Some("csc_matrix") => false,
                other => return Err(store.unsupported(at, other.unwrap_or("none"))),
            };
            let shape = attributes.numbers("shape").unwrap_or_default();
            check_shape(store, at, &shape, cells, genes)?;
            read_sparse(store, at, by_cells, cells, genes)
        }
    }
}

/// The refusal of files older than anndata 0.7.
pub(super) fn legacy(store: &Store, at: &str) -> crate::Error {
    store.error(
        at,
        "the file was written by anndata before 0.7; load it in Python with a current anndata and \
         write it again",
    )
}

pub(super) fn check_shape(
    store: &Store,
    at: &str,
    shape: &[u64],
    cells: usize,
    genes: usize,
) -> Result<()> {
    if shape == [cells as u64, genes as u64] {
        return Ok(());
    }
    Err(store.error(
        at,
        format!(
            "has the shape {}, but there are names of {cells} cells and {genes} genes",
            shown_shape(shape)
        ),
    ))
}

fn read_dense(
    store: &Store,
    at: &str,
    dataset: &Dataset,
    cells: usize,
    genes: usize,
) -> Result<CountMatrix> {
    let shape: [usize; 2] = store.shape(at, dataset)?;
    check_shape(store, at, &shape.map(|axis| axis as u64), cells, genes)?;
    store.check_extent(at, dataset, &shape)?;
    check_numeric(store, at, dataset)?;
    let budget = store.budget();
    // Beside them lie, in the end, the offsets of the rows that were checked.
    store.within(at, budget.take_list::<usize>(cells + 1))?;
    let mut offsets = store.within(at, budget.list(cells + 1))?;
    offsets.push(0);
    let mut indices = Vec::new();
    let mut values = Vec::new();
    let chunk = store.chunk_length(at, dataset)?.unwrap_or(1);
    // Whole chunks, but at least one.
    let window = (DENSE_WINDOW / genes.max(1) / chunk)
        .max(1)
        .saturating_mul(chunk);
    for start in (0..cells).step_by(window) {
        let rows = window.min(cells - start);
        store.allow_window(at, dataset, rows * genes)?;
        let dense = dataset
            .read_f32_rows(start as u64, rows as u64)
            .map_err(|error| store.damaged(at, error))?;
        if dense.len() != rows * genes {
            return Err(store.error(at, "rows are missing; the file is damaged"));
        }
        for row in 0..rows {
            for (gene, &value) in dense[row * genes..(row + 1) * genes].iter().enumerate() {
                if value != 0.0 {
                    store.within(at, budget.push(&mut indices, gene as u32))?;
                    store.within(at, budget.push(&mut values, value))?;
                }
            }
            offsets.push(indices.len());
        }
    }
    CountMatrix::from_csr(cells, genes, offsets, indices, values)
}
