//! Where the three files of a sample lie.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic::finish;

pub(super) const MATRIX_FILES: &[&str] = &["matrix.mtx.gz", "matrix.mtx"];
pub(super) const GENE_FILES: &[&str] = &[
    "features.tsv.gz",
    "features.tsv",
    "genes.tsv",
    "genes.tsv.gz",
];
pub(super) const CELL_FILES: &[&str] = &["barcodes.tsv.gz", "barcodes.tsv"];
/// The files that are written together, the matrix last.
pub(super) const SAVED_TOGETHER: [&str; 3] =
    ["barcodes.tsv.gz", "features.tsv.gz", "matrix.mtx.gz"];

/// A folder and what stands before the names of the files in it.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    folder: PathBuf,
    prefix: String,
}

impl Sample {
    /// The sample in `folder` or, when that holds no matrix, in its only folder that does.
    pub fn locate(folder: &Path, prefix: Option<&str>) -> Result<Self> {
        if let Some(sample) = Self::within(folder, prefix)? {
            return Ok(sample);
        }
        let mut below = Vec::new();
        for path in entries(folder)? {
            if path.is_dir()
                && let Some(sample) = Self::within(&path, prefix)?
            {
                below.push(sample);
            }
        }
        match below.len() {
            1 => Ok(below.remove(0)),
            0 => Ok(Self {
                folder: folder.to_path_buf(),
                prefix: prefix.unwrap_or_default().to_string(),
            }),
            _ => {
                let folders: Vec<String> = below
                    .iter()
                    .map(|sample| sample.folder.display().to_string())
                    .collect();
                Err(Error::format(
                    folder,
                    None,
                    format!(
                        "the folder holds several matrices, one for each genome or sample; give \
                         one of: {}",
                        folders.join(", ")
                    ),
                ))
            }
        }
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn within(folder: &Path, prefix: Option<&str>) -> Result<Option<Self>> {
        finish(folder, &SAVED_TOGETHER)?;
        let mut prefixes: Vec<String> = entries(folder)?
            .iter()
            .filter(|path| path.is_file())
            .filter_map(|path| path.file_name()?.to_str())
            .filter_map(|name| MATRIX_FILES.iter().find_map(|file| name.strip_suffix(file)))
            .map(String::from)
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        // A folder's own sample goes before copies with other names beside it.
        let prefix = match (prefix, &prefixes[..]) {
            (Some(wanted), there) if there.iter().any(|name| name == wanted) => wanted.to_string(),
            (Some(_), _) | (None, []) => return Ok(None),
            (None, [only]) => only.clone(),
            (None, there) if there[0].is_empty() => String::new(),
            (None, several) => {
                return Err(Error::format(
                    folder,
                    None,
                    format!(
                        "the folder holds several samples, choose one with \
                         `MtxOptions::with_prefix`: {}",
                        several.join(", ")
                    ),
                ));
            }
        };
        Ok(Some(Self {
            folder: folder.to_path_buf(),
            prefix,
        }))
    }

    /// The first of the files `names` that exists.
    pub fn find(&self, what: &str, names: &[&str]) -> Result<PathBuf> {
        let prefixed: Vec<String> = names
            .iter()
            .map(|name| format!("{}{name}", self.prefix))
            .collect();
        prefixed
            .iter()
            .map(|name| self.folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                Error::format(
                    &self.folder,
                    None,
                    format!(
                        "the folder has no {what} file; a 10x folder holds one of {} (set \
                         `MtxOptions::with_prefix` when the names start otherwise)",
                        prefixed.join(", ")
                    ),
                )
            })
    }
}

/// Paths of what is in the folder, in order of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(|source| Error::io(folder, source))?;
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    fn located(files: &[&str], prefix: Option<&str>) -> Result<(String, String)> {
        let folder = folder_with(files);
        let sample = Sample::locate(folder.path(), prefix)?;
        let below = sample.folder.strip_prefix(folder.path()).unwrap();
        Ok((below.display().to_string(), sample.prefix))
    }

    #[test]
    fn samples_are_found_by_their_matrix() {
        for (files, prefix, folder, expected) in [
            (&["matrix.mtx"][..], None, "", ""),
            (&["hg19/matrix.mtx", "notes.txt"], None, "hg19", ""),
            (&["GSM1_matrix.mtx.gz"], None, "", "GSM1_"),
            (&["a_matrix.mtx", "b_matrix.mtx"], Some("b_"), "", "b_"),
            (&["matrix.mtx", "b_matrix.mtx"], None, "", ""),
            (
                &["x/a_matrix.mtx.gz", "y/b_matrix.mtx"],
                Some("b_"),
                "y",
                "b_",
            ),
            (&["nothing.txt"], None, "", ""),
        ] {
            let found = located(files, prefix).unwrap();
            assert_eq!(found, (folder.into(), expected.into()), "{files:?}");
        }
    }

    #[test]
    fn several_samples_are_named() {
        for (files, expected) in [
            (["hg19/matrix.mtx", "mm10/matrix.mtx.gz"], "mm10"),
            (["a_matrix.mtx", "b_matrix.mtx"], "with_prefix`: a_, b_"),
        ] {
            let message = located(&files, None).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(matches!(
            Sample::locate(Path::new("/nowhere/at/all"), None),
            Err(Error::Io { .. })
        ));
    }
}
