//! What an .h5ad file holds, by name.

use std::path::Path;

use celldec::counts::CountSource;
use celldec::io::{CellAnnotations, H5adMatrix, H5adOptions};
use celldec::prelude::*;
use hdf5_pure::{File, FormatError, Group};

/// The parts of an .h5ad file.
pub struct Contents {
    /// Those that could hold counts.
    pub matrices: Vec<H5adMatrix>,
    /// Columns of obs.
    pub columns: Vec<String>,
    /// Matrices of obsm.
    pub embeddings: Vec<String>,
}

impl Contents {
    /// Lists the parts without reading them.
    pub fn of(path: &Path) -> Result<Self> {
        let is_hdf5 = hdf5_pure::is_hdf5(path).map_err(|source| Error::io(path, source))?;
        if !is_hdf5 {
            let reason = "not an HDF5 file, as .h5ad files are; check what it is";
            return Err(Error::format(path, None, reason));
        }
        list(path).map_err(|error| match error {
            hdf5_pure::Error::Io(source) => Error::io(path, source),
            other => Error::format(
                path,
                None,
                format!("the HDF5 file is damaged or truncated: {other}"),
            ),
        })
    }
}

fn list(path: &Path) -> Result<Contents, hdf5_pure::Error> {
    let file = File::open_streaming(path)?;
    let root = file.group("/")?;
    let mut matrices = Vec::new();
    if has_matrix(&root, "X")? {
        matrices.push(H5adMatrix::X);
    }
    matrices.extend(
        members(&file, "/layers")?
            .into_iter()
            .map(H5adMatrix::Layer),
    );
    if members(&file, "/raw")?.iter().any(|name| name == "X") {
        matrices.push(H5adMatrix::Raw);
    }
    let columns = match find(&file, "/obs")? {
        Some(obs) => obs
            .attrs()?
            .get("column-order")
            .and_then(|order| order.as_strings())
            .unwrap_or_default()
            .to_vec(),
        None => Vec::new(),
    };
    Ok(Contents {
        matrices,
        columns,
        embeddings: members(&file, "/obsm")?,
    })
}

/// Whether there is a matrix that is not null, which anndata writes in place of a missing one.
fn has_matrix(root: &Group, name: &str) -> Result<bool, hdf5_pure::Error> {
    if root.groups()?.iter().any(|group| group == name) {
        return Ok(true);
    }
    if !root.datasets()?.iter().any(|dataset| dataset == name) {
        return Ok(false);
    }
    let attributes = root.dataset(name)?.attrs()?;
    let encoding = attributes.get("encoding-type");
    Ok(encoding.and_then(|encoding| encoding.as_str()) != Some("null"))
}

fn find(file: &File, at: &str) -> Result<Option<Group>, hdf5_pure::Error> {
    match file.group(at) {
        Ok(group) => Ok(Some(group)),
        Err(hdf5_pure::Error::NotAGroup(_))
        | Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of everything within a group, sorted; none where there is no such group.
fn members(file: &File, at: &str) -> Result<Vec<String>, hdf5_pure::Error> {
    let Some(group) = find(file, at)? else {
        return Ok(Vec::new());
    };
    let mut names = group.groups()?;
    names.extend(group.datasets()?);
    names.sort_unstable();
    Ok(names)
}

/// The names of all cells and some columns of obs.
///
/// Counts stay on disk, unless they are stored by genes.
pub fn read_columns(path: &Path, columns: &[&str]) -> Result<(Vec<String>, CellAnnotations)> {
    let matrix = Contents::of(path)?.matrices.into_iter().next();
    let options = H5adOptions::new()
        .with_matrix(matrix.unwrap_or_default())
        .with_annotations(columns.iter().copied());
    match options.open(path) {
        Ok(source) => Ok((source.cell_names().to_vec(), source.cell_annotations()?)),
        Err(_) => {
            let data = options.read(path)?;
            Ok((data.counts.cell_names().to_vec(), data.cell_annotations))
        }
    }
}
