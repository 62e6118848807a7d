//! A plot area with numbered axes.

use kuva::render::render_utils::generate_ticks;

use super::canvas::{Anchor, Canvas, Style};
use super::palette::{FRAME, GRID};

const TICK_TEXT: u32 = 11;

/// Where data lie within a picture.
pub(super) struct Panel {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: (f64, f64),
    pub y: (f64, f64),
    /// Whether only whole numbers have a meaning on the horizontal axis.
    pub whole_x: bool,
}

impl Panel {
    pub fn map(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (
            self.left + across * self.width,
            self.top + (1.0 - up) * self.height,
        )
    }

    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Grid, frame and numbers.
    pub fn draw_axes(&self, canvas: &mut Canvas, format_y: impl Fn(f64, usize) -> String) {
        let style = Style::new(TICK_TEXT, Anchor::End);
        let marks = ticks(self.y.0, self.y.1, 4);
        let decimals = decimals_of(&marks);
        for mark in marks {
            let (_, y) = self.map(self.x.0, mark);
            canvas.line((self.left, y), (self.left + self.width, y), GRID, 1.0);
            canvas.text(self.left - 6.0, y + 4.0, &format_y(mark, decimals), style);
        }
        let style = Style::new(TICK_TEXT, Anchor::Middle);
        let mut marks = ticks(self.x.0, self.x.1, (self.width / 60.0) as usize);
        if self.whole_x {
            marks.retain(|mark| mark.fract() == 0.0);
        }
        let decimals = decimals_of(&marks);
        for mark in marks {
            let (x, _) = self.map(mark, self.y.0);
            let bottom = self.bottom();
            canvas.line((x, bottom), (x, bottom + 4.0), FRAME, 1.0);
            canvas.text(x, bottom + 17.0, &format!("{mark:.decimals$}"), style);
        }
        canvas.outline((self.left, self.top), (self.width, self.height), FRAME);
    }
}

/// Round numbers between two different ones, about as many as asked for.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let slack = (high - low) * 1e-9;
    let mut ticks = generate_ticks(low, high, count.max(2));
    ticks.retain(|&tick| tick >= low - slack && tick <= high + slack);
    ticks
}

/// Decimals that tell the ticks apart.
pub(super) fn decimals_of(ticks: &[f64]) -> usize {
    let steps = ticks.windows(2).map(|pair| pair[1] - pair[0]);
    // A single tick has to be told from nothing but its own rounding.
    let step = steps.reduce(f64::min).or(ticks.first().copied());
    let step = step.unwrap_or(1.0).abs();
    // A step of 0.25 needs one decimal more than its order of magnitude says.
    let decimals = (0..12).find(|&decimals| {
        let scaled = step * 10f64.powi(decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    decimals.unwrap_or(12) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let marks = ticks(0.13, 1.94, 5);
        assert!(marks.len() >= 3, "{marks:?}");
        assert!(marks.iter().all(|mark| (0.13..=1.94).contains(mark)));
        assert_eq!(decimals_of(&[0.0, 0.25, 0.5]), 2);
        assert_eq!(decimals_of(&[0.0, 0.2, 0.4]), 1);
        assert_eq!(decimals_of(&[0.0, 50.0, 100.0]), 0);
        assert_eq!(decimals_of(&[0.0002, 0.0004]), 4);
        assert_eq!(decimals_of(&[3.0]), 0);
        assert_eq!(decimals_of(&[]), 0);
    }

    #[test]
    fn values_grow_to_the_right_and_upwards() {
        let panel = Panel {
            left: 10.0,
            top: 20.0,
            width: 100.0,
            height: 50.0,
            x: (0.0, 2.0),
            y: (-1.0, 1.0),
            whole_x: false,
        };
        assert_eq!(panel.map(0.0, -1.0), (10.0, 70.0));
        assert_eq!(panel.map(2.0, 1.0), (110.0, 20.0));
    }
}
