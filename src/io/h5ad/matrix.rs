//! Matrices: CSR, CSC and dense.

use hdf5_pure::Dataset;

use super::H5adMatrix;
use crate::counts::CountMatrix;
use crate::error::Result;
use crate::io::hdf5::{Attributes, Node, Store, check_numeric, read_sparse, shown_shape};

/// Elements of a dense matrix held in memory at a time, unless a chunk has more.
pub(super) const DENSE_WINDOW: usize = 1 << 20;

/// Where `raw` lies, and where it did before anndata 0.7.
const RAW: [(&str, &str); 2] = [("/raw/X", "/raw/var"), ("/raw.X", "/raw.var")];

/// The HDF5 paths of the chosen matrix and of the frame that names its genes.
pub(super) fn locate(store: &Store, matrix: &H5adMatrix) -> Result<(String, &'static str)> {
    let (at, genes_at) = match matrix {
        H5adMatrix::X => ("/X".to_string(), "/var"),
        H5adMatrix::Layer(name) => (format!("/layers/{name}"), "/var"),
        H5adMatrix::Raw => {
            let there = match store.exists(RAW[0].0)? {
                false if store.exists(RAW[1].0)? => RAW[1],
                _ => RAW[0],
            };
            (there.0.to_string(), there.1)
        }
    };
    if !is_there(store, &at)? {
        let there = available(store)?;
        let there: Vec<String> = there
            .iter()
            .map(|matrix| match matrix {
                H5adMatrix::X => "X (the default)".to_string(),
                other => option(other),
            })
            .collect();
        let there = if there.is_empty() {
            "the file holds no matrix".to_string()
        } else {
            format!("choose one of: {}", there.join(", "))
        };
        return Err(store.error(&at, format!("the file has no such matrix; {there}")));
    }
    Ok((at, genes_at))
}

/// The option that chooses a matrix.
pub(super) fn option(matrix: &H5adMatrix) -> String {
    match matrix {
        H5adMatrix::X => "`H5adOptions::new()`".to_string(),
        H5adMatrix::Layer(name) => format!("`H5adOptions::with_layer({name:?})`"),
        H5adMatrix::Raw => "`H5adOptions::with_raw()`".to_string(),
    }
}

/// Whether there is a matrix that is not null, which anndata writes in place of a missing one.
fn is_there(store: &Store, at: &str) -> Result<bool> {
    let Some(node) = store.stored(at)? else {
        return Ok(false);
    };
    Ok(store.attributes(at, &node)?.text("encoding-type") != Some("null"))
}

/// The matrices of the file.
pub(super) fn available(store: &Store) -> Result<Vec<H5adMatrix>> {
    let mut there = Vec::new();
    if is_there(store, "/X")? {
        there.push(H5adMatrix::X);
    }
    if store.is_group("/layers")? {
        there.extend(store.members("/layers")?.into_iter().map(H5adMatrix::Layer));
    }
    if store.exists(RAW[0].0)? || store.exists(RAW[1].0)? {
        there.push(H5adMatrix::Raw);
    }
    Ok(there)
}

/// How a sparse matrix is stored.
pub(super) struct Sparse {
    pub by_cells: bool,
    pub shape: Vec<u64>,
}

impl Sparse {
    /// From the attributes of its group, which had other names before anndata 0.7.
    pub fn of(store: &Store, at: &str, attributes: &Attributes) -> Result<Self> {
        let (format, shape) = match attributes.text("h5sparse_format") {
            Some(format) => (Some(format), "h5sparse_shape"),
            None => (attributes.text("encoding-type"), "shape"),
        };
        let by_cells = match format {
            Some("csr_matrix" | "csr") => true,
            Some("csc_matrix" | "csc") => false,
            other => return Err(store.unsupported(at, other.unwrap_or("none"))),
        };
        let shape = attributes.numbers(shape).unwrap_or_default();
        Ok(Self { by_cells, shape })
    }
}

/// Reads a matrix of cells × genes; its dimensions must be those of the names.
pub(super) fn read(store: &Store, at: &str, cells: usize, genes: usize) -> Result<CountMatrix> {
    let node = store.node(at)?;
    let attributes = store.attributes(at, &node)?;
    match node {
        Node::Dataset(dataset) => {
            let encoding = attributes.text("encoding-type").unwrap_or("array");
            if encoding != "array" {
                return Err(store.unsupported(at, encoding));
            }
            read_dense(store, at, &dataset, cells, genes)
        }
        Node::Group(_) => {
            let Sparse { by_cells, shape } = Sparse::of(store, at, &attributes)?;
            check_shape(store, at, &shape, cells, genes)?;
            read_sparse(store, at, by_cells, cells, genes)
        }
    }
}

pub(in crate::io) fn check_shape(
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

pub(in crate::io) fn read_dense(
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
        let dense = store.read_f32_rows(at, dataset, &(start..start + rows))?;
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
