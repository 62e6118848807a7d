//! Preprocessing: bit for bit that of counts in memory.

use celldec::counts::CountMatrix;
use celldec::preprocess::{
    Clip, Preprocess, PrincipalComponents, Scaling, TargetSum, VariableGenes,
};
use proptest::prelude::*;

use super::{Blocks, assert_same_cells, bits, counts, on_threads};

fn recipes() -> Vec<Preprocess> {
    vec![
        Preprocess::scdcc(),
        Preprocess::desc_reference().with_variable_genes(VariableGenes::seurat(40)),
        Preprocess::scdcc().with_variable_genes(VariableGenes::seurat_v3(30)),
        // Genes and cells with counts are dropped.
        Preprocess::scdcc_reference()
            .with_min_cells_per_gene(60)
            .with_min_counts_per_gene(90.0)
            .with_min_genes_per_cell(25)
            .with_min_counts_per_cell(330.0)
            .with_target_sum(TargetSum::Fixed(1e4))
            .with_scaling(Scaling::z_score().with_clip(Clip::Both(2.0))),
        Preprocess::scdcc().with_scaling(None),
    ]
}

fn untidy_counts() -> CountMatrix {
    let counts = counts(500, 120);
    let names = (0..120)
        .map(|gene| format!("gene {}", gene % 110))
        .collect();
    let cells = counts.cell_names().to_vec();
    counts.with_names(cells, names).unwrap()
}

#[test]
fn fitting_gives_the_bits_of_memory() {
    let counts = untidy_counts();
    let mut dropped = 0;
    for recipe in recipes() {
        let in_memory = recipe.fit(&counts).unwrap();
        dropped += in_memory.report().cells_dropped();
        for (block, threads) in [(7, 1), (64, 3), (1000, 2)] {
            let fit = || recipe.fit_source(Blocks::shared(&counts, block)).unwrap();
            assert_same_cells(&on_threads(threads, fit), &in_memory);
        }
    }
    assert!(dropped > 0);
}

#[test]
fn batches_are_scaled_as_in_memory() {
    let counts = counts(300, 50);
    let together: Vec<usize> = (0..300).map(|cell| cell / 110).collect();
    let mixed: Vec<String> = (0..300)
        .map(|cell| format!("b{}", cell * cell % 5))
        .collect();
    let recipe = Preprocess::scdcc();
    for block in [11, 400] {
        let source = Blocks::shared(&counts, block);
        let in_memory = recipe.fit_with_batches(&counts, &together).unwrap();
        let on_disk = recipe
            .fit_source_with_batches(source.clone(), &together)
            .unwrap();
        assert_same_cells(&on_disk, &in_memory);

        let in_memory = recipe.fit_with_batches(&counts, &mixed).unwrap();
        let on_disk = recipe
            .fit_source_with_batches(source.clone(), &mixed)
            .unwrap();
        assert_same_cells(&on_disk, &in_memory);

        let fitted = in_memory.preprocessing();
        assert_same_cells(
            &fitted
                .transform_source_with_batches(source, &together)
                .unwrap(),
            &fitted.transform_with_batches(&counts, &together).unwrap(),
        );
    }
    let source = Blocks::shared(&counts, 11);
    assert!(recipe.fit_source_with_batches(source, &mixed[1..]).is_err());
}

#[test]
fn new_cells_in_another_order_of_genes_are_prepared_as_in_memory() {
    let counts = counts(400, 80);
    let genes: Vec<usize> = (0..80).rev().filter(|gene| gene % 13 != 3).collect();
    let new = counts.select_genes(&genes).unwrap();
    for recipe in [
        Preprocess::scdcc(),
        Preprocess::desc().with_variable_genes(VariableGenes::seurat(35)),
    ] {
        let fitted = recipe.fit(&counts).unwrap().preprocessing().clone();
        let in_memory = fitted.transform(&new).unwrap();
        for block in [9, 64, 1000] {
            let on_disk = fitted
                .transform_source(Blocks::shared(&new, block))
                .unwrap();
            assert_same_cells(&on_disk, &in_memory);
        }
    }
}

#[test]
fn principal_components_are_those_of_memory() {
    let counts = counts(700, 60);
    let in_memory = Preprocess::scdcc().fit(&counts).unwrap();
    let on_disk = Preprocess::scdcc()
        .fit_source(Blocks::shared(&counts, 50))
        .unwrap();
    let expected = PrincipalComponents::fit(&in_memory, 5, 3).unwrap();
    let found = PrincipalComponents::fit(&on_disk, 5, 3).unwrap();
    assert_eq!(found, expected);
    assert_eq!(
        bits(&found.transform(&on_disk).unwrap()),
        bits(&expected.transform(&in_memory).unwrap())
    );
}

/// Sweeps: one for filters and totals, two for statistics.
#[test]
fn the_usual_recipe_reads_everything_three_times() {
    let counts = counts(400, 50);
    let source = std::sync::Arc::new(Blocks::new(&counts, 100));
    let cells = Preprocess::scdcc().fit_source(source.clone()).unwrap();
    // Statistics are summed in two parts of 256 and 144 cells, which cut one of the blocks.
    assert_eq!(source.reads(), 4 + 2 * 5);
    cells.fingerprint().unwrap();
    assert_eq!(source.reads(), 4 + 2 * 5 + 4);
    cells.fingerprint().unwrap();
    assert_eq!(source.reads(), 4 + 2 * 5 + 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_block_gives_the_same_cells(block in 1usize..260, cells in 20usize..250, seed: u64) {
        let counts = celldec::counts::SimulationConfig::new(cells, 30)
            .with_seed(seed)
            .simulate()
            .unwrap()
            .counts;
        let recipe = Preprocess::scdcc().with_min_counts_per_cell(5.0);
        let in_memory = recipe.fit(&counts).unwrap();
        let on_disk = recipe.fit_source(Blocks::shared(&counts, block)).unwrap();
        assert_same_cells(&on_disk, &in_memory);
    }
}
