use ndarray::Array2;
use proptest::prelude::*;

use super::*;
use crate::error::Place;

/// A matrix that is read in windows of another size than its own.
#[derive(Debug)]
struct InBlocks {
    counts: CountMatrix,
    block: usize,
}

impl CountSource for InBlocks {
    fn cell_names(&self) -> &[String] {
        self.counts.cell_names()
    }

    fn gene_names(&self) -> &[String] {
        self.counts.gene_names()
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        self.counts.read_window(cells)
    }

    fn block(&self) -> usize {
        self.block
    }
}

fn counts(cells: usize, genes: usize, seed: usize) -> CountMatrix {
    let dense = Array2::from_shape_fn((cells, genes), |(cell, gene)| {
        let draw = (cell * 7919 + gene * 104_729 + seed * 31) % 101;
        if draw < 40 { draw as f32 } else { 0.0 }
    });
    CountMatrix::from_dense(dense.view()).unwrap()
}

proptest! {
    #[test]
    fn rows_are_those_of_the_matrix_whatever_the_block(
        cells in 1usize..60,
        genes in 1usize..6,
        seed in 0usize..100,
        block in 1usize..70,
        picks in prop::collection::vec(0usize..1000, 0..40),
    ) {
        let counts = counts(cells, genes, seed);
        let source = InBlocks { counts: counts.clone(), block };
        let picks: Vec<usize> = picks.into_iter().map(|pick| pick % cells).collect();

        let rows = source.read_cells(&picks).unwrap();
        prop_assert_eq!(rows.cells(), picks.len());
        for (row, &cell) in picks.iter().enumerate() {
            prop_assert_eq!(rows.row(row), counts.row(cell));
        }

        let start = picks.first().copied().unwrap_or(0);
        let window = source.read_window(start..cells).unwrap();
        for cell in start..cells {
            prop_assert_eq!(window.row(cell - start), counts.row(cell));
        }

        let mut rising = picks;
        rising.sort_unstable();
        rising.dedup();
        let (mut one, mut ahead) = (Vec::new(), Vec::new());
        visit_cells(&source, &rising, |cell, genes, values| {
            one.push((cell, genes.to_vec(), values.to_vec()));
        })
        .unwrap();
        visit_cells_ahead(&source, &rising, |cell, genes, values| {
            ahead.push((cell, genes.to_vec(), values.to_vec()));
        })
        .unwrap();
        prop_assert_eq!(one.iter().map(|row| row.0).collect::<Vec<_>>(), rising);
        for (cell, genes, values) in &one {
            prop_assert_eq!((&genes[..], &values[..]), counts.row(*cell));
        }
        prop_assert_eq!(ahead, one);
    }
}

#[test]
fn cells_that_do_not_exist_are_refused() {
    let counts = counts(5, 2, 0);
    assert!(counts.read_window(2..5).is_ok());
    assert!(counts.read_window(2..6).is_err());
    assert!(counts.read_cells(&[1, 5]).is_err());
}

/// Gives one row too few, or NaN in cell 7.
#[derive(Debug)]
struct Wrong {
    counts: CountMatrix,
    not_a_number: bool,
}

impl CountSource for Wrong {
    fn cell_names(&self) -> &[String] {
        self.counts.cell_names()
    }

    fn gene_names(&self) -> &[String] {
        self.counts.gene_names()
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        if self.not_a_number {
            let rows = cells.len();
            let values = cells
                .clone()
                .map(|cell| if cell == 7 { f32::NAN } else { 1.0 });
            let offsets = (0..=rows).collect();
            return CountRows::from_csr(cells.start, 2, offsets, vec![1; rows], values.collect());
        }
        self.counts.read_window(cells.start..cells.end - 1)
    }

    fn block(&self) -> usize {
        4
    }
}

#[test]
fn what_a_source_gives_is_checked_and_named() {
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect();
    let counts = counts(10, 2, 0)
        .with_names(names("c", 10), names("g", 2))
        .unwrap();
    let all: Vec<usize> = (0..10).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let error_of = |not_a_number| {
            let source = Wrong {
                counts: counts.clone(),
                not_a_number,
            };
            pool.install(|| visit_cells_ahead(&source, &all, |_, _, _| {}))
                .unwrap_err()
        };
        let error = error_of(false);
        assert!(matches!(error, Error::CountSource { .. }), "{error}");
        assert!(
            error.to_string().contains("3 cells of 2 genes were given"),
            "{error}"
        );
        match error_of(true) {
            Error::NonFiniteCount { cell, gene, .. } => {
                assert_eq!((cell, gene), (Place::new(7, "c7"), Place::new(1, "g1")));
            }
            other => panic!("{other}"),
        }
    }
}
