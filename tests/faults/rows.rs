//! The rows: what may go wrong, and the tests of it.

use std::fs;
use std::path::Path;

use crate::harness::{Row, Test};
use crate::{
    batches, clusters, counts, device, files, likelihood, memory, models, pairs, parallel,
};
#[cfg(unix)]
use crate::{disk, killed, resumed, special};
use crate::{rows, sparse};

macro_rules! tests {
    ($($(#[$attribute:meta])* $module:ident::$function:ident),* $(,)?) => {
        vec![$(
            $(#[$attribute])*
            Test {
                name: concat!(stringify!($module), "::", stringify!($function)),
                run: $module::$function,
            },
        )*]
    };
}

fn row(
    number: u8,
    fault: &'static str,
    tests: Vec<Test>,
    elsewhere: &'static [&'static str],
) -> Row {
    Row {
        number,
        fault,
        tests,
        elsewhere,
    }
}

/// All rows.
pub fn all() -> Vec<Row> {
    vec![
        row(
            0,
            "tests that the rows name exist",
            tests![rows::tests_elsewhere_exist],
            &[],
        ),
        row(
            1,
            "0 cells, 0 genes, or all filtered away",
            tests![counts::row_01_nothing_to_learn_from_is_refused],
            &["src/preprocess/tests/faults.rs::nothing_to_learn_from_is_refused"],
        ),
        row(
            2,
            "NaN or infinite entry",
            tests![counts::row_02_entries_that_are_no_numbers_are_counted_and_named],
            &["src/counts/matrix/tests.rs::values_that_are_no_counts_are_refused_with_their_place"],
        ),
        row(
            3,
            "negative count",
            tests![counts::row_03_a_negative_count_is_named],
            &["src/counts/matrix/tests.rs::a_negative_duplicate_is_not_hidden_by_its_sum"],
        ),
        row(
            4,
            "values that are not whole, given as counts",
            tests![counts::row_04_fractional_counts_need_permission],
            &["src/preprocess/tests/faults.rs::fractional_counts_need_permission"],
        ),
        row(
            5,
            "cell without counts",
            tests![counts::row_05_a_cell_without_counts_is_dropped_or_refused],
            &[
                "src/preprocess/tests/faults.rs::cells_without_counts_are_dropped_and_reported_or_refused",
            ],
        ),
        row(
            6,
            "gene without counts",
            tests![counts::row_06_a_gene_without_counts_is_dropped],
            &["src/preprocess/tests/faults.rs::genes_without_counts_are_dropped_and_reported"],
        ),
        row(
            7,
            "constant gene",
            tests![counts::row_07_a_constant_gene_is_scaled_to_zero],
            &["src/preprocess/tests/faults.rs::a_constant_gene_is_scaled_to_zero"],
        ),
        row(
            8,
            "counts above 1e6, totals above 2^24",
            tests![counts::row_08_huge_counts_train],
            &["src/preprocess/tests/faults.rs::huge_counts_keep_their_accuracy"],
        ),
        row(
            9,
            "k = 0, k = 1, k > cells",
            tests![clusters::row_09_impossible_numbers_of_clusters_are_refused],
            &["tests/training/faults.rs::impossible_numbers_of_clusters_are_refused"],
        ),
        row(
            10,
            "duplicate cells, k > distinct points",
            tests![clusters::row_10_more_clusters_than_distinct_cells_end],
            &["src/start/kmeans/tests.rs::fault_10_fewer_distinct_cells_than_clusters_ends"],
        ),
        row(
            11,
            "a cluster empties while training",
            tests![clusters::row_11_empty_clusters_keep_their_columns],
            &["tests/training/faults.rs::labels_stay_columns_after_a_cluster_empties"],
        ),
        row(
            12,
            "graph clustering finds one community",
            tests![clusters::row_12_a_single_community_suggests_a_resolution_that_works],
            &[
                "src/start/stable.rs::a_single_community_is_an_error_that_suggests_what_there_was_not_to_choose_from",
            ],
        ),
        row(
            13,
            "every cell falls into one cluster",
            tests![clusters::row_13_one_cluster_for_all_is_a_result_with_a_warning],
            &[
                "tests/training/faults.rs::a_single_cluster_for_all_cells_is_a_result_with_a_warning",
            ],
        ),
        row(
            14,
            "q exactly one-hot",
            tests![likelihood::row_14_one_hot_assignments_have_finite_losses_and_gradients],
            &[
                "tests/parity/soft_assignment.rs::gradients_through_saturated_assignments_are_finite",
            ],
        ),
        row(
            15,
            "dropout to 0 or 1, dispersion to 0 or infinity, logits of ±100",
            tests![likelihood::row_15_extreme_logits_have_finite_losses_and_gradients],
            &[
                "tests/parity/likelihood/properties.rs::extreme_inputs_give_finite_losses_and_gradients",
            ],
        ),
        row(
            16,
            "last batch of one cell",
            tests![batches::row_16_a_last_batch_of_one_cell_trains],
            &["tests/training/faults.rs::any_batch_size_trains"],
        ),
        row(
            17,
            "batch size 0, or larger than the data",
            tests![batches::row_17_a_batch_is_at_least_one_cell_and_at_most_all],
            &["tests/training/faults.rs::any_batch_size_trains"],
        ),
        row(
            18,
            "pair out of range, or of a cell with itself",
            tests![pairs::row_18_pairs_that_cannot_be_are_named],
            &["src/pairs/links.rs::pairs_that_are_read_are_checked"],
        ),
        row(
            19,
            "pairs that contradict each other",
            tests![pairs::row_19_contradictions_are_listed],
            &["src/pairs/links.rs::a_cannot_link_inside_a_must_link_component_is_refused"],
        ),
        row(
            20,
            "more pairs asked for than exist",
            tests![pairs::row_20_more_pairs_than_exist_are_refused],
            &["src/pairs/links.rs::more_pairs_than_exist_are_refused"],
        ),
        row(
            21,
            "only must-link or only cannot-link pairs",
            tests![pairs::row_21_one_kind_of_pairs_is_enough],
            &[],
        ),
        row(
            22,
            "learning rate 0, negative, NaN",
            tests![batches::row_22_impossible_learning_rates_are_refused],
            &["tests/training/faults.rs::impossible_learning_rates_are_refused"],
        ),
        row(
            23,
            "loss or gradient becomes non-finite",
            tests![batches::row_23_divergence_is_named_and_the_last_good_fit_kept],
            &["tests/training/divergence.rs::a_diverging_self_training_keeps_its_last_good_fit"],
        ),
        row(
            24,
            "maximum epochs before the tolerance",
            tests![batches::row_24_too_few_epochs_are_a_result_that_says_so],
            &["tests/training/end_to_end.rs::the_status_says_why_training_ended"],
        ),
        row(
            25,
            "CSR unsorted, with duplicates, out of range, wrong offsets",
            tests![sparse::row_25_rows_are_sorted_summed_or_refused],
            &["src/counts/matrix/tests.rs::contradicting_parts_are_refused"],
        ),
        row(
            26,
            "CSC, i64 indices, more than 2^31 entries",
            tests![
                sparse::row_26_columns_become_rows,
                sparse::row_26_more_than_2_to_the_31_entries_are_learned_from,
                #[cfg(feature = "h5ad")]
                sparse::row_26_every_type_of_index_in_a_file_is_read,
            ],
            &["tests/files/h5ad.rs::every_matrix_encoding_gives_the_same_counts"],
        ),
        row(
            27,
            "truncated, corrupt or hostile file",
            tests![
                files::row_27_every_truncation_of_a_file_is_refused,
                files::row_27_flipped_bits_are_refused_or_counts,
                files::row_27_lengths_that_lie_are_refused,
                files::row_27_gzip_bombs_are_stopped,
                #[cfg(unix)]
                special::row_27_a_pipe_without_a_writer_is_refused,
                #[cfg(unix)]
                special::row_27_a_device_without_an_end_is_refused,
                #[cfg(unix)]
                special::row_27_a_pipe_in_a_10x_folder_is_not_its_matrix,
            ],
            &[
                "tests/allocation.rs::readers_stay_within_their_budget",
                "tests/fuzz/tests/fuzz/main.rs::main",
            ],
        ),
        row(
            28,
            "h5ad with categorical, nullable, missing X, nested uns",
            tests![
                #[cfg(feature = "h5ad")]
                files::row_28_encodings_are_read_or_named,
            ],
            &["tests/files/h5ad.rs::every_annotation_encoding_is_read"],
        ),
        row(
            29,
            "saved model truncated, of wrong shapes, newer",
            tests![models::row_29_damaged_models_are_refused_untouched],
            &["tests/training/storage.rs::descriptions_that_cannot_be_used_are_refused"],
        ),
        row(
            30,
            "model on other genes or in another order",
            tests![models::row_30_genes_are_found_by_name],
            &["tests/training/new_cells.rs::missing_genes_are_filled_or_refused"],
        ),
        row(
            31,
            "checkpoint of other data or settings",
            tests![models::row_31_a_checkpoint_of_another_run_is_refused],
            &[
                "tests/training/checkpoint/faults.rs::checkpoints_of_other_data_or_settings_are_refused",
            ],
        ),
        row(
            32,
            "disk full or read-only while saving",
            tests![
                #[cfg(unix)]
                disk::row_32_a_full_disk_leaves_files_that_belong_together,
                #[cfg(unix)]
                disk::row_32_a_full_disk_leaves_the_old_model,
            ],
            &[
                "tests/training/checkpoint/faults.rs::a_disk_that_cannot_be_written_does_not_stop_training",
                "tests/training/checkpoint/killed.rs::a_full_disk_leaves_the_previous_checkpoint",
            ],
        ),
        row(
            33,
            "kill -9 while saving",
            tests![
                #[cfg(unix)]
                killed::row_33_files_that_belong_together_are_all_old_or_all_new,
                #[cfg(unix)]
                killed::row_33_a_reader_beside_a_writer_sees_one_save,
                #[cfg(unix)]
                killed::row_33_a_table_is_old_or_new_and_nothing_is_left,
                #[cfg(all(unix, feature = "h5ad"))]
                killed::row_33_an_annotated_file_is_old_or_new_and_nothing_is_left,
                #[cfg(unix)]
                killed::row_33_a_model_is_old_or_new_and_nothing_is_left,
            ],
            &[
                "tests/training/checkpoint/killed.rs::killed_while_saving_leaves_the_previous_checkpoint",
            ],
        ),
        row(
            34,
            "kill -9 while training, then resume",
            tests![
                #[cfg(unix)]
                resumed::row_34_a_fit_killed_at_any_moment_ends_with_the_same_bits,
            ],
            &["tests/training/checkpoint/killed.rs::a_killed_fit_resumes_to_the_same_bits"],
        ),
        row(
            35,
            "no GPU adapter",
            tests![device::row_35_a_device_that_is_not_there_suggests_the_cpu],
            &[],
        ),
        row(
            36,
            "two fits in parallel threads",
            tests![parallel::row_36_fits_side_by_side_equal_their_solo_runs],
            &["tests/training/reproducible.rs::fits_side_by_side_equal_their_solo_runs"],
        ),
        row(
            37,
            "1, 2 or 8 threads",
            tests![parallel::row_37_the_number_of_threads_changes_nothing],
            &["tests/training/reproducible.rs::the_number_of_threads_changes_nothing"],
        ),
        row(
            38,
            "many fits in one process",
            tests![memory::row_38_memory_reaches_a_plateau],
            &[],
        ),
    ]
}

/// A test that a row names and that is gone would be a promise without a test.
pub fn tests_elsewhere_exist() {
    let rows = all();
    let numbers: Vec<u8> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (0..=38).collect::<Vec<u8>>());
    for row in &rows {
        for name in row.elsewhere {
            let (file, function) = name.split_once("::").expect("file::function");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            if file.starts_with("tests/fuzz/") && !path.exists() {
                // Not part of the published package.
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                text.contains(&format!("fn {function}(")),
                "row {}: {file} has no {function}",
                row.number
            );
        }
    }
}
