//! The library speaks of its functions; whoever uses this program knows its options.

/// A message of the library in the words of the command line.
pub fn in_options(message: String) -> String {
    IN_OPTIONS
        .iter()
        .fold(message, |text, (from, to)| text.replace(from, to))
}

/// Advice of the library, and the same in options of this program.
const IN_OPTIONS: &[(&str, &str)] = &[
    (
        "(in AnnData often a layer or `raw`), or allow fractional values explicitly for estimated \
         counts",
        "(in AnnData often a layer or `raw`: --layer NAME, --raw), or accept estimated counts with \
         --allow-fractional",
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
    ("`MtxOptions::with_feature_type`", "--feature-type"),
    (
        "`MtxOptions::with_all_feature_types(true)`",
        "--feature-type all",
    ),
    ("`MtxOptions::with_prefix`", "--prefix"),
    ("`H5adResults::with_overwrite(true)`", "--overwrite"),
    ("choose another name,", "choose another with --key,"),
    (
        "or read it into memory with `H5adOptions::read`",
        "or leave --on-disk out",
    ),
    (
        "project with `view::projection::pca` instead",
        "use --projection pca instead",
    ),
];
