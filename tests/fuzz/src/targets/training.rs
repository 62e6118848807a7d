//! A fit that takes a moment, for models and checkpoints to be of.

use std::ops::ControlFlow;
use std::path::Path;

use celldec::counts::{CountMatrix, SimulationConfig};
use celldec::nn::CountHead;
use celldec::prelude::{Cells, CheckpointConfig, Device, Event, Plan, Preprocess};
use celldec::preprocess::Covariates;

/// Counts of a few cells.
pub fn counts() -> CountMatrix {
    let simulation = SimulationConfig::new(14, 10)
        .with_groups(2)
        .with_library_size(200.0, 0.2);
    simulation
        .with_seed(1)
        .simulate()
        .expect("sound settings")
        .counts
}

/// The same, prepared.
pub fn cells() -> Cells {
    Preprocess::scdcc().fit(&counts()).expect("sound counts")
}

/// The cells with a category and a number each.
pub fn covariates(cells: usize) -> Covariates {
    let donors = (0..cells)
        .map(|cell| format!("donor {}", cell % 2))
        .collect();
    let shares = (0..cells).map(|cell| cell as f64 / 10.0).collect();
    Covariates::new()
        .with_categories("donor", donors)
        .with_numbers("share", shares)
}

/// A method with small layers and few epochs.
pub fn plan() -> Plan<CountHead> {
    Plan::scdcc(2)
        .with_widths([4, 2])
        .with_epochs(1, 2)
        .with_batch_size(8)
        .with_seed(3)
}

/// Fits, with a checkpoint after every epoch; ends after so many epochs.
///
/// # Errors
/// Those of the fit.
pub fn fit(cells: &Cells, path: &Path, epochs: usize) -> celldec::Result<()> {
    let checkpoint = CheckpointConfig::new(path).with_interval(std::time::Duration::ZERO);
    let trainer = plan()
        .trainer(&Device::default())?
        .with_checkpoint(checkpoint);
    let mut left = epochs;
    let mut observer = |event: &Event<'_>| {
        if let Event::EpochFinished(_) = event {
            left = left.saturating_sub(1);
        }
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    trainer.fit_observed(cells, &mut observer)?;
    Ok(())
}
