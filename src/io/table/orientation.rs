//! Whether the lines of a table are cells or genes.

use std::collections::HashSet;

use crate::io::name_kinds::Kind;
use crate::io::text::shown;

/// What is known of one side of a table.
pub(super) struct Side<'a> {
    pub names: &'a [String],
    /// What a heading says of them.
    pub headed: Option<Kind>,
}

impl Side<'_> {
    fn kind(&self) -> Evidence {
        match (self.headed, Kind::of(self.names)) {
            (Some(heading), Some(names)) if heading != names => Evidence::Contradiction,
            (Some(kind), _) | (None, Some(kind)) => Evidence::Is(kind),
            (None, None) => Evidence::None,
        }
    }

    fn known_share(&self, known: &HashSet<&str>) -> f64 {
        let found = self
            .names
            .iter()
            .filter(|name| known.contains(name.as_str()))
            .count();
        found as f64 / known.len().max(1) as f64
    }

    fn examples(&self) -> String {
        self.names
            .iter()
            .take(2)
            .map(|name| format!("\"{}\"", shown(name.as_bytes())))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Is(Kind),
    None,
    /// The heading says one thing, the names another.
    Contradiction,
}

/// Whether lines are genes and columns cells; `Err` with the reason where that cannot be known.
///
/// `known_genes` are names of genes that the table should hold.
pub(super) fn is_transposed(
    lines: Side<'_>,
    columns: Side<'_>,
    known_genes: &[String],
) -> Result<bool, String> {
    if !known_genes.is_empty() {
        let known: HashSet<&str> = known_genes.iter().map(String::as_str).collect();
        let (of_lines, of_columns) = (lines.known_share(&known), columns.known_share(&known));
        // Genes of a model are many, and cells are not called by their names.
        if of_lines.max(of_columns) >= 0.05 && of_lines.min(of_columns) < 0.01 {
            return Ok(of_lines > of_columns);
        }
    }
    let kinds = (lines.kind(), columns.kind());
    match kinds {
        (Evidence::Is(Kind::Genes), Evidence::Is(Kind::Cells) | Evidence::None)
        | (Evidence::None, Evidence::Is(Kind::Cells)) => return Ok(true),
        (Evidence::Is(Kind::Cells), Evidence::Is(Kind::Genes) | Evidence::None)
        | (Evidence::None, Evidence::Is(Kind::Genes)) => return Ok(false),
        (Evidence::None, Evidence::None) => {
            let symbols = |side: &Side<'_>| Kind::looks_like_symbols(side.names);
            match (symbols(&lines), symbols(&columns)) {
                (true, false) => return Ok(true),
                (false, true) => return Ok(false),
                _ => {}
            }
        }
        _ => {}
    }
    let both = match kinds {
        (Evidence::Is(Kind::Genes), Evidence::Is(Kind::Genes)) => ", both look like genes",
        (Evidence::Is(Kind::Cells), Evidence::Is(Kind::Cells)) => ", both look like cells",
        _ => "",
    };
    Err(format!(
        "are its lines cells or genes? Its {} lines have names such as {}, its {} columns such as \
         {}{both}; say it with `TableOptions::with_transposed(true)` when lines are genes, \
         `TableOptions::with_transposed(false)` when lines are cells",
        lines.names.len(),
        lines.examples(),
        columns.names.len(),
        columns.examples(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        lines: &[&str],
        headed: Option<Kind>,
        columns: &[&str],
        known: &[&str],
    ) -> Result<bool, String> {
        let strings =
            |names: &[&str]| -> Vec<String> { names.iter().map(|name| name.to_string()).collect() };
        let (lines, columns) = (strings(lines), strings(columns));
        is_transposed(
            Side {
                names: &lines,
                headed,
            },
            Side {
                names: &columns,
                headed: None,
            },
            &strings(known),
        )
    }

    #[test]
    fn names_headings_and_known_genes_decide() {
        let (barcodes, genes) = (["ACGTACGTACGT-1", "TTGTACGTACGT-1"], ["CD3E", "LYZ"]);
        let (a, b) = (["a", "b"], ["x", "y"]);
        for (lines, headed, columns, known, expected) in [
            (&barcodes, None, &genes, &[][..], false),
            (&genes, None, &barcodes, &[], true),
            (&a, None, &barcodes, &[], true),
            (&barcodes, None, &a, &[], false),
            (&a, Some(Kind::Genes), &b, &[], true),
            (&a, Some(Kind::Cells), &b, &[], false),
            (&a, None, &b, &["a", "c"], true),
            (&a, None, &b, &["c", "y"], false),
        ] {
            let found = decide(lines, headed, columns, known);
            assert_eq!(found, Ok(expected), "{lines:?} {headed:?} {columns:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_asked() {
        let (barcodes, genes) = (["ACGTACGTACGT-1", "TTGTACGTACGT-1"], ["CD3E", "LYZ"]);
        for (lines, headed, columns, expected) in [
            (
                &["a", "b"],
                None,
                &["x", "y"],
                "names such as \"a\", \"b\", its 2 columns",
            ),
            (&genes, None, &["CD4", "CD8A"], "both look like genes"),
            (&barcodes, None, &barcodes, "both look like cells"),
            (
                &barcodes,
                Some(Kind::Genes),
                &genes,
                "with_transposed(true)",
            ),
        ] {
            let reason = decide(lines, headed, columns, &[]).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
