//! Legends beside the plot area.

use super::canvas::{Anchor, Canvas, Style, shortened, text_width};
use super::palette::{FRAME, of_group, of_value};
use super::panel::{decimals_of, ticks};

const TEXT: u32 = 12;
const ROW: f64 = 19.0;
const SWATCH: f64 = 5.0;
const LONGEST: f64 = 260.0;
const GAP: f64 = 14.0;

/// A list of groups with their colours, in as many columns as the height needs.
pub(super) struct GroupLegend {
    labels: Vec<String>,
    rows: usize,
    column_width: f64,
}

impl GroupLegend {
    /// A legend at most `height` high.
    pub fn new(labels: Vec<String>, height: f64) -> Self {
        let labels: Vec<String> = labels
            .iter()
            .map(|label| shortened(label, TEXT, LONGEST))
            .collect();
        let widest = labels
            .iter()
            .map(|label| text_width(label, TEXT))
            .fold(0.0, f64::max);
        Self {
            labels,
            rows: ((height / ROW) as usize).max(1),
            column_width: 2.0 * SWATCH + 8.0 + widest + GAP,
        }
    }

    pub fn width(&self) -> f64 {
        self.labels.len().div_ceil(self.rows) as f64 * self.column_width
    }

    /// Draws the legend with its top left corner at a point.
    pub fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        for (group, label) in self.labels.iter().enumerate() {
            let x = left + (group / self.rows) as f64 * self.column_width;
            let y = top + ((group % self.rows) as f64 + 0.5) * ROW;
            canvas.circle(x + SWATCH, y, SWATCH, of_group(group));
            let style = Style::new(TEXT, Anchor::Start);
            canvas.text(x + 2.0 * SWATCH + 8.0, y + 4.5, label, style);
        }
    }
}

/// A colour bar.
pub(super) struct ColorBar<'a> {
    pub name: &'a str,
    pub low: f64,
    pub high: f64,
}

impl ColorBar<'_> {
    pub const WIDTH: f64 = 84.0;
    const BAR: f64 = 18.0;
    const STEPS: usize = 128;

    /// Draws the bar, `height` high, with its top left corner at a point.
    pub fn draw(&self, canvas: &mut Canvas, left: f64, top: f64, height: f64) {
        let step = height / Self::STEPS as f64;
        for index in 0..Self::STEPS {
            let value = 1.0 - (index as f64 + 0.5) / Self::STEPS as f64;
            // Half a pixel of overlap leaves no seams.
            let size = (Self::BAR, (step + 0.5).min(height - index as f64 * step));
            canvas.rectangle((left, top + index as f64 * step), size, of_value(value));
        }
        canvas.outline((left, top), (Self::BAR, height), FRAME);
        let right = left + Self::BAR;
        let ticks = ticks(self.low, self.high, 5);
        let decimals = decimals_of(&ticks);
        for tick in ticks {
            let y = top + height * (1.0 - (tick - self.low) / (self.high - self.low));
            canvas.line((right, y), (right + 4.0, y), FRAME, 1.0);
            let style = Style::new(11, Anchor::Start);
            canvas.text(right + 7.0, y + 4.0, &format!("{tick:.decimals$}"), style);
        }
        let style = Style::new(TEXT, Anchor::Middle).rotated(90.0);
        let name = shortened(self.name, TEXT, height);
        canvas.text(left + 64.0, top + height / 2.0, &name, style);
    }
}
