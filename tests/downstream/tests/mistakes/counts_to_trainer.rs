//! A trainer fits preprocessed cells, not counts.
//~ expected `&Cells`, found `&CountMatrix`

use celldec::prelude::*;

pub fn fit(trainer: &ScdccTrainer, counts: &CountMatrix) -> celldec::Result<Fit<CountHead>> {
    Ok(trainer.fit(counts)?)
}
