//! Results added to an AnnData file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use hdf5_pure::{File, RepackOptions, repack};
use ndarray::{Array2, ArrayView2};

use super::details;
use super::encode::{Part, UNREADABLE, check_name, without_lock, write_error};
use super::host::{DICTIONARIES, Host};
use super::results::{CellResults, ResultKeys, SoftAssignmentsKey};
use crate::error::{Error, Result};
use crate::io::atomic::{Temporary, replace_atomically};
use crate::io::hdf5::Node;
use crate::io::input::open_file;

/// Groups within groups; more are a circle of links.
const DEEPEST: usize = 64;

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
    /// replaced. Everything else in the file stays as it is.
    ///
    /// `output` appears when it is complete; until then the copy lies beside it. Files written by
    /// Python are held in memory whole meanwhile.
    ///
    /// # Errors
    /// Before anything is written: [`Error::Format`] when `input` is no AnnData file, a name is
    /// taken (and [`with_overwrite`](Self::with_overwrite) not set), empty, holds `/` or is given
    /// twice, cells are others than in the file, denoised genes are not all genes of the file, or an
    /// entry is to be replaced in a file with chunks that HDF5 2.0 could then not read;
    /// [`Error::LengthMismatch`] when a piece has not one value for every cell. While writing:
    /// [`Error::Io`] for the disk, [`Error::Format`] when the file has a structure that cannot be
    /// extended; an old `output` is then intact.
    pub fn write(&self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        let (input, output) = (input.as_ref(), output.as_ref());
        let host = Host::open(input)?;
        let placed = self.place(&host)?;
        let replaced = replaced(&host, &placed)?;
        replace_atomically(output, |temporary| {
            // A copy that is extended keeps every byte of the rest.
            if replaced.drop_paths().is_empty() {
                copy(input, temporary, output)?;
                if extend(temporary, output, &host, &placed)? {
                    return Ok(());
                }
                refuse_unreadable(&host, "", DEEPEST)?;
            }
            // Replaced entries would leave gaps, and groups of many members in files of HDF5's
            // newest format cannot be extended where they are: the file is laid out anew.
            repack(input, temporary.path(), &replaced)
                .map_err(|error| write_error(output, "/", error))?;
            if extend(temporary, output, &host, &placed)? {
                return Ok(());
            }
            Err(Error::format(
                input,
                None,
                "the file has groups that cannot be extended; write it again with a current \
                 anndata in Python and retry",
            ))
        })
    }

    /// Checks what [`write`](Self::write) checks before it writes: whether the results fit into
    /// `input` under their names. Before a long computation, results with the same keys and
    /// invented labels tell whether its own can be written.
    ///
    /// # Errors
    /// As [`write`](Self::write) before anything is written.
    pub fn check(&self, input: impl AsRef<Path>) -> Result<()> {
        let host = Host::open(input.as_ref())?;
        replaced(&host, &self.place(&host)?)?;
        Ok(())
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

/// What leaves the file to make room for results.
fn replaced(host: &Host, placed: &[Placed<'_>]) -> Result<RepackOptions> {
    let mut replaced = RepackOptions::new();
    for results in placed {
        for (parent, name) in keys_used(results.keys, results.results) {
            if host.holds(parent, name)? {
                replaced = replaced.drop_path(&format!("{parent}/{name}"));
            }
        }
    }
    if !replaced.drop_paths().is_empty() {
        refuse_unreadable(host, "", DEEPEST)?;
    }
    Ok(replaced)
}

/// Copies a file; errors name the side that failed.
fn copy(input: &Path, temporary: &Temporary, output: &Path) -> Result<()> {
    let (mut from, _) = open_file(input)?;
    let mut to = temporary.file();
    std::io::copy(&mut from, &mut to)
        .map(|_| ())
        .map_err(|source| Error::io(output, source))
}

/// Refuses datasets in a group, and in those beneath it, that could not be read any more when the
/// file is laid out anew.
fn refuse_unreadable(host: &Host, group_at: &str, depth: usize) -> Result<()> {
    let store = &host.store;
    if depth == 0 {
        return Err(store.error(group_at, format!("groups are more than {DEEPEST} deep")));
    }
    for name in store.members(if group_at.is_empty() { "/" } else { group_at })? {
        let at = format!("{group_at}/{name}");
        match store.node(&at)? {
            Node::Group(_) => refuse_unreadable(host, &at, depth - 1)?,
            Node::Dataset(dataset) => {
                let chunks = dataset
                    .chunk_shape()
                    .map_err(|error| store.damaged(&at, error))?;
                if let Some(&longest) = chunks.iter().flatten().max()
                    && UNREADABLE.contains(&longest)
                {
                    return Err(store.error(
                        &at,
                        format!(
                            "it is stored in chunks of {longest}, which HDF5 2.0 could not read any \
                             more if entries of the file were replaced; read and write the file \
                             with anndata in Python first, or give results names that are not \
                             taken"
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The groups of the copy that receive results.
struct Parts<'a> {
    obs: Part<'a>,
    obsm: Part<'a>,
    layers: Part<'a>,
    uns: Part<'a>,
}

impl<'a> Parts<'a> {
    fn open(file: &File, output: &'a Path, host: &Host) -> Result<Self> {
        let root = Part::root(file, output);
        let dictionary = |name: &str| {
            let at = format!("/{name}");
            match host.store.find(&at)? {
                Some(_) => Part::existing(file, output, &at),
                None => root.dictionary(name),
            }
        };
        let [obsm, layers, uns] = DICTIONARIES;
        Ok(Self {
            obs: Part::existing(file, output, "/obs")?,
            obsm: dictionary(obsm)?,
            layers: dictionary(layers)?,
            uns: dictionary(uns)?,
        })
    }
}

/// Adds results to the copy of a file; `false` when its groups cannot be extended.
fn extend(
    temporary: &Temporary,
    output: &Path,
    host: &Host,
    placed: &[Placed<'_>],
) -> Result<bool> {
    let failed = |error| write_error(output, "/", error);
    let access = without_lock(temporary);
    let file = File::open_rw_with_options(temporary.path(), access).map_err(failed)?;
    let parts = Parts::open(&file, output, host)?;
    let mut columns = host.columns.clone();
    for results in placed {
        for (parent, name) in keys_used(results.keys, results.results) {
            if parent == "obs" && !columns.iter().any(|column| column == name) {
                columns.push(name.to_string());
            }
        }
        results.write(&parts)?;
    }
    parts.obs.set_columns(&columns)?;
    // Handles keep the file open.
    drop(parts);
    match file.commit() {
        Ok(()) => file.close().map(|()| true).map_err(failed),
        Err(hdf5_pure::Error::EditUnsupported(reason)) => {
            tracing::debug!(reason, "the file cannot be extended as it is laid out");
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
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

    /// What HDF5 2.0 could not read is not written; that it reads the rest is for `.ci/interop`.
    #[test]
    fn files_with_very_long_chunks_are_not_laid_out_anew() {
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
        let message = write(1).unwrap_err().to_string();
        assert!(
            message.contains("at /uns/long: it is stored in chunks of 70000"),
            "{message}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let results = H5adResults::new().with_overwrite(true);
        let again = results.with("found", CellResults::new(vec![1; 2]));
        assert_eq!(again.check(&path).unwrap_err().to_string(), message);
    }
}
