//! Where the files of a sample lie.

use std::path::{Path, PathBuf};

use super::naming::{Matrix, NameFile, Role, is_gz, stem};
use crate::error::{Error, Result};
use crate::io::atomic::finish;
use crate::io::text::listed;

/// The files that are written together, the matrix last.
pub(super) const SAVED_TOGETHER: [&str; 3] =
    ["barcodes.tsv.gz", "features.tsv.gz", "matrix.mtx.gz"];

/// Which of several samples and matrices.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Choice<'a> {
    /// What stands before or after the usual names of files.
    pub prefix: Option<&'a str>,
    /// The matrix by its name.
    pub matrix: Option<&'a str>,
}

/// The files of a sample.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub folder: PathBuf,
    pub matrix: PathBuf,
    pub genes: PathBuf,
    /// Symbols, where the genes are identifiers only.
    pub symbols: Option<PathBuf>,
    pub cells: PathBuf,
    /// Whether the program that writes such files writes cells × genes.
    pub cells_first: bool,
}

impl Sample {
    /// The sample in `folder` or, when that holds no matrix, in one of the folders below it: those of
    /// filtered counts go before those of all barcodes, results before what lies beside them.
    pub fn locate(folder: &Path, choice: Choice<'_>) -> Result<Self> {
        if let Some(found) = Listing::of(folder)?.sample(choice)? {
            return Ok(found);
        }
        let (mut found, refused) = below(folder, choice)?;
        let best = found.iter().map(|sample| rank(folder, sample)).min();
        found.retain(|sample| Some(rank(folder, sample)) == best);
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(match refused {
                Some(error) => error,
                None => missing(folder, choice)?,
            }),
            _ => {
                let folders: Vec<String> = found
                    .iter()
                    .map(|sample| sample.folder.display().to_string())
                    .collect();
                Err(Error::format(
                    folder,
                    None,
                    format!(
                        "the folder holds several matrices, one for each genome or sample; give \
                         one of: {}",
                        first_few(&folders)
                    ),
                ))
            }
        }
    }
}

/// Samples in the folders below, and why one that was found cannot be read.
fn below(folder: &Path, choice: Choice<'_>) -> Result<(Vec<Sample>, Option<Error>)> {
    /// `outs/per_sample_outs/SAMPLE/count/sample_filtered_feature_bc_matrix`.
    const DEPTH: usize = 5;
    /// Enough for results, too few to walk a whole disk.
    const MOST: usize = 2000;
    let (mut found, mut refused) = (Vec::new(), None);
    let mut level = folders(folder)?;
    let mut walked = 0;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for path in level {
            walked += 1;
            if walked > MOST {
                break;
            }
            let listing = match Listing::of(&path) {
                Ok(listing) => listing,
                Err(error) => {
                    refused = refused.or(Some(error));
                    continue;
                }
            };
            match listing.sample(choice) {
                Ok(Some(sample)) => found.push(sample),
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
            next.extend(listing.folders);
        }
        level = next;
    }
    Ok((found, refused))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Listing::of(folder)?.folders)
}

/// How far a sample is from what people mean by a folder of results; less is nearer.
fn rank(folder: &Path, sample: &Sample) -> (bool, bool) {
    let parts = || {
        let path = sample.folder.strip_prefix(folder).unwrap_or(&sample.folder);
        path.components()
            .map(|part| part.as_os_str().to_string_lossy().to_ascii_lowercase())
    };
    let all_barcodes = |part: String| {
        part.starts_with("raw") || part.ends_with("_raw") || part.contains("unfiltered")
    };
    (
        !parts().any(|part| part == "outs"),
        parts().any(all_barcodes),
    )
}

/// The error of a folder without a matrix.
fn missing(folder: &Path, choice: Choice<'_>) -> Result<Error> {
    let listing = Listing::of(folder)?;
    let prefix = choice.prefix.unwrap_or_default();
    let holds = if listing.files.is_empty() {
        "it holds no files".to_string()
    } else {
        format!("it holds {}", listed_few(&listing.files))
    };
    let advice = if listing
        .files
        .iter()
        .any(|name| [".h5", ".h5ad"].iter().any(|end| name.ends_with(end)))
    {
        "; give such a file by its own name"
    } else if choice.prefix.is_some() {
        " (`MtxOptions::with_prefix` is what the names start with)"
    } else {
        ""
    };
    let wanted = match choice.matrix {
        Some(name) => format!("{name}.mtx.gz, {name}.mtx"),
        None => format!("{prefix}matrix.mtx.gz, {prefix}matrix.mtx or another .mtx"),
    };
    Ok(Error::format(
        folder,
        None,
        format!(
            "the folder has no matrix file; expected {wanted} with its features and barcodes, in it \
             or in a folder below; {holds}{advice}"
        ),
    ))
}

/// What lies in a folder, in order of names; hidden things, such as what a Mac leaves in archives
/// (`._matrix.mtx`), do not count.
struct Listing {
    folder: PathBuf,
    files: Vec<String>,
    folders: Vec<PathBuf>,
}

impl Listing {
    fn of(folder: &Path) -> Result<Self> {
        finish(folder, &SAVED_TOGETHER)?;
        let mut listing = Self {
            folder: folder.to_path_buf(),
            files: Vec::new(),
            folders: Vec::new(),
        };
        let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Error::io(folder, source))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') || name == "__MACOSX" {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                listing.folders.push(path);
            } else if path.is_file() {
                listing.files.push(name);
            }
        }
        listing.files.sort_unstable();
        listing.folders.sort_unstable();
        Ok(listing)
    }

    /// The sample of this folder; `None` when it holds no matrix that is wanted.
    fn sample(&self, choice: Choice<'_>) -> Result<Option<Sample>> {
        let Some(matrix) = self.matrix(choice)? else {
            return Ok(None);
        };
        let named: Vec<NameFile<'_>> = self
            .files
            .iter()
            .filter_map(|file| NameFile::of(file))
            .collect();
        let best = |role: Role| {
            named
                .iter()
                .filter(|file| file.role == role)
                .filter_map(|file| Some((matrix.nearness(file)?, file)))
                // Files of one save are compressed alike; others beside them may be older.
                .min_by_key(|(nearness, file)| {
                    let differs = is_gz(file.file) != is_gz(matrix.file);
                    (*nearness, differs, file.rank, file.file)
                })
                .map(|(nearness, file)| (nearness, self.folder.join(file.file)))
        };
        let find = |what: &str, role: Role, usual: [&str; 3]| {
            best(role).ok_or_else(|| {
                let expected = usual.map(|name| format!("{}{name}", matrix.before));
                Error::format(
                    &self.folder,
                    None,
                    format!(
                        "the folder has no {what} file beside {}; expected one of {}; it holds {}",
                        matrix.file,
                        expected.join(", "),
                        listed_few(&self.files)
                    ),
                )
            })
        };
        let (nearness, genes) = find(
            "features",
            Role::Genes,
            ["features.tsv.gz", "features.tsv", "genes.tsv"],
        )?;
        let (_, cells) = find(
            "barcodes",
            Role::Cells,
            ["barcodes.tsv.gz", "barcodes.tsv", "cell_metadata.csv"],
        )?;
        let symbols = best(Role::Symbols).filter(|(other, _)| *other == nearness);
        Ok(Some(Sample {
            folder: self.folder.clone(),
            matrix: self.folder.join(matrix.file),
            genes,
            symbols: symbols.map(|(_, path)| path),
            cells,
            cells_first: matrix.cells_first,
        }))
    }

    /// The matrix that is wanted; several without a usual name are refused.
    fn matrix(&self, choice: Choice<'_>) -> Result<Option<Matrix<'_>>> {
        let mut there: Vec<Matrix<'_>> = self
            .files
            .iter()
            .filter_map(|file| Matrix::of(file))
            .collect();
        // Compressed and plain copies are one matrix.
        there.sort_by_key(|matrix| (matrix.stem, !is_gz(matrix.file)));
        there.dedup_by_key(|matrix| matrix.stem);
        if let Some(name) = choice.matrix {
            let wanted = stem(name, &[".mtx"]).unwrap_or(name);
            there.retain(|matrix| matrix.stem == wanted || matrix.word == wanted);
            if there.is_empty() {
                return Ok(None);
            }
        }
        if let Some(prefix) = choice.prefix {
            there.retain(|matrix| matrix.is_of(prefix));
        }
        if there.len() <= 1 {
            return Ok(there.pop());
        }
        // A folder's own sample goes before copies with other names beside it.
        let own = |matrix: &&Matrix<'_>| matrix.is_usual && matrix.sample().is_empty();
        if let Some(own) = there.iter().find(own) {
            return Ok(Some(*own));
        }
        let mut samples: Vec<&str> = there.iter().map(Matrix::sample).collect();
        samples.sort_unstable();
        samples.dedup();
        let reason = if samples.len() > 1 {
            format!(
                "the folder holds several samples, choose one with `MtxOptions::with_prefix`: {}",
                listed(&samples)
            )
        } else {
            let usual: Vec<&Matrix<'_>> = there.iter().filter(|matrix| matrix.is_usual).collect();
            if let [only] = usual[..] {
                return Ok(Some(*only));
            }
            let names: Vec<&str> = there.iter().map(|matrix| matrix.word).collect();
            format!(
                "the folder holds several matrices, choose one with `MtxOptions::with_matrix`: {}",
                listed(&names)
            )
        };
        Err(Error::format(&self.folder, None, reason))
    }
}

fn listed_few(names: &[String]) -> String {
    const MOST: usize = 6;
    let mut text = listed(&names[..names.len().min(MOST)]);
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

fn first_few(paths: &[String]) -> String {
    const MOST: usize = 8;
    let mut text = paths[..paths.len().min(MOST)].join(", ");
    if paths.len() > MOST {
        text.push_str(&format!(" and {} more", paths.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests;
