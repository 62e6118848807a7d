//! What is in a fitted model.

use std::path::Path;

use celldec::model::ModelInfo;
use celldec::prelude::*;

use super::print_settings;
use crate::console::Console;
use crate::exit;

/// Prints where a model comes from and what it consists of.
pub fn print(console: &Console, path: &Path) -> Result<()> {
    let info = ModelInfo::read(path)?;
    console.answer(format_args!(
        "{}: a model of the method {}, fitted by celldec {} with seed {}",
        path.display(),
        info.method,
        info.version,
        info.seed
    ));
    let device = celldec::device::by_name("cpu")?;
    let network = match info.method.as_str() {
        "desc" => DescModel::load(path, &device).map(|model| model.summary()),
        _ => ScdccModel::load(path, &device).map(|model| model.summary()),
    };
    match network {
        Ok(summary) => summary
            .lines()
            .for_each(|line| console.answer(format_args!("  {line}"))),
        // A head of the user's own is known to the user's program alone.
        Err(error) => console.answer(format_args!("  network       {}", exit::message(&error))),
    }
    console.answer(format_args!(
        "  cells         fingerprint {:016x}",
        info.data_fingerprint
    ));
    print_settings(console, &info.settings);
    Ok(())
}
