//! Marker genes as a table.

use std::path::Path;

use super::{ClusterMarkers, MarkerGene};
use crate::error::Result;
use crate::io::write_columns_csv;

/// Writes marker genes as comma-separated values, one line for each cluster and gene, compressed
/// when the path ends in `.gz`: cluster, gene, score, p_value, adjusted_p_value,
/// log2_fold_change, fraction_in, fraction_out. Numbers are written so that reading them gives the
/// same bits.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when the file cannot be written; an existing file stays as it
/// was.
pub fn write_markers_csv(path: impl AsRef<Path>, markers: &[ClusterMarkers]) -> Result<()> {
    let rows = || {
        markers
            .iter()
            .flat_map(|found| found.genes.iter().map(move |gene| (found.cluster, gene)))
    };
    let cluster: Vec<String> = rows().map(|(cluster, _)| cluster.to_string()).collect();
    let gene: Vec<String> = rows().map(|(_, gene)| gene.name.clone()).collect();
    // Debug turns to exponents for extreme numbers, Display would write 300 zeros.
    let numbers = |value: fn(&MarkerGene) -> f64| -> Vec<String> {
        rows()
            .map(|(_, gene)| format!("{:?}", value(gene)))
            .collect()
    };
    write_columns_csv(
        path,
        &[
            ("cluster", &cluster),
            ("gene", &gene),
            ("score", &numbers(|gene| gene.score)),
            ("p_value", &numbers(|gene| gene.p_value)),
            ("adjusted_p_value", &numbers(|gene| gene.adjusted_p_value)),
            ("log2_fold_change", &numbers(|gene| gene.log2_fold_change)),
            ("fraction_in", &numbers(|gene| gene.fraction_in)),
            ("fraction_out", &numbers(|gene| gene.fraction_out)),
        ],
    )
}
