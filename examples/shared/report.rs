//! Prints what a fit found.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use crate::labels::KnownTypes;

/// A table wider than this many clusters would not fit a terminal.
const WIDEST_TABLE: usize = 20;

/// Prints clusters, how training ended and, when types are known, the agreement with them.
pub fn print_summary<H: ReconstructionHead>(
    fit: &Fit<H>,
    types: Option<&KnownTypes>,
) -> Result<()> {
    let (clusters, status) = (fit.clusters(), fit.status());
    let sizes: Vec<String> = clusters.sizes().iter().map(usize::to_string).collect();
    println!(
        "  clusters      {} with {} cells",
        clusters.count(),
        sizes.join(", ")
    );
    let ending = match status.stop_reason {
        StopReason::LabelsStable { changed } => {
            format!("converged ({:.2} % of labels changed)", 100.0 * changed)
        }
        StopReason::MaximumEpochs { changed } => format!(
            "not converged ({:.2} % of labels changed), more epochs may help",
            100.0 * changed
        ),
        _ => "ended".to_string(),
    };
    println!(
        "  training      {} + {} epochs, {ending}",
        status.pretraining_epochs, status.self_training_epochs
    );
    for warning in &status.warnings {
        println!("  warning       {warning}");
    }
    if let Some(types) = types {
        println!(
            "  agreement     {}   at the start {}",
            types.agreement(clusters.labels())?,
            types.agreement(fit.initial_labels())?
        );
    }
    Ok(())
}

/// Prints how many cells of every known type each cluster holds, unless there are too many
/// clusters.
pub fn print_table(types: &KnownTypes, clusters: &Assignment) {
    if clusters.count() > WIDEST_TABLE {
        return;
    }
    let row = |name: &str, numbers: &[usize]| {
        let numbers: Vec<String> = numbers
            .iter()
            .map(|number| match number {
                0 => "   ·".to_string(),
                _ => format!("{number:>4}"),
            })
            .collect();
        println!("  {name:<30} {}", numbers.join(" "));
    };
    let header: Vec<String> = (0..clusters.count())
        .map(|cluster| format!("{cluster:>4}"))
        .collect();
    println!(
        "\n  {:<30} {}",
        "cells of type in cluster",
        header.join(" ")
    );
    for (name, counts) in by_cluster(types, clusters) {
        row(name, &counts);
    }
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
