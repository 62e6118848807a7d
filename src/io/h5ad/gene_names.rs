//! Which names of genes a file has in common with others, such as those of a model.

use std::collections::{HashMap, HashSet};

use super::frame;
use crate::error::Result;
use crate::io::budget::bytes_of;
use crate::io::hdf5::Store;
use crate::io::name_kinds::are_swapped;
use crate::io::text::{listed, shown};

/// Where names of genes lie besides the index of `var`, in the order in which they are tried.
const COLUMNS: [&str; 16] = [
    "feature_name",
    "gene_symbols",
    "gene_symbol",
    "gene_names",
    "gene_name",
    "symbol",
    "Symbol",
    "SYMBOL",
    "hgnc_symbol",
    "gene_short_name",
    "gene_ids",
    "gene_id",
    "ensembl_id",
    "ensembl_ids",
    "feature_id",
    "ID",
];
/// Names of an index that has so many hundredths in common are not replaced.
const ENOUGH_PERCENT: usize = 80;

/// How genes are to be named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum GeneNaming {
    /// By the index of `var`.
    #[default]
    Index,
    /// By a column of `var`.
    Column(String),
    /// By what has most names in common with these.
    Like(Vec<String>),
}

/// The frame of the genes of X, where names of those of `raw` may lie, too.
const OF_X: &str = "/var";

/// The names of the genes of a frame.
pub(super) fn read(store: &Store, frame_at: &str, naming: &GeneNaming) -> Result<Vec<String>> {
    let index = frame::read_index(store, frame_at)?;
    match naming {
        GeneNaming::Index => Ok(index),
        GeneNaming::Column(column) => {
            let names = by_column(store, frame_at, column, &index)?;
            names.ok_or_else(|| {
                let columns = |at| frame::names_of_columns(store, at).unwrap_or_default();
                let mut there = columns(frame_at);
                there.extend(columns(OF_X));
                there.sort_unstable();
                there.dedup();
                let there = listed(&there);
                store.error(
                    frame_at,
                    format!("no column \"{column}\"; there are: {there}"),
                )
            })
        }
        GeneNaming::Like(wanted) => most_alike(store, frame_at, index, wanted),
    }
}

/// Refuses a matrix of genes × cells, as names of both sides say it.
pub(super) fn check_sides(
    store: &Store,
    frame_at: &str,
    cells: &[String],
    genes: &[String],
) -> Result<()> {
    if !are_swapped(cells, genes) {
        return Ok(());
    }
    let first = |names: &[String]| shown(names.first().map_or("", String::as_str).as_bytes());
    Err(store.error(
        frame_at,
        format!(
            "genes have names of cells, such as \"{}\", and cells those of genes, such as \"{}\": the \
             file is genes × cells; turn it in Python with `adata = adata.T`",
            first(genes),
            first(cells)
        ),
    ))
}

/// The names in a column of a frame, or in that of the genes of X where those are the same genes.
fn by_column(
    store: &Store,
    frame_at: &str,
    column: &str,
    index: &[String],
) -> Result<Option<Vec<String>>> {
    let names = frame::read_other_names(store, frame_at, column)?;
    if names.is_some() || frame_at == OF_X || !store.exists(OF_X)? {
        return Ok(names);
    }
    let Some(names) = frame::read_other_names(store, OF_X, column)? else {
        return Ok(None);
    };
    let names_of: HashMap<String, String> = frame::read_index(store, OF_X)?
        .into_iter()
        .zip(names)
        .collect();
    let text: usize = names_of.values().map(String::len).sum();
    let memory = bytes_of::<(String, u64)>(2 * index.len()) + text as u64;
    store.within(OF_X, store.budget().take(memory))?;
    let name = |gene: &String| names_of.get(gene).unwrap_or(gene).clone();
    Ok(Some(index.iter().map(name).collect()))
}

fn most_alike(
    store: &Store,
    frame_at: &str,
    index: Vec<String>,
    wanted: &[String],
) -> Result<Vec<String>> {
    let wanted = Wanted::new(wanted);
    let mut best = wanted.matched(index.clone());
    if wanted.is_enough(best.found) {
        return Ok(best.names);
    }
    for column in COLUMNS {
        // A column that cannot be read as names is none.
        let Ok(Some(names)) = by_column(store, frame_at, column, &index) else {
            continue;
        };
        let matched = wanted.matched(names);
        if matched.found > best.found {
            tracing::info!(
                column,
                found = matched.found,
                "genes are named by a column of var"
            );
            best = matched;
        }
    }
    Ok(best.names)
}

struct Wanted<'a> {
    names: HashSet<&'a str>,
    /// Identifiers without their version; `None` where several are the same.
    by_identifier: HashMap<&'a str, Option<&'a str>>,
}

struct Matched {
    names: Vec<String>,
    /// How many of the wanted names are among them.
    found: usize,
}

impl<'a> Wanted<'a> {
    fn new(names: &'a [String]) -> Self {
        let mut by_identifier: HashMap<&str, Option<&str>> = HashMap::new();
        for name in names {
            by_identifier
                .entry(without_version(name))
                .and_modify(|known| *known = None)
                .or_insert(Some(name.as_str()));
        }
        Self {
            names: names.iter().map(String::as_str).collect(),
            by_identifier,
        }
    }

    fn is_enough(&self, found: usize) -> bool {
        found * 100 >= self.names.len() * ENOUGH_PERCENT
    }

    fn count(&self, names: &[String]) -> usize {
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        self.names.intersection(&known).count()
    }

    /// The names, with the versions of identifiers that the wanted ones have where that makes more
    /// of them known.
    fn matched(&self, names: Vec<String>) -> Matched {
        let found = self.count(&names);
        if self.is_enough(found) {
            return Matched { names, found };
        }
        let mut seen = HashSet::new();
        let alike: Vec<String> = names
            .iter()
            .map(|name| match self.by_identifier.get(without_version(name)) {
                Some(Some(wanted)) if seen.insert(*wanted) => wanted.to_string(),
                _ => name.clone(),
            })
            .collect();
        let found_alike = self.count(&alike);
        if found_alike > found {
            return Matched {
                names: alike,
                found: found_alike,
            };
        }
        Matched { names, found }
    }
}

/// An identifier of Ensembl without its version: "ENSG00000167286.10" is "ENSG00000167286".
fn without_version(name: &str) -> &str {
    match name.split_once('.') {
        Some((identifier, version))
            if identifier.starts_with("ENS")
                && identifier.ends_with(|last: char| last.is_ascii_digit())
                && !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            identifier
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn only_versions_of_identifiers_are_cut() {
        assert_eq!(without_version("ENSG00000167286.10"), "ENSG00000167286");
        for whole in ["RP11-34P13.7", "ENSG1.x", "ENSG1.", "ENSG.1", "CD3D"] {
            assert_eq!(without_version(whole), whole);
        }
    }

    #[test]
    fn versions_follow_those_that_are_wanted() {
        let wanted = owned(&["ENSG1.5", "ENSG2.1", "ENSG3.2"]);
        let matched = Wanted::new(&wanted).matched(owned(&["ENSG1", "ENSG2.9", "ENSG4", "CD3D"]));
        assert_eq!(matched.names, ["ENSG1.5", "ENSG2.1", "ENSG4", "CD3D"]);
        assert_eq!(matched.found, 2);
        // Where two differ in nothing else, neither is meant; a name is given once.
        let wanted = owned(&["ENSG1.5", "ENSG1.6", "ENSG2.1"]);
        let names = owned(&["ENSG1", "ENSG2.3", "ENSG2.4"]);
        let matched = Wanted::new(&wanted).matched(names);
        assert_eq!(matched.names, ["ENSG1", "ENSG2.1", "ENSG2.4"]);
    }
}
