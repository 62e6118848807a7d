//! Names of cells and genes as files give them.

use std::collections::{HashMap, HashSet};

use super::text::listed;
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
    check_names(&cells, &genes)?;
    make_unique(&mut genes);
    let matrix = matrix.map_err(|error| error.with_names(&cells, &genes))?;
    matrix.with_names(cells, genes)
}

/// Refuses a matrix without cells or genes, or with counters for genes; reports cell names that are not
/// unique.
pub(super) fn check_names(cells: &[String], genes: &[String]) -> Result<()> {
    if cells.is_empty() || genes.is_empty() {
        return Err(Error::EmptyMatrix {
            cells: cells.len(),
            genes: genes.len(),
        });
    }
    let counters: Vec<&String> = genes.iter().filter(|name| is_counter(name)).collect();
    if !counters.is_empty() {
        return Err(Error::NotGenes {
            names: listed(&counters),
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

/// Whether a name is that of reads without a gene, which programs that count write beside genes.
fn is_counter(name: &str) -> bool {
    /// Of HTSeq, STAR and CITE-seq-Count.
    const COUNTERS: [&str; 10] = [
        "__no_feature",
        "__ambiguous",
        "__too_low_aQual",
        "__not_aligned",
        "__alignment_not_unique",
        "N_unmapped",
        "N_multimapping",
        "N_noFeature",
        "N_ambiguous",
        "unmapped",
    ];
    const OF_FEATURE_COUNTS: &str = "Unassigned_";
    COUNTERS.contains(&name) || name.starts_with(OF_FEATURE_COUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_reads_are_no_genes() {
        let cells = ["a", "b"].map(String::from);
        let check = |genes: &[&str]| {
            let genes: Vec<String> = genes.iter().map(|gene| gene.to_string()).collect();
            check_names(&cells, &genes)
        };
        for counter in [
            "__no_feature",
            "N_multimapping",
            "unmapped",
            "Unassigned_NoFeatures",
        ] {
            let message = check(&["LYZ", counter, "CD3E"]).unwrap_err().to_string();
            assert!(
                message.contains(&format!("them: {counter}; remove")),
                "{message}"
            );
        }
        assert!(check(&["LYZ", "UNC93B1", "N4BP1"]).is_ok());
    }
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
