//! Only a fitted model assigns cells.
//~ no method named `assign` found for struct `Trainer<H>`

use celldec::prelude::*;

pub fn labels(cells: &Cells, device: &Device) -> celldec::Result<Assignment> {
    let trainer = Plan::scdcc(3).trainer(device)?;
    trainer.assign(cells)
}
