//! Rows 25 and 26: compressed sparse matrices, by rows and by columns, small and huge.

use std::ops::Range;
use std::sync::Arc;

use celldec::counts::{CountMatrix, CountRows, CountSource};
use ndarray::{Array2, array};

use super::*;

pub fn row_25_rows_are_sorted_summed_or_refused() {
    let counts = CountMatrix::from_csr(
        2,
        3,
        vec![0, 3, 5],
        vec![2, 0, 2, 1, 0],
        vec![4.0, 1.0, 3.0, 5.0, 2.0],
    );
    let expected = array![[1.0, 0.0, 7.0], [2.0, 5.0, 0.0]];
    assert_eq!(counts.unwrap().to_dense(), expected);
    for (what, offsets, indices, values) in [
        (
            "an index out of range",
            vec![0, 1, 2],
            vec![0, 3],
            vec![1.0, 1.0],
        ),
        (
            "offsets that do not start at 0",
            vec![1, 1, 2],
            vec![0, 1],
            vec![1.0, 1.0],
        ),
        (
            "offsets that fall",
            vec![0, 2, 1],
            vec![0, 1],
            vec![1.0, 1.0],
        ),
        (
            "offsets beyond the entries",
            vec![0, 1, 3],
            vec![0, 1],
            vec![1.0, 1.0],
        ),
        (
            "offsets below the entries",
            vec![0, 1, 1],
            vec![0, 1],
            vec![1.0, 1.0],
        ),
        ("too few offsets", vec![0, 2], vec![0, 1], vec![1.0, 1.0]),
        (
            "more indices than values",
            vec![0, 1, 2],
            vec![0, 1],
            vec![1.0],
        ),
        (
            "an offset that no memory has",
            vec![0, 1, usize::MAX],
            vec![0, 1],
            vec![1.0, 1.0],
        ),
    ] {
        let by_cell = CountMatrix::from_csr(2, 3, offsets.clone(), indices.clone(), values.clone());
        assert!(
            matches!(by_cell, Err(Error::InvalidSparse { .. })),
            "{what}"
        );
        let by_gene = CountMatrix::from_csc(3, 2, &offsets, &indices, &values);
        assert!(
            matches!(by_gene, Err(Error::InvalidSparse { .. })),
            "{what}, by genes"
        );
    }
    let inexact = CountMatrix::from_csr(1, 1, vec![0, 3], vec![0; 3], vec![16_777_216.0, 1.0, 1.0]);
    assert_eq!(inexact.unwrap().to_dense(), array![[16_777_218.0]]);
}

pub fn row_26_columns_become_rows() {
    let dense = Array2::from_shape_fn((7, 5), |(cell, gene)| ((cell * 3 + gene * 5) % 4) as f32);
    let (mut offsets, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for column in dense.columns() {
        // Backwards: order within a column is nobody's promise.
        for (cell, &value) in column.iter().enumerate().rev() {
            if value > 0.0 {
                indices.push(cell as u32);
                values.push(value);
            }
        }
        offsets.push(indices.len());
    }
    let counts = CountMatrix::from_csc(7, 5, &offsets, &indices, &values).unwrap();
    assert_eq!(counts, CountMatrix::from_dense(dense.view()).unwrap());
}

/// Far more cells than are in memory: the same block of cells again and again.
#[derive(Debug)]
struct Endless {
    /// The block twice, so that every window of its length is one of the matrix.
    twice: CountMatrix,
    cells: Vec<String>,
}

impl CountSource for Endless {
    fn cell_names(&self) -> &[String] {
        &self.cells
    }

    fn gene_names(&self) -> &[String] {
        self.twice.gene_names()
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        let first = cells.start % self.block();
        self.twice.read_window(first..first + cells.len())
    }

    fn block(&self) -> usize {
        self.twice.cells() / 2
    }
}

/// Positions of entries beyond 2^31 are where numbers of 32 bits would wrap around.
pub fn row_26_more_than_2_to_the_31_entries_are_learned_from() {
    let (block, genes) = (64, 8192);
    let cells = (1usize << 31) / genes + block;
    let dense = Array2::from_shape_fn((block, genes), |(cell, gene)| {
        (1 + (cell * 7 + gene * 3) % 4) as f32
    });
    let twice = ndarray::concatenate![ndarray::Axis(0), dense, dense];
    let source = Endless {
        twice: CountMatrix::from_dense(twice.view()).unwrap(),
        cells: (0..cells).map(|cell| cell.to_string()).collect(),
    };
    let entries = cells * genes;
    assert!(entries > 1 << 31);
    let prepared = Preprocess::scdcc().fit_source(Arc::new(source)).unwrap();
    assert_eq!((prepared.cells(), prepared.genes()), (cells, genes));
    assert_eq!(prepared.stored(), entries);
    // What a block of its cells gives, whichever one it is.
    let few = CountMatrix::from_dense(dense.view()).unwrap();
    let small = Preprocess::scdcc().fit(&few).unwrap();
    let last = cells - 1;
    assert_eq!(
        prepared.size_factors()[last],
        small.size_factors()[last % block]
    );
    let (mut found, mut expected) = (vec![0.0; genes], vec![0.0; genes]);
    prepared.fill_counts(last, &mut found).unwrap();
    small.fill_counts(last % block, &mut expected).unwrap();
    assert_eq!(found, expected);
    prepared.fill_input(last, &mut found).unwrap();
    small.fill_input(last % block, &mut expected).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        // Standard deviations of few and of many cells differ by the factor of n − 1.
        assert!(
            (found - expected).abs() < 0.02 * (1.0 + expected.abs()),
            "{found} {expected}"
        );
    }
}

#[cfg(feature = "h5ad")]
pub fn row_26_every_type_of_index_in_a_file_is_read() {
    use celldec::io::H5adOptions;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5ad/matrices.h5ad");
    let of = |layer: &str| {
        H5adOptions::new()
            .with_layer(layer)
            .read(&path)
            .unwrap()
            .counts
    };
    let plain = H5adOptions::new().read(&path).unwrap().counts;
    assert_eq!(of("csc"), plain);
    // 64-bit row indices, unsigned offsets.
    assert_eq!(of("csc_i64"), plain);
}
