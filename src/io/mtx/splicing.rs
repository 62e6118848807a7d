//! Counts of a gene by how its molecules were spliced, which alevin-fry keeps in columns of their own.

use crate::counts::CountMatrix;
use crate::error::Result;

/// After the names of genes, of molecules that were not spliced yet, and of such that may be either.
const UNSPLICED: &str = "-U";
const AMBIGUOUS: &str = "-A";

/// How many genes there are of which each has spliced, unspliced and ambiguous counts; nothing for
/// other names.
pub(super) fn genes_in_thirds(names: &[String]) -> Option<usize> {
    let genes = names.len() / 3;
    if genes == 0 || names.len() != 3 * genes {
        return None;
    }
    let (spliced, others) = names.split_at(genes);
    let (unspliced, ambiguous) = others.split_at(genes);
    let are = |names: &[String], ending: &str| {
        names
            .iter()
            .zip(spliced)
            .all(|(name, gene)| name.strip_suffix(ending) == Some(gene))
    };
    (are(unspliced, UNSPLICED) && are(ambiguous, AMBIGUOUS)).then_some(genes)
}

/// Spliced and ambiguous counts together, as they are counted for whole cells.
///
/// # Errors
/// Those of a matrix whose counts are too large to add.
pub(super) fn spliced_and_ambiguous(counts: &CountMatrix, genes: usize) -> Result<CountMatrix> {
    let (first_unspliced, first_ambiguous) = (genes as u32, 2 * genes as u32);
    let mut offsets = vec![0];
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for cell in 0..counts.cells() {
        let (of_cell, counted) = counts.row(cell);
        for (&column, &value) in of_cell.iter().zip(counted) {
            if column < first_unspliced {
                indices.push(column);
            } else if column >= first_ambiguous {
                indices.push(column - first_ambiguous);
            } else {
                continue;
            }
            values.push(value);
        }
        offsets.push(indices.len());
    }
    CountMatrix::from_csr(counts.cells(), genes, offsets, indices, values)?.with_names(
        counts.cell_names().to_vec(),
        counts.gene_names()[..genes].to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn thirds_are_known_by_their_names() {
        let thirds = ["A", "B-A", "A-U", "B-A-U", "A-A", "B-A-A"];
        assert_eq!(genes_in_thirds(&names(&thirds)), Some(2));
        // HLA-A is a gene.
        for others in [
            &["HLA", "HLA-U", "HLA-A", "B"][..],
            &["HLA-A", "HLA-B", "HLA-C"],
            &["A", "A-A", "A-U"],
            &[],
        ] {
            assert_eq!(genes_in_thirds(&names(others)), None, "{others:?}");
        }
    }

    #[test]
    fn unspliced_counts_are_left_out() {
        let counts = array![
            [1.0f32, 0.0, 7.0, 7.0, 2.0, 0.0],
            [0.0, 0.0, 1.0, 0.0, 0.0, 3.0]
        ];
        let counts = CountMatrix::from_dense(counts.view()).unwrap();
        let cells = names(&["x", "y"]);
        let genes = names(&["A", "B", "A-U", "B-U", "A-A", "B-A"]);
        let counts = counts.with_names(cells.clone(), genes).unwrap();
        let summed = spliced_and_ambiguous(&counts, 2).unwrap();
        assert_eq!(summed.to_dense(), array![[3.0, 0.0], [0.0, 3.0]]);
        assert_eq!(summed.gene_names(), names(&["A", "B"]));
        assert_eq!(summed.cell_names(), cells);
    }
}
