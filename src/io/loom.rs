//! Loom files: a matrix of genes × cells with attributes of both.

use std::path::Path;

use hdf5_pure::Dataset;

use super::annotations::{AnnotatedCounts, Annotation, CellAnnotations, UnreadAnnotation};
use super::budget::bytes_of;
use super::h5ad::read_plain;
use super::hdf5::{Node, Store, check_numeric};
use super::names::named;
use super::text::listed;
use crate::counts::CountMatrix;
use crate::error::{Error, Result};

const MATRIX: &str = "/matrix";
/// Where names of genes and of cells lie, the first that is there.
const GENE_NAMES: [&str; 6] = [
    "Gene",
    "gene_names",
    "var_names",
    "GeneName",
    "Symbol",
    "Accession",
];
const CELL_NAMES: [&str; 6] = [
    "CellID",
    "cell_names",
    "obs_names",
    "cell_id",
    "Barcode",
    "barcode",
];
/// Elements held in memory at a time, unless a chunk has more.
const WINDOW: usize = 1 << 20;

/// What to read of a Loom file.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/containers/cells.loom");
/// let data = celldec::io::LoomOptions::new().with_layer("spliced").read(path)?;
/// assert_eq!((data.counts.cells(), data.counts.genes()), (12, 6));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoomOptions {
    layer: Option<String>,
    gene_names: Option<String>,
}

impl LoomOptions {
    /// The main matrix, with the first attribute of genes that holds names: `Gene`, `gene_names`,
    /// `var_names`, `GeneName`, `Symbol` or `Accession`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads counts from the layer of this name.
    pub fn with_layer(mut self, name: impl Into<String>) -> Self {
        self.layer = Some(name.into());
        self
    }

    /// Names genes by this attribute of genes.
    pub fn with_gene_names(mut self, attribute: impl Into<String>) -> Self {
        self.gene_names = Some(attribute.into());
        self
    }

    /// Reads the file; see [`read_loom`].
    ///
    /// # Errors
    /// As [`read_loom`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
        let store = Store::open(path.as_ref())?;
        let matrix_at = match &self.layer {
            None => MATRIX.to_string(),
            Some(layer) => format!("/layers/{layer}"),
        };
        let Some(Node::Dataset(matrix)) = store.find(&matrix_at)? else {
            let there = match store.is_group("/layers")? {
                true => store.members("/layers")?,
                false => Vec::new(),
            };
            return Err(store.error(
                &matrix_at,
                format!("the file has no such matrix; layers: {}", listed(&there)),
            ));
        };
        let [genes, cells] = store.shape(&matrix_at, &matrix)?;
        let wanted = self.gene_names.as_deref();
        let (gene_names, _) = names(&store, "/row_attrs", &GENE_NAMES, wanted, genes)?;
        let (cell_names, named_by) = names(&store, "/col_attrs", &CELL_NAMES, None, cells)?;
        let counts = read_matrix(&store, &matrix_at, &matrix, genes, cells);
        let cell_annotations = annotations(&store, cells, named_by.as_deref())?;
        store.within(
            "/row_attrs",
            store.budget().allow_naming(cells, &gene_names),
        )?;
        Ok(AnnotatedCounts {
            counts: named(counts, cell_names, gene_names)?,
            cell_annotations,
            embeddings: Vec::new(),
        })
    }
}

/// Reads a Loom file (of loompy, velocyto, anndata and others) into cells × genes: the main matrix,
/// and the attributes of cells that have one value each.
///
/// Cells or genes without an attribute of names are numbered from 0. [`LoomOptions`] chooses a layer,
/// such as "spliced", and the names of genes.
///
/// # Errors
/// [`Error::Format`] with the HDF5 path when the file is no Loom file or damaged, or lacks the chosen
/// layer or names; [`Error::Io`] when it cannot be read; [`Error::NegativeCount`] and
/// [`Error::NonFiniteCount`] for such values; [`Error::MemoryLimit`] when it asks for more memory than
/// its size warrants.
pub fn read_loom(path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
    LoomOptions::new().read(path)
}

/// Names, and the attribute that they are from.
fn names(
    store: &Store,
    group_at: &str,
    usual: &[&str],
    wanted: Option<&str>,
    count: usize,
) -> Result<(Vec<String>, Option<String>)> {
    let there = match store.is_group(group_at)? {
        true => store.members(group_at)?,
        false => Vec::new(),
    };
    let found = match wanted {
        Some(wanted) => there.iter().find(|name| *name == wanted),
        None => usual
            .iter()
            .find_map(|usual| there.iter().find(|name| name == usual)),
    };
    let Some(found) = found else {
        if let Some(wanted) = wanted {
            return Err(store.error(
                group_at,
                format!("no attribute \"{wanted}\"; there are: {}", listed(&there)),
            ));
        }
        let memory = store.budget().take(bytes_of::<(String, u64)>(count));
        store.within(group_at, memory)?;
        return Ok(((0..count).map(|number| number.to_string()).collect(), None));
    };
    let at = format!("{group_at}/{found}");
    let names = store.read_text(&at, &store.dataset(&at)?)?;
    if names.len() != count {
        return Err(store.error(&at, format!("has {} values, expected {count}", names.len())));
    }
    Ok((names, Some(found.clone())))
}

/// Attributes of cells besides their names; those that cannot be read are named instead.
fn annotations(store: &Store, cells: usize, named_by: Option<&str>) -> Result<CellAnnotations> {
    const GROUP: &str = "/col_attrs";
    let (mut columns, mut unread) = (Vec::new(), Vec::new());
    if !store.is_group(GROUP)? {
        return Ok(CellAnnotations::default());
    }
    for name in store.members(GROUP)? {
        if Some(name.as_str()) == named_by {
            continue;
        }
        match column(store, &format!("{GROUP}/{name}"), cells) {
            Ok(column) => columns.push((name, column)),
            Err(Error::Format { reason, .. }) => unread.push(UnreadAnnotation { name, reason }),
            Err(error) => return Err(error),
        }
    }
    Ok(CellAnnotations::new(columns).with_unread(unread))
}

fn column(store: &Store, at: &str, cells: usize) -> Result<Annotation> {
    let column = read_plain(store, at, &store.dataset(at)?)?;
    if column.len() == cells {
        return Ok(column);
    }
    Err(store.error(at, format!("has {} values, expected {cells}", column.len())))
}

/// Reads gene after gene.
fn read_matrix(
    store: &Store,
    at: &str,
    dataset: &Dataset,
    genes: usize,
    cells: usize,
) -> Result<CountMatrix> {
    store.check_extent(at, dataset, &[genes, cells])?;
    check_numeric(store, at, dataset)?;
    let budget = store.budget();
    store.within(at, budget.take_list::<usize>(genes + 1))?;
    let mut offsets = store.within(at, budget.list(genes + 1))?;
    offsets.push(0);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    let chunk = store.chunk_length(at, dataset)?.unwrap_or(1);
    // Whole chunks, but at least one.
    let window = (WINDOW / cells.max(1) / chunk).max(1).saturating_mul(chunk);
    for start in (0..genes).step_by(window) {
        let rows = window.min(genes - start);
        store.allow_window(at, dataset, rows.saturating_mul(cells))?;
        let dense = store.read_f32_rows(at, dataset, &(start..start + rows))?;
        if dense.len() != rows * cells {
            return Err(store.error(at, "rows are missing; the file is damaged"));
        }
        for row in dense.chunks(cells.max(1)) {
            for (cell, &value) in row.iter().enumerate() {
                if value != 0.0 {
                    store.within(at, budget.push(&mut indices, cell as u32))?;
                    store.within(at, budget.push(&mut values, value))?;
                }
            }
            offsets.push(indices.len());
        }
    }
    // The matrix by cells is a copy.
    let copy = bytes_of::<(u32, f32)>(values.len()) + bytes_of::<usize>(3 * (cells + 1));
    store.within(at, budget.take(copy))?;
    CountMatrix::from_csc(cells, genes, &offsets, &indices, &values)
}
