//! Sources that fail, and what cannot be done with them.

use std::sync::Arc;

use celldec::Error;
use celldec::device::by_name;
use celldec::markers::MarkerConfig;
use celldec::pairs::ConstraintPairs;
use celldec::preprocess::Preprocess;
use celldec::train::Plan;

use super::{Blocks, counts, on_threads};

#[test]
fn a_source_that_fails_at_any_read_ends_the_fit_with_its_error() {
    let counts = counts(120, 20);
    let trainer = Plan::scdcc(2)
        .with_widths([8, 2])
        .with_batch_size(16)
        .with_epochs(2, 1)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_constraints(ConstraintPairs::new(vec![(0, 100)], vec![(3, 50)]).unwrap())
        .trainer(&by_name("cpu").unwrap())
        .unwrap();
    let run = |source: Arc<Blocks>| -> celldec::Result<()> {
        let cells = Preprocess::scdcc().fit_source(source)?;
        Ok(trainer.fit(&cells.with_buffer_cells(30)).map(drop)?)
    };
    let sound = Arc::new(Blocks::new(&counts, 15));
    run(sound.clone()).unwrap();
    let reads = sound.reads();
    assert!(reads > 60, "{reads}");
    for threads in [1, 3] {
        for fails_at in 0..reads {
            let source = Arc::new(Blocks::new(&counts, 15).failing_at(fails_at));
            let error = on_threads(threads, || run(source.clone())).unwrap_err();
            assert!(
                error.to_string().contains("the disk is gone"),
                "read {fails_at}: {error}"
            );
        }
    }
}

#[test]
fn new_cells_of_a_source_that_fails_give_its_error() {
    let counts = counts(120, 20);
    let fit = Plan::scdcc(2)
        .with_widths([8, 2])
        .with_epochs(1, 1)
        .trainer(&by_name("cpu").unwrap())
        .unwrap()
        .fit(&Preprocess::scdcc().fit(&counts).unwrap())
        .unwrap();
    let source = Arc::new(Blocks::new(&counts, 40).failing_at(4));
    let cells = fit.model().prepare_source(source).unwrap();
    let error = fit.model().assign(&cells).unwrap_err();
    assert!(matches!(error, Error::CountSource { .. }), "{error}");
    assert!(fit.model().assign(&cells).is_ok());
}

#[test]
fn what_needs_all_counts_in_memory_says_so() {
    let counts = counts(60, 20);
    let cells = Preprocess::scdcc()
        .fit_source(Blocks::shared(&counts, 16))
        .unwrap();
    let labels: Vec<usize> = (0..60).map(|cell| cell % 2).collect();
    for error in [
        cells.counts().map(drop).unwrap_err(),
        MarkerConfig::new()
            .find_in(&cells, &labels)
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::CountsNotInMemory { .. }), "{error}");
        assert!(error.to_string().contains("CountMatrix"), "{error}");
    }
}

#[test]
fn refusals_are_those_of_memory() {
    let empty = counts(5, 3).select_cells(&[]).unwrap();
    let error = Preprocess::scdcc().fit_source(Blocks::shared(&empty, 4));
    assert!(matches!(error, Err(Error::EmptyMatrix { .. })));

    let dense = ndarray::array![[1.0, 0.0], [2.0, 0.5], [0.0, 1.5]];
    let fractional = celldec::counts::CountMatrix::from_dense(dense.view()).unwrap();
    let settings = Preprocess::scdcc();
    let messages = [
        settings.fit(&fractional).map(drop),
        settings
            .fit_source(Blocks::shared(&fractional, 1))
            .map(drop),
    ]
    .map(|result| result.unwrap_err().to_string());
    assert_eq!(messages[0], messages[1]);

    let dense = ndarray::array![[1.0, 2.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0]];
    let with_empty = celldec::counts::CountMatrix::from_dense(dense.view()).unwrap();
    let settings = settings.with_min_counts_per_cell(0.0);
    let messages = [
        settings.fit(&with_empty).map(drop),
        settings
            .fit_source(Blocks::shared(&with_empty, 3))
            .map(drop),
    ]
    .map(|result| result.unwrap_err().to_string());
    assert!(
        messages[0].contains("2 cells have no counts"),
        "{}",
        messages[0]
    );
    assert_eq!(messages[0], messages[1]);
}
