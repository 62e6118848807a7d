//! Results added to an AnnData file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use ndarray::{Array2, ArrayView2};

use super::details;
use super::encode::{Part, check_name};
use super::extend::{extend, rehearse};
use super::host::{DICTIONARIES, Host};
use super::results::{CellResults, ResultKeys, SoftAssignmentsKey};
use crate::error::{Error, Result};
use crate::io::atomic::{Temporary, check_room, is_gzip, replace_atomically};
use crate::io::hdf5::Store;

/// Names of columns that an attribute holds: 16 bytes each of the 64 KB that it may take.
const MOST_COLUMNS: usize = 4000;

/// Results to write into an AnnData file, beside everything that is in it.
///
/// | piece | where | missing value |
/// |---|---|---|
/// | labels | `obs["scdcc"]`, categories "0", "1", … of the clusters that hold cells, in order | −1 (NaN) |
/// | confidence | `obs["scdcc_confidence"]` | NaN |
/// | embedding `[cells, latent]` | `obsm["X_scdcc"]` | NaN |
/// | soft assignments `[cells, clusters]` | `obsm["scdcc_soft_assignments"]` | NaN |
/// | denoised expression `[cells, genes]` | `layers["scdcc_denoised"]`, or `obsm` | NaN |
/// | details | `uns["scdcc"]` | |
///
/// Cells that preprocessing filtered away have missing values. [`ResultKeys`] says what goes where
/// under which name.
///
/// ```
/// use celldec::io::{H5adOptions, H5adResults};
/// use celldec::prelude::*;
/// # use celldec::io::{AnnotatedCounts, write_h5ad};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("cells.h5ad");
/// # let simulated = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
/// # write_h5ad(&path, &AnnotatedCounts::new(simulated))?;
///
/// let counts = celldec::io::read_counts(&path)?;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let fit = Plan::scdcc(3).with_epochs(1, 1).trainer(&Device::default())?.fit(&cells)?;
///
/// // One path twice: the file is replaced when the new one is complete.
/// H5adResults::new()
///     .with("scdcc", fit.results(&cells)?)
///     .write(&path, &path)?;
/// let annotated = H5adOptions::new().with_embeddings(["X_scdcc"]).read(&path)?;
/// assert!(annotated.cell_annotations.get("scdcc").is_some());
/// assert_eq!(annotated.embedding("X_scdcc"), Some(fit.embedding()));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct H5adResults {
    results: Vec<(ResultKeys, CellResults)>,
    overwrite: bool,
}

impl H5adResults {
    /// No results yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds results under a name (or [`ResultKeys`] of their own).
    pub fn with(mut self, keys: impl Into<ResultKeys>, results: CellResults) -> Self {
        self.results.push((keys.into(), results));
        self
    }

    /// Whether entries of the same names may be replaced, such as those of an earlier run (default:
    /// writing is refused).
    pub fn with_overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Writes a copy of `input` with the results to `output`; with the same path twice, the file is
    /// replaced. Everything else in the file stays as it is, byte for byte: results are added behind
    /// its end. Of an entry that is replaced, the link in its group leads to the new one from then on;
    /// its bytes stay in the file, unused, until the file is written anew (in Python by
    /// `adata.write_h5ad`).
    ///
    /// `output` appears when it is complete; until then the copy lies beside it. An `input` that is
    /// compressed as a whole (`.h5ad.gz`) is decompressed.
    ///
    /// # Errors
    /// Before anything is written: those of [`check_writing`](Self::check_writing). While writing:
    /// [`Error::Io`] for the disk; an old `output` is then intact.
    pub fn write(&self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        let (input, output) = (input.as_ref(), output.as_ref());
        check_name_of_output(output)?;
        let host = Host::open(input)?;
        let placed = self.place(&host)?;
        rehearse_all(&host, &placed)?;
        let removed = host.categories_used()?;
        replace_atomically(output, |temporary| {
            copy(&host.store, temporary, output)?;
            extend(temporary, output, host.store.root(), &removed, |root| {
                fill(root, &host, &placed)
            })
        })
    }

    /// Checks whether the results fit into `input` under their names and can be added to it. Before
    /// a long computation, results with the same keys and invented labels tell whether its own can
    /// be written; [`check_writing`](Self::check_writing) also looks at where.
    ///
    /// # Errors
    /// [`Error::Format`] when `input` is no AnnData file or has a structure that cannot be extended,
    /// a name is taken (and [`with_overwrite`](Self::with_overwrite) not set), empty, holds `/` or is
    /// given twice, cells are others than in the file, or denoised genes are not all genes of the
    /// file; [`Error::LengthMismatch`] when a piece has not one value for every cell.
    pub fn check(&self, input: impl AsRef<Path>) -> Result<()> {
        let host = Host::open(input.as_ref())?;
        rehearse_all(&host, &self.place(&host)?)
    }

    /// As [`check`](Self::check), and whether `output` can be written: a folder that allows it, a
    /// file that is not protected, no pipe, and (on Unix) room on the disk.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Io`] when `output` cannot be written, [`Error::Format`]
    /// when its name says that it is compressed.
    pub fn check_writing(&self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        let output = output.as_ref();
        check_name_of_output(output)?;
        let host = Host::open(input.as_ref())?;
        let placed = self.place(&host)?;
        let added: u64 = placed.iter().map(Placed::bytes).sum();
        check_room(output, host.store.content_bytes().saturating_add(added))?;
        rehearse_all(&host, &placed)
    }

    /// The rows of the file that each of the results belongs to.
    fn place(&self, host: &Host) -> Result<Vec<Placed<'_>>> {
        let mut taken = HashSet::new();
        let mut placed = Vec::with_capacity(self.results.len());
        for (keys, results) in &self.results {
            let rows = host.rows_of(&keys.labels, results)?;
            let columns = host.check_pieces(keys, results)?;
            for (parent, name) in keys_used(keys, results) {
                self.check_key(host, parent, name, &mut taken)?;
            }
            placed.push(Placed {
                keys,
                results,
                cells: host.cells.len(),
                rows,
                gene_columns: columns,
            });
        }
        Ok(placed)
    }

    fn check_key<'a>(
        &self,
        host: &Host,
        parent: &'a str,
        name: &'a str,
        taken: &mut HashSet<(&'a str, &'a str)>,
    ) -> Result<()> {
        let at = format!("/{parent}");
        check_name(host.store.path(), &at, name)?;
        if parent == "obs" && name == host.index {
            return Err(host.store.error(
                &at,
                format!("the name \"{name}\" is that of the cell names; choose another"),
            ));
        }
        if !taken.insert((parent, name)) {
            return Err(host.store.error(
                &at,
                format!("two results would get the name \"{name}\"; give each its own"),
            ));
        }
        if !self.overwrite && host.holds(parent, name)? {
            return Err(host.store.error(
                &at,
                format!(
                    "there is already a \"{name}\"; choose another name, or replace it with \
                     `H5adResults::with_overwrite(true)`"
                ),
            ));
        }
        Ok(())
    }
}

/// The groups and names that these results take.
fn keys_used<'a>(keys: &'a ResultKeys, results: &CellResults) -> Vec<(&'static str, &'a str)> {
    let mut used = vec![("obs", keys.labels.as_str())];
    if results.confidence.is_some() {
        used.push(("obs", &keys.confidence));
    }
    if results.embedding.is_some() {
        used.push(("obsm", &keys.embedding));
    }
    if results.soft_assignments.is_some() {
        used.push(match &keys.soft_assignments {
            SoftAssignmentsKey::Obsm(name) => ("obsm", name),
            SoftAssignmentsKey::Uns(name) => ("uns", name),
        });
    }
    if results.denoised.is_some() {
        let parent = if keys.denoised_in_obsm {
            "obsm"
        } else {
            "layers"
        };
        used.push((parent, &keys.denoised));
    }
    if has_details(keys, results) {
        used.push(("uns", &keys.details));
    }
    used
}

fn has_details(keys: &ResultKeys, results: &CellResults) -> bool {
    results.details.is_some() || (results.denoised.is_some() && keys.denoised_in_obsm)
}

/// A file that says it is compressed would be none.
fn check_name_of_output(output: &Path) -> Result<()> {
    if !is_gzip(output) {
        return Ok(());
    }
    Err(Error::format(
        output,
        None,
        "results are written into a plain .h5ad file; give a name without .gz",
    ))
}

/// Whether the adding of these results would succeed.
fn rehearse_all(host: &Host, placed: &[Placed<'_>]) -> Result<()> {
    let mut members: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for parent in DICTIONARIES.iter().chain(&["obs"]) {
        members.entry(*parent).or_default();
    }
    for results in placed {
        for (parent, name) in keys_used(results.keys, results.results) {
            members.entry(parent).or_default().push(name.to_string());
        }
    }
    let groups: Vec<(&str, Vec<String>)> = members.into_iter().collect();
    let store = &host.store;
    rehearse(store.content(), store.path(), store.root(), &groups)?;
    host.check_kept()?;
    let names = host.columns.len() + groups.iter().map(|(_, names)| names.len()).sum::<usize>();
    if names <= MOST_COLUMNS {
        return Ok(());
    }
    Err(host.store.error(
        "/obs",
        format!(
            "there are {} columns, and HDF5 can name at most {MOST_COLUMNS} in order; leave some \
             out first, in Python with `del adata.obs[\"…\"]`",
            host.columns.len()
        ),
    ))
}

/// Copies the content of a file; errors name the side that failed.
fn copy(input: &Store, temporary: &Temporary, output: &Path) -> Result<()> {
    input
        .copy_content(temporary.file())
        .map_err(|source| Error::io(output, source))
}

/// The groups that receive results.
struct Parts<'a> {
    obs: Part<'a>,
    obsm: Part<'a>,
    layers: Part<'a>,
    uns: Part<'a>,
}

/// Writes results into groups of an otherwise empty root.
fn fill(root: &Part<'_>, host: &Host, placed: &[Placed<'_>]) -> Result<()> {
    let [obsm, layers, uns] = DICTIONARIES;
    let parts = Parts {
        obs: host.frame_in(root)?,
        obsm: root.dictionary(obsm)?,
        layers: root.dictionary(layers)?,
        uns: root.dictionary(uns)?,
    };
    host.keep_matrices(&parts.obsm)?;
    let mut columns = host.columns.clone();
    for results in placed {
        for (parent, name) in keys_used(results.keys, results.results) {
            if parent == "obs" && !columns.iter().any(|column| column == name) {
                columns.push(name.to_string());
            }
        }
        results.write(&parts)?;
    }
    parts.obs.set_columns(&columns)
}

/// Results on their way to the rows of a file.
struct Placed<'a> {
    keys: &'a ResultKeys,
    results: &'a CellResults,
    /// Number of cells of the file.
    cells: usize,
    /// The row of each result.
    rows: Vec<usize>,
    /// The denoised column of every gene of the file, for a layer.
    gene_columns: Option<Vec<usize>>,
}

impl Placed<'_> {
    /// Bytes that the lists and matrices take.
    fn bytes(&self) -> u64 {
        let matrices = [&self.results.embedding, &self.results.soft_assignments];
        let denoised = self.results.denoised.as_ref().map(|(matrix, _)| matrix);
        let columns: usize = matrices
            .into_iter()
            .flatten()
            .chain(denoised)
            .map(Array2::ncols)
            .sum();
        // A label and its confidence are no longer than another column each.
        4 * (self.cells as u64) * (columns as u64 + 2)
    }

    fn write(&self, parts: &Parts<'_>) -> Result<()> {
        let Parts {
            obs,
            obsm,
            layers,
            uns,
        } = parts;
        let (keys, results) = (self.keys, self.results);
        // Clusters without cells are no categories: tests between groups fail on empty ones.
        let clusters: BTreeSet<usize> = results.labels.iter().copied().collect();
        let code: HashMap<usize, i64> = clusters.iter().copied().zip(0..).collect();
        let names: Vec<String> = clusters.iter().map(usize::to_string).collect();
        let codes: Vec<i64> = results.labels.iter().map(|label| code[label]).collect();
        obs.categorical(&keys.labels, &self.spread(&codes, -1), &names)?;
        if let Some(confidence) = &results.confidence {
            obs.list(&keys.confidence, &self.spread(confidence, f32::NAN))?;
        }
        if let Some(embedding) = &results.embedding {
            obsm.matrix(&keys.embedding, self.spread_rows(embedding.view()).view())?;
        }
        if let Some(soft) = &results.soft_assignments {
            let soft = self.spread_rows(soft.view());
            match &keys.soft_assignments {
                SoftAssignmentsKey::Obsm(name) => obsm.matrix(name, soft.view())?,
                SoftAssignmentsKey::Uns(name) => uns.matrix(name, soft.view())?,
            }
        }
        if let Some((denoised, _)) = &results.denoised {
            match &self.gene_columns {
                Some(columns) => {
                    let ordered = denoised.select(ndarray::Axis(1), columns);
                    layers.matrix(&keys.denoised, self.spread_rows(ordered.view()).view())?;
                }
                None => obsm.matrix(&keys.denoised, self.spread_rows(denoised.view()).view())?,
            }
        }
        if has_details(keys, results) {
            self.write_details(uns)?;
        }
        Ok(())
    }

    fn write_details(&self, uns: &Part<'_>) -> Result<()> {
        let (keys, results) = (self.keys, self.results);
        let genes = match &results.denoised {
            Some((_, genes)) if keys.denoised_in_obsm => Some(genes),
            _ => None,
        };
        let group = uns.dictionary(&keys.details)?;
        match &results.details {
            Some(serde_json::Value::Object(members)) => {
                for (name, value) in members {
                    details::write(&group, name, value)?;
                }
            }
            Some(other) => details::write(&group, "details", other)?,
            None => {}
        }
        match genes {
            Some(genes) => group.texts("denoised_genes", genes),
            None => Ok(()),
        }
    }

    /// One value for every cell of the file.
    fn spread<T: Copy>(&self, values: &[T], missing: T) -> Vec<T> {
        let mut spread = vec![missing; self.cells];
        for (&row, &value) in self.rows.iter().zip(values) {
            spread[row] = value;
        }
        spread
    }

    /// One row for every cell of the file.
    fn spread_rows(&self, values: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut spread = Array2::from_elem((self.cells, values.ncols()), f32::NAN);
        for (&row, value) in self.rows.iter().zip(values.rows()) {
            spread.row_mut(row).assign(&value);
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::CountMatrix;
    use crate::io::{AnnotatedCounts, write_h5ad};
    use hdf5_pure::File;

    /// Chunks as long as this crate could not write them so that HDF5 2.0 reads them.
    #[test]
    fn files_with_very_long_chunks_keep_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        let counts = CountMatrix::from_dense(ndarray::array![[1.0, 2.0], [0.0, 3.0]].view());
        write_h5ad(&path, &AnnotatedCounts::new(counts.unwrap())).unwrap();
        let file = File::open_rw(&path).unwrap();
        let uns = file.group("/uns").unwrap();
        uns.create_dataset("long", |dataset| {
            dataset
                .with_data(&vec![0i32; 100_000])
                .with_chunks(&[70_000])
                .with_deflate(1);
        })
        .unwrap();
        drop(uns);
        file.commit().unwrap();
        file.close().unwrap();

        let write = |label: usize| {
            H5adResults::new()
                .with_overwrite(true)
                .with("found", CellResults::new(vec![label; 2]))
                .write(&path, &path)
        };
        write(0).unwrap();
        let before = std::fs::read(&path).unwrap();
        write(1).unwrap();
        let after = std::fs::read(&path).unwrap();
        // Behind the superblock only what leads to members of groups has changed.
        let same = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one == other);
        assert!(after.len() > before.len() && same.count() > before.len() * 9 / 10);
        let data = crate::io::read_h5ad(&path).unwrap();
        let labels = data.cell_annotations.get("found").unwrap().labels();
        assert_eq!(labels, [Some("1".to_string()), Some("1".to_string())]);
    }
}
