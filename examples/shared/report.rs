//! Prints what a fit found.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use crate::labels::KnownTypes;

/// A table wider than this many clusters would not fit a terminal.
const WIDEST_TABLE: usize = 20;

/// Prints status, cluster sizes and, when types are known, agreement and a table of types by
/// cluster.
pub fn print<H: ReconstructionHead>(fit: &Fit<H>, types: Option<&KnownTypes>) -> Result<()> {
    let (clusters, status) = (fit.clusters(), fit.status());
    let ending = match status.stop_reason {
        StopReason::LabelsStable { changed } => {
            format!(
                "converged, {:.2} % of labels changed at last",
                100.0 * changed
            )
        }
        StopReason::MaximumEpochs { changed } => format!(
            "not converged, {:.2} % of labels changed at last; more epochs may help",
            100.0 * changed
        ),
        _ => "ended".to_string(),
    };
    println!(
        "  {} clusters, {} + {} epochs, {ending}",
        clusters.count(),
        status.pretraining_epochs,
        status.self_training_epochs
    );
    for warning in &status.warnings {
        println!("  warning: {warning}");
    }
    let Some(types) = types else {
        print_sizes(clusters);
        return Ok(());
    };
    println!(
        "  agreement with {} known types:  {}  (at the start: {})",
        types.count(),
        types.agreement(clusters.labels())?,
        types.agreement(fit.initial_labels())?
    );
    if clusters.count() <= WIDEST_TABLE {
        print_table(types, clusters);
    } else {
        print_sizes(clusters);
    }
    Ok(())
}

fn print_sizes(clusters: &Assignment) {
    let sizes: Vec<String> = clusters.sizes().iter().map(usize::to_string).collect();
    println!("  cells in clusters 0, 1, …: {}", sizes.join(", "));
}

fn print_table(types: &KnownTypes, clusters: &Assignment) {
    let row = |name: &str, numbers: Vec<usize>, zero: &str| {
        let numbers: Vec<String> = numbers
            .into_iter()
            .map(|number| match number {
                0 => format!("{zero:>4}"),
                _ => format!("{number:>4}"),
            })
            .collect();
        println!("    {name:<30} {}", numbers.join(" "));
    };
    println!();
    row("cluster", (0..clusters.count()).collect(), "0");
    for (name, counts) in by_cluster(types, clusters) {
        row(name, counts, "·");
    }
    row("all cells", clusters.sizes(), "0");
}

/// Cells of every type `(name, cells in every cluster)`, the most frequent type first.
fn by_cluster<'a>(types: &'a KnownTypes, clusters: &Assignment) -> Vec<(&'a str, Vec<usize>)> {
    let mut rows: Vec<(&str, Vec<usize>)> = types
        .names
        .iter()
        .map(|name| (name.as_str(), vec![0; clusters.count()]))
        .collect();
    for &(cell, code) in &types.cells {
        rows[code].1[clusters.labels()[cell]] += 1;
    }
    rows.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<usize>()));
    rows
}
