//! Names of cells and genes as files give them.

use std::collections::{HashMap, HashSet};

use crate::counts::CountMatrix;
use crate::error::{Error, Result};

/// Makes repeated names unique by appending "-1", "-2", …; the first occurrence keeps its name and
/// a suffixed name never collides with a name already there (scanpy's `var_names_make_unique`).
pub(super) fn make_unique(names: &mut [String]) {
    let mut seen: HashSet<&str> = HashSet::with_capacity(names.len());
    let repeated: Vec<usize> = names
        .iter()
        .enumerate()
        .filter_map(|(position, name)| (!seen.insert(name)).then_some(position))
        .collect();
    if repeated.is_empty() {
        return;
    }
    let mut suffixes: HashMap<&str, usize> = HashMap::new();
    let mut added: HashSet<String> = HashSet::with_capacity(repeated.len());
    let mut renamed = Vec::with_capacity(repeated.len());
    for position in repeated {
        let name = names[position].as_str();
        let suffix = suffixes.entry(name).or_insert(0);
        loop {
            *suffix += 1;
            let candidate = format!("{name}-{suffix}");
            if !seen.contains(candidate.as_str()) && added.insert(candidate.clone()) {
                renamed.push((position, candidate));
                break;
            }
        }
    }
    for (position, name) in renamed {
        names[position] = name;
    }
}

/// Names the matrix, and the places in the error when there is none; refuses an empty one.
///
/// Repeated gene names are made unique; repeated cell names are only reported, as readers of
/// several concatenated samples rely on them.
pub(super) fn named(
    matrix: Result<CountMatrix>,
    cells: Vec<String>,
    mut genes: Vec<String>,
) -> Result<CountMatrix> {
    check_cell_names(&cells, &genes)?;
    make_unique(&mut genes);
    let matrix = matrix.map_err(|error| error.with_names(&cells, &genes))?;
    matrix.with_names(cells, genes)
}

/// Refuses a matrix without cells or genes, reports cell names that are not unique.
pub(super) fn check_cell_names(cells: &[String], genes: &[String]) -> Result<()> {
    if cells.is_empty() || genes.is_empty() {
        return Err(Error::EmptyMatrix {
            cells: cells.len(),
            genes: genes.len(),
        });
    }
    let mut seen = HashSet::with_capacity(cells.len());
    let repeated = cells.iter().filter(|&name| !seen.insert(name)).count();
    if repeated > 0 {
        tracing::warn!(
            repeated,
            "cell names are not unique; results cannot be joined to cells by name"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes_follow_scanpy() {
        // anndata.utils.make_index_unique(pd.Index(["a", "a", "b", "a", "a-1", "b"]))
        let mut names = ["a", "a", "b", "a", "a-1", "b"].map(String::from);
        make_unique(&mut names);
        assert_eq!(names, ["a", "a-2", "b", "a-3", "a-1", "b-1"]);
    }

    proptest! {
        #[test]
        fn names_become_unique_and_firsts_stay(
            original in prop::collection::vec("[ab](-[12])?", 0..30),
        ) {
            let mut names = original.clone();
            make_unique(&mut names);
            let distinct: HashSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());
            for (position, name) in original.iter().enumerate() {
                if !original[..position].contains(name) {
                    prop_assert_eq!(&names[position], name);
                }
            }
        }
    }
}
