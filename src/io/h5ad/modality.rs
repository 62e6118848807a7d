//! MuData files (`.h5mu`): several AnnData objects in one, of which the one of genes is read.

use std::path::Path;

use super::frame;
use crate::error::Result;
use crate::io::hdf5::Store;
use crate::io::text::listed;

const MODALITIES: &str = "/mod";
/// What the modality of gene expression is called.
const USUAL: [&str; 4] = ["rna", "gex", "gene expression", "gene_expression"];

/// Opens a file; of several modalities, what is read from then on is gene expression.
pub(super) fn open(path: &Path, open: impl FnOnce(&Path) -> Result<Store>) -> Result<Store> {
    let store = open(path)?;
    if store.exists("/X")? || !store.is_group(MODALITIES)? {
        return Ok(store);
    }
    let there = store.groups(MODALITIES)?;
    let usual = USUAL
        .iter()
        .find_map(|usual| there.iter().find(|name| name.eq_ignore_ascii_case(usual)));
    let found = match (usual, &there[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        _ => there
            .iter()
            .find(|name| holds_genes(&store, name))
            .ok_or_else(|| {
                store.error(
                    MODALITIES,
                    format!(
                        "none of the modalities is called rna or holds features of the type \
                         \"Gene Expression\"; there are: {}",
                        listed(&there)
                    ),
                )
            })?,
    };
    let root = format!("{MODALITIES}/{found}");
    Ok(store.within_group(root))
}

fn holds_genes(store: &Store, modality: &str) -> bool {
    let var = format!("{MODALITIES}/{modality}/var");
    ["feature_types", "feature_type"].iter().any(|column| {
        let types = frame::read_other_names(store, &var, column);
        types.is_ok_and(|types| {
            types.is_some_and(|types| types.iter().any(|t| t == "Gene Expression"))
        })
    })
}
