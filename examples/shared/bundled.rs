//! The data that come with the crate: 700 peripheral blood mononuclear cells.

use std::path::Path;

use celldec::prelude::*;

/// Counts, and the published type of every cell by its barcode.
pub fn read() -> Result<(CountMatrix, Vec<(String, String)>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x");
    Ok((
        celldec::io::read_10x_mtx(&folder)?,
        celldec::io::read_labels(folder.join("labels.csv"), Some("cell_type"))?,
    ))
}
