//! An observer answers with nothing or `ControlFlow`.
//~ an observer answers with nothing or `ControlFlow<()>`, not `bool`

use celldec::prelude::*;

pub fn fit(trainer: &ScdccTrainer, cells: &Cells) -> celldec::Result<Fit<CountHead>> {
    let mut observer = |event: &Event<'_>| matches!(event, Event::EpochFinished(_));
    Ok(trainer.fit_observed(cells, &mut observer)?)
}
