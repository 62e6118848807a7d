//! Where the files of a sample lie.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic::finish;
use crate::io::text::listed;

/// The files that are written together, the matrix last.
pub(super) const SAVED_TOGETHER: [&str; 3] =
    ["barcodes.tsv.gz", "features.tsv.gz", "matrix.mtx.gz"];

/// How programs call the matrix that people mean, and whether they store it as cells × genes.
const MATRICES: &[(&str, bool)] = &[
    ("matrix", false),
    ("count_matrix", true),
    ("DGE", true),
    ("cells_x_genes", true),
    ("quants_mat", true),
];
/// How programs call matrices beside which there are others.
const PARTS: &[&str] = &["spliced", "unspliced", "ambiguous", "counts"];

/// What a file of names holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Genes,
    /// Symbols of genes, beside a file of their identifiers.
    Symbols,
    Cells,
}

/// How programs call files of names; those that go before others first, and longer ones before those
/// that they end in.
const NAME_FILES: &[(Role, &str)] = &[
    (Role::Symbols, "genes.names"),
    (Role::Genes, "features"),
    (Role::Genes, "all_genes"),
    (Role::Genes, "quants_mat_cols"),
    (Role::Genes, "genes"),
    (Role::Genes, "gene_names"),
    (Role::Cells, "cell_barcodes"),
    (Role::Cells, "barcodes"),
    (Role::Cells, "cell_metadata"),
    (Role::Cells, "quants_mat_rows"),
    (Role::Cells, "cells"),
    (Role::Cells, "cell_names"),
];

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
                .min_by_key(|(nearness, file)| (*nearness, file.rank, file.file))
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
        there.sort_by_key(|matrix| (matrix.stem, !matrix.file.ends_with(".gz")));
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

/// A name without one of some endings, and without `.gz` after it; `None` when it has none of them.
fn stem<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let name = name
        .len()
        .checked_sub(3)
        .filter(|&at| name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(".gz"))
        .map_or(name, |at| &name[..at]);
    endings.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len())?;
        let fits = name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(ending);
        fits.then(|| &name[..at])
    })
}

/// Signs that divide names into words.
const DIVIDING: [char; 3] = ['_', '.', '-'];

/// Where a word stands in a name, between the ends of the name and signs that divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    End,
    Start,
    Middle,
}

/// What stands before and after a word in a name.
fn around<'a>(name: &'a str, word: &str, at: At) -> Option<(&'a str, &'a str)> {
    let ends = |before: &str| before.is_empty() || before.ends_with(DIVIDING);
    let starts = |after: &str| after.is_empty() || after.starts_with(DIVIDING);
    let split = |position: usize| {
        let (before, rest) = (name.get(..position)?, name.get(position..)?);
        let after = rest.get(word.len()..)?;
        (rest[..word.len()].eq_ignore_ascii_case(word) && ends(before) && starts(after))
            .then_some((before, after))
    };
    match at {
        At::End => split(name.len().checked_sub(word.len())?),
        At::Start => split(0),
        At::Middle => (1..name.len()).find_map(split),
    }
}

/// A file of entries.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    file: &'a str,
    stem: &'a str,
    word: &'a str,
    before: &'a str,
    after: &'a str,
    /// Whether its name says that it is the one that people mean.
    is_usual: bool,
    cells_first: bool,
}

impl<'a> Matrix<'a> {
    fn of(file: &'a str) -> Option<Self> {
        let stem = stem(file, &[".mtx"])?;
        let usual = MATRICES
            .iter()
            .map(|&(word, cells_first)| (word, true, cells_first));
        let parts = PARTS.iter().map(|&word| (word, false, false));
        let known: Vec<(&str, bool, bool)> = usual.chain(parts).collect();
        for at in [At::End, At::Start, At::Middle] {
            for &(word, is_usual, cells_first) in &known {
                // Longer words end in shorter ones.
                if let Some((before, after)) = around(stem, word, at)
                    && !(word == "matrix" && before.ends_with("count_"))
                {
                    return Some(Self {
                        file,
                        stem,
                        word: &stem[before.len()..stem.len() - after.len()],
                        before,
                        after,
                        is_usual,
                        cells_first,
                    });
                }
            }
        }
        Some(Self {
            file,
            stem,
            word: stem,
            before: "",
            after: "",
            is_usual: false,
            cells_first: false,
        })
    }

    /// What tells its sample from others.
    fn sample(&self) -> &'a str {
        if self.before.is_empty() {
            self.after
        } else {
            self.before
        }
    }

    fn is_of(&self, prefix: &str) -> bool {
        let bare = |text: &'a str| text.trim_matches(DIVIDING);
        if prefix.is_empty() {
            return self.sample().is_empty();
        }
        self.before == prefix
            || self.after == prefix
            || bare(self.after) == prefix
            || (self.sample().is_empty() && self.word.starts_with(prefix))
    }

    /// How near a file of names is by its name; less is nearer, `None` for that of another sample.
    fn nearness(&self, file: &NameFile<'_>) -> Option<u8> {
        if (file.before, file.after) == (self.before, self.after) {
            return Some(0);
        }
        let (whole, divided) = file.before.split_at(file.before.len().saturating_sub(1));
        let is_stem = whole == self.stem && !divided.is_empty();
        if file.after.is_empty() && (is_stem || file.before == self.stem) {
            return Some(1);
        }
        let begins = |rest: &str| rest.starts_with(DIVIDING);
        if file.after.is_empty()
            && !whole.is_empty()
            && self.stem.strip_prefix(whole).is_some_and(begins)
        {
            return Some(2);
        }
        // One for all matrices of the folder.
        (file.before.is_empty() && file.after.is_empty()).then_some(3)
    }
}

/// A file of names.
struct NameFile<'a> {
    file: &'a str,
    role: Role,
    before: &'a str,
    after: &'a str,
    /// Which of several of one sample is read; less goes first.
    rank: usize,
}

impl<'a> NameFile<'a> {
    fn of(file: &'a str) -> Option<Self> {
        // The Single Cell Expression Atlas calls them by the ending alone.
        for (role, ending) in [(Role::Genes, ".mtx_rows"), (Role::Cells, ".mtx_cols")] {
            if let Some(before) = stem(file, &[ending]) {
                return Some(Self {
                    file,
                    role,
                    before,
                    after: "",
                    rank: 0,
                });
            }
        }
        let stem = stem(file, &[".tsv", ".csv", ".txt"])?;
        for at in [At::End, At::Start, At::Middle] {
            for (rank, &(role, word)) in NAME_FILES.iter().enumerate() {
                if let Some((before, after)) = around(stem, word, at) {
                    return Some(Self {
                        file,
                        role,
                        before,
                        after,
                        rank,
                    });
                }
            }
        }
        None
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

    /// The matrix, genes and cells that are found, by their paths in the folder.
    fn located(files: &[&str], choice: Choice<'_>) -> Result<[String; 3]> {
        let folder = folder_with(files);
        let sample = Sample::locate(folder.path(), choice)?;
        Ok([sample.matrix, sample.genes, sample.cells].map(|path| {
            let below = path.strip_prefix(folder.path()).unwrap();
            below.display().to_string()
        }))
    }

    fn prefix(prefix: &str) -> Choice<'_> {
        Choice {
            prefix: Some(prefix),
            matrix: None,
        }
    }

    fn matrix(name: &str) -> Choice<'_> {
        Choice {
            prefix: None,
            matrix: Some(name),
        }
    }

    #[test]
    fn files_of_many_programs_are_found() {
        let any = Choice::default();
        for (files, choice, expected) in [
            (
                &["matrix.mtx", "genes.tsv", "barcodes.tsv"][..],
                any,
                ["matrix.mtx", "genes.tsv", "barcodes.tsv"],
            ),
            // Both generations of Cell Ranger, compressed and plain.
            (
                &[
                    "matrix.mtx",
                    "matrix.mtx.gz",
                    "genes.tsv",
                    "features.tsv.gz",
                    "barcodes.tsv",
                ],
                any,
                ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv"],
            ),
            // GEO: the sample before, or after, the fixed name.
            (
                &[
                    "GSM1_matrix.mtx.gz",
                    "GSM1_genes.tsv.gz",
                    "GSM1_barcodes.tsv.gz",
                ],
                any,
                [
                    "GSM1_matrix.mtx.gz",
                    "GSM1_genes.tsv.gz",
                    "GSM1_barcodes.tsv.gz",
                ],
            ),
            (
                &[
                    "matrix_a.mtx",
                    "matrix_b.mtx",
                    "features_a.tsv",
                    "features_b.tsv",
                    "barcodes_a.tsv",
                    "barcodes_b.tsv",
                ],
                prefix("b"),
                ["matrix_b.mtx", "features_b.tsv", "barcodes_b.tsv"],
            ),
            (
                &[
                    "a_matrix.mtx",
                    "b_matrix.mtx",
                    "features.tsv",
                    "a_barcodes.tsv",
                    "b_barcodes.tsv",
                ],
                prefix("b_"),
                ["b_matrix.mtx", "features.tsv", "b_barcodes.tsv"],
            ),
            // Parse, kallisto|bustools, alevin-fry.
            (
                &["DGE.mtx", "all_genes.csv", "cell_metadata.csv"],
                any,
                ["DGE.mtx", "all_genes.csv", "cell_metadata.csv"],
            ),
            (
                &[
                    "cells_x_genes.mtx",
                    "cells_x_genes.genes.txt",
                    "cells_x_genes.barcodes.txt",
                ],
                any,
                [
                    "cells_x_genes.mtx",
                    "cells_x_genes.genes.txt",
                    "cells_x_genes.barcodes.txt",
                ],
            ),
            (
                &[
                    "spliced.mtx",
                    "spliced.genes.txt",
                    "spliced.barcodes.txt",
                    "unspliced.mtx",
                    "unspliced.genes.txt",
                    "unspliced.barcodes.txt",
                ],
                matrix("unspliced"),
                [
                    "unspliced.mtx",
                    "unspliced.genes.txt",
                    "unspliced.barcodes.txt",
                ],
            ),
            (
                &[
                    "quants_mat.mtx",
                    "quants_mat_cols.txt",
                    "quants_mat_rows.txt",
                ],
                any,
                [
                    "quants_mat.mtx",
                    "quants_mat_cols.txt",
                    "quants_mat_rows.txt",
                ],
            ),
            // STARsolo.
            (
                &[
                    "spliced.mtx",
                    "unspliced.mtx",
                    "ambiguous.mtx",
                    "features.tsv",
                    "barcodes.tsv",
                ],
                matrix("spliced.mtx"),
                ["spliced.mtx", "features.tsv", "barcodes.tsv"],
            ),
            (
                &[
                    "matrix.mtx",
                    "UniqueAndMult-EM.mtx",
                    "features.tsv",
                    "barcodes.tsv",
                ],
                any,
                ["matrix.mtx", "features.tsv", "barcodes.tsv"],
            ),
            (
                &[
                    "E-1.counts.mtx.gz",
                    "E-1.counts.mtx_rows.gz",
                    "E-1.counts.mtx_cols.gz",
                ],
                any,
                [
                    "E-1.counts.mtx.gz",
                    "E-1.counts.mtx_rows.gz",
                    "E-1.counts.mtx_cols.gz",
                ],
            ),
            // Names that begin alike are those of different samples.
            (
                &[
                    "GSM1_genes.tsv",
                    "GSM1_barcodes.tsv",
                    "GSM1_matrix.mtx",
                    "GSM10_matrix.mtx",
                    "GSM10_genes.tsv",
                    "GSM10_barcodes.tsv",
                ],
                prefix("GSM10_"),
                ["GSM10_matrix.mtx", "GSM10_genes.tsv", "GSM10_barcodes.tsv"],
            ),
            // What a Mac leaves.
            (
                &[
                    "._a_matrix.mtx",
                    "a_matrix.mtx",
                    "a_genes.tsv",
                    "a_barcodes.tsv",
                    "._a_genes.tsv",
                ],
                any,
                ["a_matrix.mtx", "a_genes.tsv", "a_barcodes.tsv"],
            ),
            (
                &["counts.mtx", "genes.txt", "cells.txt"],
                any,
                ["counts.mtx", "genes.txt", "cells.txt"],
            ),
        ] {
            assert_eq!(located(files, choice).unwrap(), expected, "{files:?}");
        }
    }

    #[test]
    fn folders_of_runs_are_searched() {
        let sample = |folder: &str| -> Vec<String> {
            ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"]
                .map(|file| format!("{folder}/{file}"))
                .to_vec()
        };
        for (folders, expected) in [
            (&["hg19"][..], "hg19"),
            (
                &[
                    "outs/filtered_feature_bc_matrix",
                    "outs/raw_feature_bc_matrix",
                ],
                "outs/filtered_feature_bc_matrix",
            ),
            (
                &[
                    "filtered_gene_bc_matrices/hg19",
                    "raw_gene_bc_matrices/hg19",
                ],
                "filtered_gene_bc_matrices/hg19",
            ),
            (
                &[
                    "outs/per_sample_outs/a/count/sample_filtered_feature_bc_matrix",
                    "outs/multi/count/raw_feature_bc_matrix",
                    "SC_MULTI_CS/x",
                ],
                "outs/per_sample_outs/a/count/sample_filtered_feature_bc_matrix",
            ),
            (&["Gene/filtered", "Gene/raw"], "Gene/filtered"),
        ] {
            let files: Vec<String> = folders.iter().flat_map(|folder| sample(folder)).collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let [matrix, ..] = located(&files, Choice::default()).unwrap();
            assert_eq!(matrix, format!("{expected}/matrix.mtx.gz"));
        }
        let several = ["a", "b"].map(|name| {
            format!("outs/per_sample_outs/{name}/count/sample_filtered_feature_bc_matrix")
        });
        let files: Vec<String> = several.iter().flat_map(|folder| sample(folder)).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let message = located(&files, Choice::default()).unwrap_err().to_string();
        assert!(message.contains("give one of: "), "{message}");
        assert!(message.contains(&several[1]), "{message}");
    }

    #[test]
    fn several_samples_and_matrices_are_named() {
        for (files, expected) in [
            (
                &["a_matrix.mtx", "b_matrix.mtx"][..],
                "choose one with `MtxOptions::with_prefix`: a_, b_",
            ),
            (
                &["matrix_a.mtx", "matrix_b.mtx"],
                "choose one with `MtxOptions::with_prefix`: _a, _b",
            ),
            (
                &["spliced.mtx", "unspliced.mtx", "ambiguous.mtx.gz"],
                "choose one with `MtxOptions::with_matrix`: ambiguous, spliced, unspliced",
            ),
            (&["notes.md"], "the folder has no matrix file"),
            (&["notes.md"], "it holds notes.md"),
            (&["cells.h5"], "give such a file by its own name"),
            (&["matrix.mtx"], "no features file beside matrix.mtx"),
            (
                &["matrix.mtx", "genes.tsv"],
                "expected one of barcodes.tsv.gz",
            ),
        ] {
            let message = located(files, Choice::default()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let many: Vec<String> = (0..500)
            .map(|sample| format!("s{sample}_matrix.mtx"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let message = located(&many, Choice::default()).unwrap_err().to_string();
        assert!(message.contains("and 480 more"), "{message}");
        assert!(matches!(
            Sample::locate(Path::new("/nowhere/at/all"), Choice::default()),
            Err(Error::Io { .. })
        ));
    }
}
