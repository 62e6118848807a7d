//! The library speaks of its functions; whoever uses this program knows its options.

/// A message of the library in the words of the command line.
pub fn in_options(message: String) -> String {
    IN_OPTIONS
        .iter()
        .fold(message, |text, (from, to)| text.replace(from, to))
}

/// Names for a message: the first of many.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    let first: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    let mut list = first.join(", ");
    if names.len() > MOST {
        list += &format!(" and {} more", names.len() - MOST);
    }
    list
}

/// Advice of the library, and the same in options of this program.
const IN_OPTIONS: &[(&str, &str)] = &[
    (
        "(in AnnData often a layer or `raw`), or allow fractional values explicitly for estimated \
         counts",
        "(in AnnData often a layer or `raw`: --layer NAME, --raw), or accept estimated counts with \
         --allow-fractional of `celldec cluster`, which its models keep",
    ),
    (
        "lower the filter thresholds, or check that the matrix is cells × genes",
        "check that the matrix is cells × genes (--transposed reads a table of genes × cells)",
    ),
    (
        "give a higher resolution (for example",
        "give a higher resolution (for example --resolution",
    ),
    (
        "or the number of clusters",
        "or the number of clusters (--clusters)",
    ),
    ("`H5adOptions::with_layer(\"", "--layer \""),
    ("\")`", "\""),
    ("`H5adOptions::with_raw()`", "--raw"),
    ("`TenxH5Options::with_genome`", "--genome"),
    ("`TenxH5Options::with_feature_type`", "--feature-type"),
    (
        "`TenxH5Options::with_all_feature_types(true)`",
        "--feature-type all",
    ),
    ("`H5adOptions::with_feature_type`", "--feature-type"),
    (
        "`H5adOptions::with_all_feature_types(true)`",
        "--feature-type all",
    ),
    ("`MtxOptions::with_feature_type`", "--feature-type"),
    (
        "`MtxOptions::with_all_feature_types(true)`",
        "--feature-type all",
    ),
    (
        "`MtxOptions::with_gene_names(GeneNames::Ids)`",
        "--gene-ids",
    ),
    ("`MtxOptions::with_prefix`", "--prefix"),
    ("`MtxOptions::with_matrix`", "--matrix"),
    ("`TableOptions::with_transposed(true)`", "--transposed"),
    (
        "`TableOptions::with_transposed(false)`",
        "--transposed=false",
    ),
    ("`TableOptions::with_header(true)`", "--header"),
    ("`TableOptions::with_header(false)`", "--header=false"),
    ("`TableOptions::with_row_names(true)`", "--row-names"),
    ("`TableOptions::with_row_names(false)`", "--row-names=false"),
    ("`H5adResults::with_overwrite(true)`", "--overwrite"),
    ("choose another name,", "choose another with --key,"),
    (
        "or read it into memory with `H5adOptions::read`",
        "or leave --on-disk out",
    ),
    (
        "read an .h5ad file part by part with `H5adOptions::open`",
        "leave the counts of an .h5ad file on disk with --on-disk",
    ),
    (
        "read counts part by part with `Preprocess::fit_source`",
        "leave the counts on disk with --on-disk",
    ),
    (" (`FittedModel::assign`)", " with `celldec map`"),
    (" (`SmoothedTarget::with_max_cells`)", ""),
    (
        "(use `projection::pca` for fewer)",
        "(--projection pca draws fewer)",
    ),
    (
        "drop them with `with_min_counts_per_cell(1.0)`",
        "remove them from the file",
    ),
    (
        "project with `view::projection::pca` instead",
        "use --projection pca instead",
    ),
];
