//! `celldec compare`: labels against labels.

mod labels;

use celldec::metrics::encode_labels;
use celldec::prelude::*;
use clap::Args;

use crate::console::Console;
use crate::known::Agreement;
use crate::table::CrossTable;
use labels::Labels;

const EXAMPLES: &str = "\
Examples:
  Clusters and known types:
    celldec compare cell_types.csv output/cluster/labels.csv:cluster

  Three resolutions in an .h5ad file:
    celldec compare cells.h5ad:cell_type cells.h5ad:desc_0.3 cells.h5ad:desc_0.5 cells.h5ad:desc_0.8";

/// Compare labels of cells with other labels of the same cells.
///
/// Labels are FILE:COLUMN, where FILE is an .h5ad file, whose obs has the column, or a table (.csv,
/// .tsv) with a header and cell names in its first column. A table with a single other column needs
/// no :COLUMN. Cells are matched by name.
///
/// Shown are the adjusted Rand index, normalized mutual information, accuracy under the best
/// one-to-one matching of labels, and how many cells have each pair of labels.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Try --help for explanations and examples.",
    after_long_help = EXAMPLES
)]
pub struct CompareArguments {
    /// Labels of cells: FILE or FILE:COLUMN.
    pub labels: String,
    /// Labels to compare with them; several are compared one by one.
    #[arg(required = true)]
    pub other: Vec<String>,
}

/// Reads and compares.
pub fn run(arguments: &CompareArguments, console: &Console) -> Result<()> {
    let first = Labels::read(&arguments.labels)?;
    for (position, other) in arguments.other.iter().enumerate() {
        if position > 0 {
            console.answer("");
        }
        compare(console, &first, &Labels::read(other)?)?;
    }
    Ok(())
}

fn compare(console: &Console, first: &Labels, second: &Labels) -> Result<()> {
    let shared = first.shared_with(second)?;
    console.answer(format_args!("{} and {}", first.source, second.source));
    console.answer(format_args!(
        "  cells         {} in common, {} only in the first, {} only in the second",
        shared.in_common,
        first.len() - shared.in_common,
        second.len() - shared.in_common
    ));
    let unlabelled = shared.in_common - shared.labels.len();
    if unlabelled > 0 {
        console.answer(format_args!(
            "  left out      {unlabelled} of them, which lack a label"
        ));
    }
    let (rows, columns): (Vec<&str>, Vec<&str>) = shared.labels.into_iter().unzip();
    let (row_codes, row_names) = encode(&rows);
    let (column_codes, column_names) = encode(&columns);
    console.answer(format_args!(
        "  labels        {} and {}",
        row_names.len(),
        column_names.len()
    ));
    let agreement = Agreement::between(&row_codes, &column_codes)?;
    for (name, value) in [
        ("adjusted Rand index", agreement.ari),
        ("normalized mutual information", agreement.nmi),
        ("accuracy, labels matched one to one", agreement.accuracy),
    ] {
        console.answer(format_args!("  {name:<36} {value:.3}"));
    }
    let table = CrossTable::new(
        "cells of the first, by the second",
        row_names,
        column_names,
        row_codes.into_iter().zip(column_codes),
    );
    console.answer(format_args!("\n{table}"));
    Ok(())
}

/// Numbers labels in the order in which people list them: cluster 2 comes before cluster 10.
fn encode(labels: &[&str]) -> (Vec<usize>, Vec<String>) {
    let ordered: Vec<(bool, Option<u64>, &str)> = labels
        .iter()
        .map(|&label| {
            let number = label.parse().ok();
            (number.is_none(), number, label)
        })
        .collect();
    let (codes, names) = encode_labels(&ordered);
    let names = names.into_iter().map(|(_, _, name)| name.to_string());
    (codes, names.collect())
}
