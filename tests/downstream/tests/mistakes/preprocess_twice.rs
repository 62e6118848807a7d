//! Preprocessing reads counts, not cells that went through it.
//~ expected `&CountMatrix`, found `&Cells`

use celldec::prelude::*;

pub fn again(model: &ScdccModel, cells: &Cells) -> celldec::Result<Cells> {
    model.prepare(cells)
}
