use super::*;
use ndarray::array;
use proptest::prelude::*;

/// A dense matrix of counts, about half of them zero.
fn dense() -> impl Strategy<Value = Array2<f32>> {
    (1usize..8, 1usize..8).prop_flat_map(|(cells, genes)| {
        let count = prop_oneof![Just(0.0f32), (1u32..1000).prop_map(|v| v as f32)];
        prop::collection::vec(count, cells * genes)
            .prop_map(move |values| Array2::from_shape_vec((cells, genes), values).unwrap())
    })
}

/// Compressed rows of a dense matrix with a zero entry and a split duplicate in every row, in an
/// order that depends on `salt`.
fn untidy(dense: &Array2<f32>, salt: u64) -> (Vec<usize>, Vec<u32>, Vec<f32>) {
    let mut offsets = vec![0];
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for row in dense.rows() {
        let mut entries = vec![(0u32, 0.0f32)];
        for (gene, &value) in row.iter().enumerate() {
            let gene = gene as u32;
            if value >= 2.0 {
                entries.extend([(gene, 1.0), (gene, value - 1.0)]);
            } else if value > 0.0 {
                entries.push((gene, value));
            }
        }
        let length = entries.len() as u64;
        entries.rotate_left((salt % length) as usize);
        if salt % 2 == 1 {
            entries.reverse();
        }
        indices.extend(entries.iter().map(|entry| entry.0));
        values.extend(entries.iter().map(|entry| entry.1));
        offsets.push(indices.len());
    }
    (offsets, indices, values)
}

fn assert_canonical(matrix: &CountMatrix) {
    assert_eq!(matrix.offsets().len(), matrix.cells() + 1);
    for cell in 0..matrix.cells() {
        let (genes, values) = matrix.row(cell);
        assert!(genes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(genes.iter().all(|&gene| (gene as usize) < matrix.genes()));
        assert!(values.iter().all(|&value| value > 0.0 && value.is_finite()));
    }
}

fn invalid(result: Result<CountMatrix>, expected: &str) {
    match result {
        Err(Error::InvalidSparse { reason }) => {
            assert!(reason.contains(expected), "{reason}");
        }
        other => panic!("expected \"{expected}\", got {other:?}"),
    }
}

proptest! {
    #[test]
    fn untidy_rows_give_the_canonical_matrix(dense in dense(), salt in any::<u64>()) {
        let expected = CountMatrix::from_dense(dense.view()).unwrap();
        assert_canonical(&expected);
        let (cells, genes) = dense.dim();
        let (offsets, indices, values) = untidy(&dense, salt);
        let found = CountMatrix::from_csr(cells, genes, offsets, indices, values).unwrap();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(found.to_dense(), dense);
    }

    #[test]
    fn columns_give_the_same_matrix_as_rows(dense in dense(), salt in any::<u64>()) {
        let (cells, genes) = dense.dim();
        let (offsets, indices, values) = untidy(&dense.t().to_owned(), salt);
        let found = CountMatrix::from_csc(cells, genes, &offsets, &indices, &values).unwrap();
        prop_assert_eq!(found, CountMatrix::from_dense(dense.view()).unwrap());
    }

    #[test]
    fn totals_and_numbers_are_those_of_the_dense_matrix(dense in dense()) {
        let matrix = CountMatrix::from_dense(dense.view()).unwrap();
        let wide = dense.mapv(f64::from);
        let is_stored = dense.mapv(|v| usize::from(v != 0.0));
        prop_assert_eq!(matrix.cell_totals(), wide.sum_axis(ndarray::Axis(1)).to_vec());
        prop_assert_eq!(matrix.gene_totals(), wide.sum_axis(ndarray::Axis(0)).to_vec());
        prop_assert_eq!(matrix.genes_per_cell(), is_stored.sum_axis(ndarray::Axis(1)).to_vec());
        prop_assert_eq!(matrix.cells_per_gene(), is_stored.sum_axis(ndarray::Axis(0)).to_vec());
        prop_assert_eq!(matrix.stored(), is_stored.sum());
    }

    #[test]
    fn selections_are_those_of_the_dense_matrix(
        (dense, cells, genes) in dense().prop_flat_map(|dense| {
            let (cells, genes) = dense.dim();
            let gene_order = Just((0..genes).collect::<Vec<_>>()).prop_shuffle();
            let kept = 0..=genes;
            (
                Just(dense),
                prop::collection::vec(0..cells, 0..10),
                (gene_order, kept).prop_map(|(mut order, kept)| {
                    order.truncate(kept);
                    order
                }),
            )
        }),
    ) {
        let matrix = CountMatrix::from_dense(dense.view()).unwrap();
        let by_cells = matrix.select_cells(&cells).unwrap();
        assert_canonical(&by_cells);
        prop_assert_eq!(by_cells.to_dense(), dense.select(ndarray::Axis(0), &cells));
        let names: Vec<String> = cells.iter().map(|cell| cell.to_string()).collect();
        prop_assert_eq!(by_cells.cell_names(), &names[..]);
        let by_genes = matrix.select_genes(&genes).unwrap();
        assert_canonical(&by_genes);
        prop_assert_eq!(by_genes.to_dense(), dense.select(ndarray::Axis(1), &genes));
        let names: Vec<String> = genes.iter().map(|gene| gene.to_string()).collect();
        prop_assert_eq!(by_genes.gene_names(), &names[..]);

        let genes: Vec<_> = genes.into_iter().map(Some).collect();
        let both = matrix.select(cells.iter().copied(), &genes, names).unwrap();
        prop_assert_eq!(both, by_genes.select_cells(&cells).unwrap());
        let map = GeneMap::new(&genes, matrix.genes()).unwrap();
        let mut row = Row::default();
        let (totals, numbers): (Vec<f64>, Vec<usize>) = (0..matrix.cells())
            .map(|cell| {
 let (genes, values) = matrix.row(cell);
 map.total(genes, values, &mut row)})
            .unzip();
        prop_assert_eq!(totals, by_genes.cell_totals());
        prop_assert_eq!(numbers, by_genes.genes_per_cell());
    }

    #[test]
    fn arbitrary_parts_never_panic(
        cells in 0usize..5,
        genes in 0usize..5,
        offsets in prop::collection::vec(0usize..8, 0..7),
        indices in prop::collection::vec(0u32..6, 0..8),
        values in prop::collection::vec(any::<f32>(), 0..8),
    ) {
        let by_cells =
            CountMatrix::from_csr(cells, genes, offsets.clone(), indices.clone(), values.clone());
        if let Ok(matrix) = &by_cells {
            assert_canonical(matrix);
        }
        let by_genes = CountMatrix::from_csc(cells, genes, &offsets, &indices, &values);
        if let Ok(matrix) = &by_genes {
            assert_canonical(matrix);
        }
    }
}

#[test]
fn missing_genes_become_named_zeros() {
    let matrix = CountMatrix::from_dense(array![[1.0, 2.0], [0.0, 3.0]].view()).unwrap();
    let names = ["x", "y", "z"].map(String::from).to_vec();
    let aligned = matrix
        .align_genes(&[Some(1), None, Some(0)], names.clone())
        .unwrap();
    assert_eq!(aligned.to_dense(), array![[2.0, 0.0, 1.0], [3.0, 0.0, 0.0]]);
    assert_eq!(aligned.gene_names(), names);
    invalid(
        matrix.align_genes(&[Some(1), Some(1)], names[..2].to_vec()),
        "selected twice",
    );
    invalid(matrix.select_genes(&[2]), "gene 2 was selected");
    invalid(matrix.select_cells(&[0, 2]), "cell 2 was selected");
    assert!(matches!(
        matrix.align_genes(&[None], names),
        Err(Error::LengthMismatch {
            expected: 1,
            found: 3,
            ..
        })
    ));
}

#[test]
fn contradicting_parts_are_refused() {
    let csr = |offsets: &[usize], indices: &[u32], values: &[f32]| {
        CountMatrix::from_csr(2, 3, offsets.to_vec(), indices.to_vec(), values.to_vec())
    };
    invalid(csr(&[0, 1, 2], &[0, 3], &[1.0, 1.0]), "cell 1 names gene 3");
    invalid(csr(&[0, 2, 1], &[0], &[1.0]), "fall at row 1");
    invalid(csr(&[0, 1, 2], &[0], &[1.0]), "from 0 to 1");
    invalid(csr(&[1, 1, 1], &[0], &[1.0]), "from 0 to 1");
    invalid(csr(&[0, 1], &[0], &[1.0]), "expected 3");
    invalid(csr(&[], &[], &[]), "expected 3");
    invalid(csr(&[0, 0, 1], &[0], &[]), "1 indices but 0 values");
    let offsets = [0, 1, 1, 1];
    invalid(
        CountMatrix::from_csc(2, 3, &offsets, &[2], &[1.0]),
        "cell 2",
    );
    invalid(
        CountMatrix::from_csc(2, 3, &offsets[..3], &[1], &[1.0]),
        "column offsets",
    );
}

#[test]
fn values_that_are_no_counts_are_refused_with_their_place() {
    let of = |value: f32| CountMatrix::from_dense(array![[1.0, 0.0], [value, value]].view());
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let Err(Error::NonFiniteCount { cell, gene, count }) = of(value) else {
            panic!("{value} accepted");
        };
        assert_eq!((cell.index, gene.index, count), (1, 0, 2));
    }
    let Err(Error::NegativeCount { cell, gene, value }) = of(-2.0) else {
        panic!("-2 accepted");
    };
    assert_eq!((cell.index, gene.index, value), (1, 0, -2.0));
}

#[test]
fn fractional_counts_are_kept_and_found_by_the_check() {
    let matrix = CountMatrix::from_dense(array![[1.0, 2.5], [0.25, 1e9]].view())
        .unwrap()
        .with_names(
            vec!["c1".into(), "c2".into()],
            vec!["g1".into(), "g2".into()],
        )
        .unwrap();
    let Err(Error::FractionalCount {
        cell,
        gene,
        value,
        count,
    }) = matrix.check_integers()
    else {
        panic!("fractions accepted");
    };
    assert_eq!((cell.name.as_str(), gene.name.as_str()), ("c1", "g2"));
    assert_eq!((value, count), (2.5, 2));
    let whole = CountMatrix::from_dense(array![[1.0, 1e9]].view()).unwrap();
    whole.check_integers().unwrap();
}

#[test]
fn names_must_fit() {
    let matrix = || CountMatrix::from_dense(array![[1.0, 2.0]].view()).unwrap();
    assert!(matches!(
        matrix().with_names(vec![], vec!["a".into(), "b".into()]),
        Err(Error::LengthMismatch {
            expected: 1,
            found: 0,
            ..
        })
    ));
    assert!(
        matrix()
            .with_names(vec!["c".into()], vec!["a".into()])
            .is_err()
    );
}

/// One cell with several entries for its second gene.
fn duplicates(values: &[f32]) -> Result<CountMatrix> {
    let indices = vec![1; values.len()];
    CountMatrix::from_csr(1, 2, vec![0, values.len()], indices, values.to_vec())
}

#[test]
fn a_negative_duplicate_is_not_hidden_by_its_sum() {
    for values in [[-2.0, 5.0], [5.0, -2.0]] {
        match duplicates(&values) {
            Err(Error::NegativeCount { cell, gene, value }) => {
                assert_eq!((cell.index, gene.index, value), (0, 1, -2.0));
            }
            other => panic!("{values:?}: {other:?}"),
        }
        let columns = CountMatrix::from_csc(1, 2, &[0, 0, 2], &[0, 0], &values);
        assert!(
            matches!(columns, Err(Error::NegativeCount { .. })),
            "{columns:?}"
        );
    }
    assert!(matches!(
        duplicates(&[f32::NAN, -1.0, 2.0]),
        Err(Error::NegativeCount { .. })
    ));
    assert!(matches!(
        duplicates(&[f32::NAN, 2.0]),
        Err(Error::NonFiniteCount { count: 1, .. })
    ));
}

#[test]
fn duplicates_are_summed_exactly_or_refused() {
    let largest = (1u32 << 24) as f32;
    let sum = duplicates(&[largest, 1.0, 1.0]).unwrap();
    assert_eq!(sum.values(), [16_777_218.0]);
    match duplicates(&[largest, 1.0]) {
        Err(error @ Error::InexactSum { .. }) => {
            let named = error.with_names(&["cell".into()], &["a".into(), "b".into()]);
            let message = named.to_string();
            assert!(
                message.contains("cell 0 (\"cell\"), gene 1 (\"b\") has 2 entries"),
                "{message}"
            );
            assert!(message.contains("16777217"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        duplicates(&[f32::MAX, f32::MAX]),
        Err(Error::InexactSum { .. })
    ));
    // Estimated counts are rounded as they always are.
    assert_eq!(duplicates(&[0.1, 0.2]).unwrap().values(), [0.3]);
}
