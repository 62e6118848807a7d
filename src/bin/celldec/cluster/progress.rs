//! Shows training as it goes: a bar for the running phase, a line for every finished one.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use celldec::model::EpochRecord;
use celldec::prelude::*;
use celldec::train::TimeLeft;
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::console::Console;

// Narrow enough for 80 columns; the message takes what is left.
const BAR: &str = "  {prefix} {bar:12} {pos}/{len} epochs, {left}  {wide_msg}";
const SPINNER: &str = "  {spinner} {prefix} {elapsed}, {left}";

/// An observer that prints progress.
pub struct Progress {
    console: Console,
    bar: ProgressBar,
    losses: String,
    /// Of the whole fit. Bars read it when they are drawn.
    left: Arc<Mutex<TimeLeft>>,
}

impl Progress {
    pub fn new(console: Console, left: TimeLeft) -> Self {
        Self {
            console,
            bar: ProgressBar::hidden(),
            losses: String::new(),
            left: Arc::new(Mutex::new(left)),
        }
    }

    fn style(&self, template: &str) -> Option<ProgressStyle> {
        let left = Arc::clone(&self.left);
        let text = move |_: &ProgressState, text: &mut dyn Write| {
            let seconds = left
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .seconds();
            // Writing into the bar's own text cannot fail.
            let _ = match seconds {
                None => write!(text, "time left unknown"),
                Some(seconds) => {
                    let left = HumanDuration(Duration::from_secs_f64(seconds.ceil()));
                    write!(text, "about {left:#} left in all")
                }
            };
        };
        // The template is fixed; should it not parse, the plain bar serves as well.
        let style = ProgressStyle::with_template(template).ok()?;
        Some(style.with_key("left", text))
    }

    fn start(&mut self, phase: &Phase, epochs: usize) {
        self.bar.finish_and_clear();
        self.losses.clear();
        let bar = ProgressBar::hidden();
        bar.set_length(epochs as u64);
        bar.set_prefix(name(phase));
        if let Some(style) = self.style(BAR) {
            bar.set_style(style);
        }
        self.bar = self.console.add(bar);
        self.bar.enable_steady_tick(Duration::from_secs(1));
    }

    /// For work whose length is not known.
    fn start_spinner(&mut self, name: &str) {
        let bar = ProgressBar::hidden();
        bar.set_prefix(name.to_string());
        if let Some(style) = self.style(SPINNER) {
            bar.set_style(style);
        }
        self.bar = self.console.add(bar);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&mut self, record: &EpochRecord) {
        let losses: Vec<String> = record
            .all_losses()
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
    fn on_event(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        let left = self.left.lock();
        left.unwrap_or_else(PoisonError::into_inner).note(event);
        match event {
            Event::PhaseStarted { phase, epochs } => self.start(phase, *epochs),
            Event::KernelsCompile => self
                .console
                .say(format_args!("  kernels are compiled on their first use")),
            Event::Resumed { phase, epoch } => {
                self.console.say(format_args!(
                    "  {} resumed after {epoch} epochs",
                    name(phase)
                ));
                self.bar.set_position(*epoch as u64);
            }
            Event::EpochFinished(record) => self.advance(record),
            Event::PhaseFinished {
                phase,
                epochs,
                seconds,
            } => {
                self.bar.finish_and_clear();
                let name = name(phase);
                let losses = &self.losses;
                self.console.say(format_args!(
                    "  {name:<21} {epochs:>5} epochs   {seconds:>6.1} s   {losses}"
                ));
                if **phase == Phase::Pretraining {
                    self.start_spinner("initial centroids");
                }
            }
            Event::CentroidsFound {
                clusters, seconds, ..
            } => {
                self.bar.finish_and_clear();
                let name = "initial centroids";
                self.console.say(format_args!(
                    "  {name:<21} {clusters:>5} clusters {seconds:>6.1} s"
                ));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    /// Training that fails leaves no bar behind.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn name(phase: &Phase) -> String {
    match phase {
        Phase::LayerwisePretraining { layer } => format!("pretraining, layer {}", layer + 1),
        other => other.to_string(),
    }
}
