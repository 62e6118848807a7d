//! The AnnData file that receives results: what is in it, and whether results fit.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;

use super::encode::{Part, text};
use super::frame::{self, Frame, old_categories};
use super::modality;
use super::records::Records;
use super::results::{CellResults, ResultKeys};
use crate::error::{Error, Result};
use crate::io::annotations::Annotation;
use crate::io::hdf5::{Node, Store};
use crate::io::names::make_unique;

/// The groups of an AnnData file that results go to, besides `obs`.
pub(super) const DICTIONARIES: [&str; 3] = ["obsm", "layers", "uns"];

/// The file that receives results, as it is before.
pub(super) struct Host {
    pub store: Store,
    pub cells: Vec<String>,
    /// The name of the column of cell names.
    pub index: String,
    pub columns: Vec<String>,
    /// `obs` as it is stored.
    frame: Frame,
}

impl Host {
    pub fn open(path: &Path) -> Result<Self> {
        let store = modality::open(path, Store::open_on_disk)?;
        let cells = frame::read_index(&store, "/obs")?;
        let frame = Frame::open(&store, "/obs")?;
        let index = frame.index().to_string();
        let columns = frame.columns(&store, "/obs")?;
        for parent in DICTIONARIES {
            let at = format!("/{parent}");
            if let Some(Node::Dataset(dataset)) = store.stored(&at)?
                && (parent != "obsm" || Records::read(&store, &at, &dataset).is_err())
            {
                return Err(store.error(&at, "is a dataset, expected a group"));
            }
        }
        Ok(Self {
            store,
            cells,
            index,
            columns,
            frame,
        })
    }

    /// A frame for new columns of `obs`. Frames of records get no new columns: they are written
    /// anew, with the categories that lay elsewhere.
    pub fn frame_in<'a>(&self, root: &Part<'a>) -> Result<Part<'a>> {
        if !self.frame.is_records() {
            return root.group("obs", "dataframe", "0.2.0");
        }
        let var = Frame::open(&self.store, "/var")?;
        if var.is_records() {
            let columns = var.columns(&self.store, "/var")?;
            let part = self.write_frame(root, "var", &var, &columns)?;
            part.set_columns(&columns)?;
        }
        self.write_frame(root, "obs", &self.frame, &self.columns)
    }

    fn write_frame<'a>(
        &self,
        root: &Part<'a>,
        name: &str,
        frame: &Frame,
        columns: &[String],
    ) -> Result<Part<'a>> {
        let at = format!("/{name}");
        let part = root.group(name, "dataframe", "0.2.0")?;
        part.set_attribute("_index", text(frame.index()))?;
        part.texts(frame.index(), &frame::read_index(&self.store, &at)?)?;
        for column in columns {
            let annotation = frame.column(&self.store, &at, column, None)?;
            part.annotation(column, &annotation)?;
        }
        Ok(part)
    }

    /// Members of `uns` that are categories of columns that [`frame_in`](Self::frame_in) writes anew.
    pub fn categories_used(&self) -> Result<Vec<String>> {
        let mut used = Vec::new();
        for at in ["/obs", "/var"] {
            if !self.frame.is_records() || !self.store.exists(at)? {
                continue;
            }
            let frame = Frame::open(&self.store, at)?;
            for column in frame.columns(&self.store, at)? {
                let annotation = frame.column(&self.store, at, &column, None)?;
                if frame.is_records() && matches!(annotation, Annotation::Categorical { .. }) {
                    used.push(old_categories(&column));
                }
            }
        }
        Ok(used)
    }

    /// Refuses what could not come along.
    pub fn check_kept(&self) -> Result<()> {
        self.categories_used()?;
        let Some(Node::Dataset(dataset)) = self.store.stored("/obsm")? else {
            return Ok(());
        };
        let matrices = Records::read(&self.store, "/obsm", &dataset)?;
        for name in matrices.names() {
            matrices.matrix(&self.store, name)?;
        }
        Ok(())
    }

    /// Copies matrices that lie together in a dataset into a group.
    pub fn keep_matrices(&self, obsm: &Part<'_>) -> Result<()> {
        let Some(Node::Dataset(dataset)) = self.store.stored("/obsm")? else {
            return Ok(());
        };
        let records = Records::read(&self.store, "/obsm", &dataset)?;
        for name in records.names() {
            obsm.matrix(name, records.matrix(&self.store, name)?.view())?;
        }
        Ok(())
    }

    /// Whether a group has a member of this name.
    pub fn holds(&self, parent: &str, name: &str) -> Result<bool> {
        self.store.exists(&format!("/{parent}/{name}"))
    }

    /// The row of the file that each result belongs to.
    pub fn rows_of(&self, name: &str, results: &CellResults) -> Result<Vec<usize>> {
        let cells = self.cells.len();
        let rows = match &results.kept_cells {
            Some(rows) => rows.clone(),
            None => (0..cells).collect(),
        };
        check_length(
            match &results.kept_cells {
                Some(_) => format!("the list of labels of \"{name}\", one for every kept cell,"),
                None => format!(
                    "the list of labels of \"{name}\", one for every cell of the file unless \
                     `CellResults::with_kept_cells` says otherwise,"
                ),
            },
            rows.len(),
            results.labels.len(),
        )?;
        let mut seen = vec![false; cells];
        for &row in &rows {
            match seen.get_mut(row) {
                None => {
                    return Err(self.store.error(
                        "/obs",
                        format!(
                            "a result of \"{name}\" is of cell {row}, but there are {cells} cells"
                        ),
                    ));
                }
                Some(true) => {
                    return Err(self
                        .store
                        .error("/obs", format!("\"{name}\" has two results for cell {row}")));
                }
                Some(first) => *first = true,
            }
        }
        if let Some(names) = &results.cell_names {
            check_length(
                format!("the list of cell names of \"{name}\""),
                rows.len(),
                names.len(),
            )?;
            let mut pairs = rows.iter().zip(names);
            if let Some((&row, expected)) = pairs.find(|&(&row, name)| self.cells[row] != *name) {
                return Err(self.store.error(
                    "/obs",
                    format!(
                        "cell {row} is \"{}\", but the result of \"{name}\" there is of \
                         \"{expected}\"; the results belong to another file",
                        self.cells[row]
                    ),
                ));
            }
        }
        Ok(rows)
    }

    /// Checks lengths and names; gives the denoised column of every gene of the file, when there is
    /// to be a layer.
    pub fn check_pieces(
        &self,
        keys: &ResultKeys,
        results: &CellResults,
    ) -> Result<Option<Vec<usize>>> {
        let rows = |matrix: &Option<Array2<f32>>| matrix.as_ref().map(Array2::nrows);
        let denoised = results.denoised.as_ref();
        for (what, found) in [
            ("confidence", results.confidence.as_ref().map(Vec::len)),
            ("embedding", rows(&results.embedding)),
            ("soft assignments", rows(&results.soft_assignments)),
            (
                "denoised expression",
                denoised.map(|(matrix, _)| matrix.nrows()),
            ),
        ] {
            if let Some(found) = found {
                check_length(
                    format!("{what} of \"{}\"", keys.labels),
                    results.labels.len(),
                    found,
                )?;
            }
        }
        let Some((matrix, genes)) = denoised else {
            return Ok(None);
        };
        check_length(
            format!("the list of denoised genes of \"{}\"", keys.labels),
            matrix.ncols(),
            genes.len(),
        )?;
        if keys.denoised_in_obsm {
            return Ok(None);
        }
        let mut there = frame::read_index(&self.store, "/var")?;
        // The readers of this crate make names unique, so these must be too.
        make_unique(&mut there);
        let columns: HashMap<&str, usize> = genes
            .iter()
            .enumerate()
            .map(|(column, gene)| (gene.as_str(), column))
            .collect();
        let missing: Vec<&String> = there
            .iter()
            .filter(|gene| !columns.contains_key(gene.as_str()))
            .collect();
        match missing.first() {
            None => Ok(Some(
                there.iter().filter_map(|gene| columns.get(gene.as_str()).copied()).collect(),
            )),
            Some(first) => Err(self.store.error(
                &format!("/layers/{}", keys.denoised),
                format!(
                    "a layer has to hold all {} genes of the file, but {} of them are not \
                     denoised, for example \"{first}\"; keep all genes in preprocessing, or put the \
                     denoised ones into `obsm` with `ResultKeys::with_denoised_in_obsm(true)`",
                    there.len(),
                    missing.len()
                ),
            )),
        }
    }
}

fn check_length(what: String, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            what,
            expected,
            found,
        })
    }
}
