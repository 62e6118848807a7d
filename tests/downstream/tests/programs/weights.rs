//! Cells that count for more than others.

use celldec::prelude::*;
use celldec_downstream::{short, three_groups};

/// Mean squared error of the denoised counts of every group.
fn errors(fit: &Fit<CountHead>, cells: &Cells, groups: &[usize]) -> celldec::Result<[f32; 3]> {
    let denoised = fit.model().denoise(cells)?;
    let squares = (denoised - cells.counts()?.to_dense()).mapv(|error| error * error);
    let mut errors = [0.0; 3];
    for (row, &group) in squares.rows().into_iter().zip(groups) {
        errors[group] += row.sum();
    }
    Ok(errors)
}

#[test]
fn a_heavy_group_is_explained_better() -> celldec::Result<()> {
    let (cells, groups) = three_groups(90, 1)?;
    let trainer = short(Plan::scdcc(3))
        .with_epochs(40, 3)
        .trainer(&Device::default())?;
    let even = trainer.fit(&cells)?;
    // program: weights of cells; at most 15 lines
    let weights: Vec<f64> = groups
        .iter()
        .map(|&group| if group == 2 { 20.0 } else { 0.05 })
        .collect();
    let weighted = trainer.fit(&cells.clone().with_weights(&weights)?)?;
    // end
    let [evenly, unevenly] = [
        errors(&even, &cells, &groups)?,
        errors(&weighted, &cells, &groups)?,
    ];
    let share = |errors: [f32; 3]| errors[2] / errors.iter().sum::<f32>();
    println!(
        "share of the error: {:.3} to {:.3}",
        share(evenly),
        share(unevenly)
    );
    assert!(share(unevenly) < share(evenly));
    // The clustering loss is weighted as well.
    let last = |fit: &Fit<CountHead>| fit.history().last().map(|record| record.losses.clone());
    assert_ne!(last(&even), last(&weighted));
    Ok(())
}

#[test]
fn a_weight_that_is_none_is_refused() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    for weights in [
        vec![1.0; 3],
        vec![-1.0; 60],
        vec![f64::NAN; 60],
        vec![0.0; 60],
    ] {
        assert!(cells.clone().with_weights(&weights).is_err(), "{weights:?}");
    }
    Ok(())
}
