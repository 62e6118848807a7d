//! Shows training as it goes: a bar for the running phase, a line for every finished one.

use std::fmt::Write;

use celldec::model::EpochRecord;
use celldec::prelude::*;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

const BAR: &str = "  {prefix:<32} {bar:24} {pos}/{len} epochs  {rate}, at most {eta} left  {msg}";

/// An observer that prints progress.
///
/// The bar goes to the terminal's error stream and is not drawn into files; lines of finished
/// phases go to standard output.
pub struct Progress {
    bar: ProgressBar,
    shows_bar: bool,
    losses: String,
}

impl Progress {
    /// With or without a bar; other output to the terminal would tear it.
    pub fn new(shows_bar: bool) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            shows_bar,
            losses: String::new(),
        }
    }

    fn start(&mut self, phase: Phase, epochs: usize) {
        self.losses.clear();
        self.bar = ProgressBar::new(epochs as u64).with_prefix(phase.to_string());
        if !self.shows_bar {
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The template is fixed; should it not parse, the plain bar serves as well.
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                // Writing into the bar's own text cannot fail.
                let _ = write!(text, "{:.1}/s", state.per_sec());
            };
            self.bar.set_style(style.with_key("rate", rate));
        }
        self.bar.tick();
    }

    fn advance(&mut self, record: &EpochRecord) {
        let losses: Vec<String> = record
            .losses
            .iter()
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        self.losses = losses.join("  ");
        let changed = record
            .changed
            .map(|changed| format!("  {:.1} % changed", 100.0 * changed))
            .unwrap_or_default();
        self.bar.set_message(format!("{}{changed}", self.losses));
        self.bar.inc(1);
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::PhaseStarted { phase, epochs } => self.start(*phase, *epochs),
            Event::Resumed { phase, epoch } => {
                self.bar
                    .suspend(|| println!("  {phase} resumed after {epoch} epochs"));
                self.bar.set_position(*epoch as u64);
                self.bar.reset_eta();
            }
            Event::EpochFinished(record) => self.advance(record),
            Event::PhaseFinished {
                phase,
                epochs,
                seconds,
            } => {
                self.bar.finish_and_clear();
                let name = phase.to_string();
                println!(
                    "  {name:<33} {epochs:>5} epochs   {seconds:>6.1} s   {}",
                    self.losses
                );
            }
            Event::CentroidsFound {
                clusters, seconds, ..
            } => {
                let name = "initial centroids";
                println!("  {name:<33} {clusters:>5} clusters {seconds:>6.1} s");
            }
            _ => {}
        }
    }
}
