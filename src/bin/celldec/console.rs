//! What is said on the screen: results, log lines and progress bars, none in another's way.

use std::fmt::Display;
use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::arguments::Global;

/// The screen.
#[derive(Debug, Clone)]
pub struct Console {
    bars: MultiProgress,
    quiet: bool,
}

impl Console {
    /// Logs warnings, or everything, to the error stream, above the progress bars.
    pub fn start(global: &Global) -> Self {
        let console = Self {
            bars: MultiProgress::new(),
            quiet: global.quiet,
        };
        if global.quiet {
            console.bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let levels = if global.verbose {
            Targets::new().with_default(LevelFilter::DEBUG)
        } else {
            // What a fit warns of is part of its report.
            Targets::new()
                .with_default(LevelFilter::WARN)
                .with_target("celldec::model", LevelFilter::OFF)
        };
        let bars = console.bars.clone();
        let lines = fmt::layer()
            .with_target(false)
            .with_writer(move || LinesAbove(bars.clone()));
        tracing_subscriber::registry()
            .with(lines)
            .with(levels)
            .init();
        console
    }

    /// A line about what is being done, unless the user wants none.
    pub fn say(&self, line: impl Display) {
        if !self.quiet {
            self.answer(line);
        }
    }

    /// A line that the user asked for.
    pub fn answer(&self, line: impl Display) {
        self.bars.suspend(|| {
            // Whoever stopped reading, such as `head`, made no mistake.
            let _ = writeln!(io::stdout(), "{line}");
        });
    }

    /// A line about what was left out, to the error stream.
    pub fn warn(&self, line: impl Display) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// Adds a progress bar, which goes to the error stream and is not drawn into files.
    pub fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }
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
