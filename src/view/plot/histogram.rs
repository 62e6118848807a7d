//! How sure the assignments are.

use super::canvas::{Anchor, Canvas, Style};
use super::palette::of_group;
use super::panel::Panel;
use super::picture::Picture;
use crate::error::{Error, Result};
use crate::model::Assignment;

const BINS: usize = 25;

/// Histogram of the largest soft assignment of every cell, from 0 to 1.
///
/// # Errors
/// [`Error::EmptyInput`] without cells.
///
/// ```
/// use celldec::model::Assignment;
/// use ndarray::array;
///
/// let clusters = Assignment::from_soft(array![[0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])?;
/// let picture = celldec::view::plot::confidence_histogram(&clusters)?;
/// assert!(picture.to_svg()?.contains("largest soft assignment"));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn confidence_histogram(clusters: &Assignment) -> Result<Picture> {
    let confidence = clusters.confidence();
    if confidence.is_empty() {
        return Err(Error::EmptyInput {
            what: "the assignment of cells to clusters".into(),
        });
    }
    let mut bins = [0usize; BINS];
    for value in &confidence {
        // Rounding may lift a probability above 1, and 1 itself belongs to the last bin.
        bins[((f64::from(*value) * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let highest = bins.iter().copied().max().unwrap_or(1);
    let panel = Panel {
        left: 66.0,
        top: 36.0,
        width: 420.0,
        height: 210.0,
        x: (0.0, 1.0),
        y: (0.0, 1.06 * highest as f64),
        whole_x: false,
    };
    let mut canvas = Canvas::default();
    panel.draw_axes(&mut canvas, |value, _| format!("{value:.0}"));
    for (bin, &count) in bins.iter().enumerate() {
        let (left, top) = panel.map(bin as f64 / BINS as f64, count as f64);
        let (right, bottom) = panel.map((bin + 1) as f64 / BINS as f64, 0.0);
        let size = (right - left - 1.0, bottom - top);
        canvas.rectangle((left + 0.5, top), size, of_group(3));
    }
    let style = Style::new(12, Anchor::Middle);
    let middle = panel.left + panel.width / 2.0;
    canvas.text(
        middle,
        panel.bottom() + 38.0,
        "largest soft assignment",
        style,
    );
    let height = panel.top + panel.height / 2.0;
    canvas.text(16.0, height, "cells", style.rotated(-90.0));
    let title = format!("Confidence of {} cells", confidence.len());
    canvas.text(12.0, 22.0, &title, Style::new(15, Anchor::Start).bold());
    Picture::new(506.0, panel.bottom() + 50.0, canvas)
}
