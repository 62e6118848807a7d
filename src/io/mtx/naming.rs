//! What the name of a file says: which sample it is of, and what it holds.

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
pub(super) enum Role {
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

/// A name without `.gz` after it; `None` when it does not end so.
fn before_gz(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(3)?;
    let is_gz = name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(".gz");
    is_gz.then(|| &name[..at])
}

/// Whether a file is compressed, by its name.
pub(super) fn is_gz(name: &str) -> bool {
    before_gz(name).is_some()
}

/// A name without one of some endings, and without `.gz` after it; `None` when it has none of them.
pub(super) fn stem<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let name = before_gz(name).unwrap_or(name);
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
pub(super) struct Matrix<'a> {
    pub file: &'a str,
    pub stem: &'a str,
    pub word: &'a str,
    pub before: &'a str,
    after: &'a str,
    /// Whether its name says that it is the one that people mean.
    pub is_usual: bool,
    pub cells_first: bool,
}

impl<'a> Matrix<'a> {
    pub fn of(file: &'a str) -> Option<Self> {
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
    pub fn sample(&self) -> &'a str {
        if self.before.is_empty() {
            self.after
        } else {
            self.before
        }
    }

    pub fn is_of(&self, prefix: &str) -> bool {
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
    pub fn nearness(&self, file: &NameFile<'_>) -> Option<u8> {
        if (file.before, file.after) == (self.before, self.after) {
            return Some(0);
        }
        let whole = file.before.strip_suffix(DIVIDING).unwrap_or_default();
        if file.after.is_empty() && (whole == self.stem || file.before == self.stem) {
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
pub(super) struct NameFile<'a> {
    pub file: &'a str,
    pub role: Role,
    before: &'a str,
    after: &'a str,
    /// Which of several of one sample is read; less goes first.
    pub rank: usize,
}

impl<'a> NameFile<'a> {
    pub fn of(file: &'a str) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_files_may_have_any_letters() {
        let matrix = Matrix::of("matrix.mtx").unwrap();
        let nearness = |file: &str| matrix.nearness(&NameFile::of(file).unwrap());
        assert_eq!(nearness("café.mtx_rows"), None);
        assert_eq!(nearness("matrix.mtx_rows"), Some(1));
        assert_eq!(nearness("matrix_.mtx_rows"), Some(1));
        // Another matrix, whose name is longer by a sign.
        assert_eq!(nearness("matrix2.mtx_rows"), None);
        assert_eq!(nearness("matrixé.mtx_rows"), None);
    }

    proptest! {
        #[test]
        fn no_name_of_a_file_ends_the_program(
            names in prop::collection::vec("\\PC{0,3}[aé_.-]?", 4),
            (matrix, file) in (
                prop::sample::select(vec!["matrix", "DGE", "spliced", ""]),
                prop::sample::select(vec![
                    "genes", "barcodes", "features", "genes.names", "cells", "",
                ]),
            ),
            ending in prop::sample::select(vec![".tsv", ".csv.gz", ".mtx_rows", ".MTX_cols.gz"]),
        ) {
            let matrix = format!("{}{matrix}{}.mtx", names[0], names[1]);
            let file = format!("{}{file}{}{ending}", names[2], names[3]);
            if let (Some(matrix), Some(file)) = (Matrix::of(&matrix), NameFile::of(&file)) {
                matrix.nearness(&file);
            }
        }
    }
}
