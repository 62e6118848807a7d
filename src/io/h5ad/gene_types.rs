//! Types of the features of an AnnData file: genes beside antibodies or peaks.

use super::frame;
use crate::error::{Error, Result};
use crate::io::features::{FeatureTypes, is_feature_type};
use crate::io::hdf5::Store;

/// Where scanpy and muon keep the types of 10x files.
const COLUMN: &str = "feature_types";
/// Types that others write there, such as the data sets of Open Problems.
const SHORT: [&str; 6] = ["GEX", "ATAC", "ADT", "RNA", "Protein", "Peak"];

/// Positions of the features that are wanted, given the frame that describes them; `None` for all.
///
/// Unless a type is asked for, features of one type are what they are, and a column that holds no
/// types of assays, such as one of biotypes, says nothing of them.
pub(super) fn select(
    store: &Store,
    frame_at: &str,
    features: usize,
    wanted: &FeatureTypes,
) -> Result<Option<Vec<usize>>> {
    if *wanted == FeatureTypes::All {
        return Ok(None);
    }
    let is_asked = matches!(wanted, FeatureTypes::Only(_));
    let types = match frame::read_other_names(store, frame_at, COLUMN) {
        Err(Error::Format { reason, .. }) if !is_asked => {
            tracing::warn!(reason, "the types of features cannot be read; all are kept");
            None
        }
        types => types?,
    };
    let Some(types) = types else {
        if is_asked {
            let reason = format!("has no column \"{COLUMN}\"; leave the type of features out");
            return Err(store.error(frame_at, reason));
        }
        return Ok(None);
    };
    let at = format!("{frame_at}/{COLUMN}");
    if types.len() != features {
        let reason = format!("has {} values, expected {features}", types.len());
        return Err(store.error(&at, reason));
    }
    let is_type = |text: &String| is_feature_type(text) || SHORT.contains(&text.as_str());
    let differ = types.windows(2).any(|two| two[0] != two[1]);
    let are_several = differ && types.iter().any(is_type);
    if !is_asked && !are_several {
        return Ok(None);
    }
    store.within(&at, store.budget().allow(FeatureTypes::memory(features)))?;
    let typed = types
        .iter()
        .map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
    let kept = wanted
        .select(typed, "H5adOptions")
        .map_err(|reason| store.error(&at, reason))?;
    Ok((kept.len() < features).then_some(kept))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hdf5_pure::{File, FileCreateProperties};
    use ndarray::{Array2, array};

    use crate::counts::{CountMatrix, CountSource};
    use crate::io::annotations::Annotation;
    use crate::io::atomic::replace_atomically;
    use crate::io::h5ad::encode::{Part, without_lock};
    use crate::io::h5ad::{CellResults, H5adOptions, H5adResults};

    /// Two cells and three features, of these types.
    fn write(path: &Path, types: [Option<&str>; 3]) {
        let counts = CountMatrix::from_dense(array![[1.0, 0.0, 7.0], [0.0, 2.0, 9.0]].view());
        let types = types.map(|text| text.map(str::to_string)).to_vec();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        replace_atomically(path, |temporary| {
            let properties = FileCreateProperties::new();
            let access = without_lock(temporary);
            let file = File::create_with_options(temporary.path(), properties, access).unwrap();
            let root = Part::root(&file, path);
            root.counts("X", &counts?)?;
            root.frame("obs", &names(&["a", "b"]))?.set_columns(&[])?;
            let var = root.frame("var", &names(&["LYZ", "CD3", "CD3"]))?;
            var.annotation("feature_types", &Annotation::Strings(types))?;
            var.set_columns(&["feature_types".to_string()])?;
            for name in ["layers", "obsm", "uns"] {
                root.dictionary(name)?;
            }
            file.commit().unwrap();
            file.close().unwrap();
            Ok(())
        })
        .unwrap();
    }

    /// Names and values, the same in memory and on disk.
    fn read(path: &Path, options: &H5adOptions) -> (Vec<String>, Array2<f32>) {
        let counts = options.read(path).unwrap().counts;
        let source = options.open(path).unwrap();
        assert_eq!(source.gene_names(), counts.gene_names());
        let rows = source.read_window(0..2).unwrap();
        assert_eq!(rows.genes(), counts.genes());
        for cell in 0..2 {
            assert_eq!(rows.row(cell), counts.row(cell));
        }
        (counts.gene_names().to_vec(), counts.to_dense())
    }

    const BOTH: [Option<&str>; 3] = [
        Some("Gene Expression"),
        Some("Gene Expression"),
        Some("Antibody Capture"),
    ];

    #[test]
    fn gene_expression_is_kept_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        write(&path, BOTH);
        let genes = (
            vec!["LYZ".into(), "CD3".into()],
            array![[1.0, 0.0], [0.0, 2.0]],
        );
        assert_eq!(read(&path, &H5adOptions::new()), genes);
        let antibodies = H5adOptions::new().with_feature_type("Antibody Capture");
        assert_eq!(
            read(&path, &antibodies),
            (vec!["CD3-1".into()], array![[7.0], [9.0]])
        );
        let all = H5adOptions::new().with_all_feature_types(true);
        assert_eq!(read(&path, &all).0, ["LYZ", "CD3", "CD3-1"]);
        let peaks = H5adOptions::new().with_feature_type("Peaks");
        let message = peaks.read(&path).unwrap_err().to_string();
        assert!(
            message.contains("there are: \"Antibody Capture\" (1)"),
            "{message}"
        );
        assert_eq!(peaks.open(&path).unwrap_err().to_string(), message);
        // Features that no type is known of are genes, as in other files.
        write(&path, [None, Some("Peaks"), Some("Peaks")]);
        assert_eq!(read(&path, &H5adOptions::new()).0, ["LYZ"]);
    }

    #[test]
    fn other_features_are_never_taken_for_genes_of_several_types() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        write(&path, [Some("GEX"), Some("GEX"), Some("ATAC")]);
        let message = H5adOptions::new().read(&path).unwrap_err().to_string();
        assert!(
            message.contains("there are: \"ATAC\" (1), \"GEX\" (2)"),
            "{message}"
        );
        assert!(
            message.contains("`H5adOptions::with_feature_type`"),
            "{message}"
        );
        let genes = H5adOptions::new().with_feature_type("GEX");
        assert_eq!(read(&path, &genes).0, ["LYZ", "CD3"]);
        // Of one type, or of what are no types of assays, all are kept.
        for types in [
            ["Antibody Capture"; 3],
            ["lncRNA", "protein_coding", "lncRNA"],
        ] {
            write(&path, types.map(Some));
            assert_eq!(read(&path, &H5adOptions::new()).0.len(), 3);
        }
    }

    #[test]
    fn results_of_the_genes_fit_beside_other_features() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        write(&path, BOTH);
        let genes = read(&path, &H5adOptions::new()).0;
        let results = CellResults::new(vec![0, 1]).with_denoised(Array2::ones((2, 2)), genes);
        let layer = H5adResults::new().with("found", results.clone());
        let message = layer.write(&path, &path).unwrap_err().to_string();
        assert!(
            message.contains("a layer has to hold all 3 genes"),
            "{message}"
        );
        let keys = crate::io::ResultKeys::new("found").with_denoised_in_obsm(true);
        let beside = H5adResults::new().with(keys, results);
        beside.write(&path, &path).unwrap();
        let all = H5adOptions::new().with_all_feature_types(true);
        let data = all.read(&path).unwrap();
        assert_eq!(data.counts.genes(), 3);
        assert_eq!(data.cell_annotations.get("found").unwrap().len(), 2);
    }
}
