//! Log lines beside progress bars.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// Logs warnings, or everything, to the error stream, above the progress bars.
pub fn start(verbose: bool, bars: &MultiProgress) {
    let levels = if verbose {
        Targets::new().with_default(LevelFilter::DEBUG)
    } else {
        // What a fit warns of is part of its report.
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("celldec::model", LevelFilter::OFF)
    };
    let bars = bars.clone();
    let lines = fmt::layer()
        .with_target(false)
        .with_writer(move || LinesAbove(bars.clone()));
    tracing_subscriber::registry()
        .with(lines)
        .with(levels)
        .init();
}

/// The error stream, with the bars out of the way while something is written.
struct LinesAbove(MultiProgress);

impl Write for LinesAbove {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
