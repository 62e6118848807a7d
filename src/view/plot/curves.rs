//! Losses and label changes by epoch.

use super::canvas::{Anchor, Canvas, Style, shortened};
use super::palette::of_group;
use super::panel::Panel;
use super::picture::Picture;
use crate::error::{Error, Result};
use crate::model::{EpochRecord, Phase, loss_names};

const COLUMNS: usize = 3;
const CELL: (f64, f64) = (300.0, 220.0);
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;

/// One curve: its title and (epoch, value).
struct Curve {
    title: String,
    points: Vec<(f64, f64)>,
    percent: bool,
}

/// Every term of the loss by epoch, one panel for each phase and term, because terms differ in
/// scale; then the percentage of cells whose label changed, at each update of the target.
///
/// Epochs count from 1 within a phase. Values that are not finite are left out.
///
/// # Errors
/// [`Error::EmptyInput`] without epochs.
///
/// ```
/// use celldec::model::{EpochRecord, Phase};
///
/// let epoch = |epoch: usize| {
///     let losses = vec![("zinb".into(), 1.0 / (epoch + 1) as f64)];
///     EpochRecord::new(Phase::Pretraining, epoch, losses)
/// };
/// let history: Vec<EpochRecord> = (0..5).map(epoch).collect();
/// let picture = celldec::view::plot::training_curves(&history)?;
/// assert!(picture.to_svg()?.contains("pretraining: zinb"));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn training_curves(history: &[EpochRecord]) -> Result<Picture> {
    let curves = curves(history);
    if curves.is_empty() {
        return Err(Error::EmptyInput {
            what: "the history of a fit".into(),
        });
    }
    let mut canvas = Canvas::default();
    for (index, curve) in curves.iter().enumerate() {
        let corner = (
            (index % COLUMNS) as f64 * CELL.0,
            (index / COLUMNS) as f64 * CELL.1,
        );
        draw(&mut canvas, curve, corner, of_group(color_of(curve)));
    }
    let columns = curves.len().min(COLUMNS);
    let rows = curves.len().div_ceil(COLUMNS);
    Picture::new(columns as f64 * CELL.0, rows as f64 * CELL.1, canvas)
}

fn curves(history: &[EpochRecord]) -> Vec<Curve> {
    let mut phases: Vec<&Phase> = Vec::new();
    for record in history {
        if !phases.contains(&&record.phase) {
            phases.push(&record.phase);
        }
    }
    let mut curves = Vec::new();
    for phase in phases {
        let records = || history.iter().filter(move |record| record.phase == *phase);
        let epoch = |record: &EpochRecord| (record.epoch + 1) as f64;
        for term in loss_names(records()) {
            let value = |record: &EpochRecord| Some((epoch(record), record.loss(&term)?));
            curves.push(Curve {
                title: format!("{phase}: {term}"),
                points: records().filter_map(value).collect(),
                percent: false,
            });
        }
        let changed = |record: &EpochRecord| {
            let changed = record.changed?;
            Some((epoch(record), 100.0 * changed))
        };
        curves.push(Curve {
            title: format!("{phase}: labels changed"),
            points: records().filter_map(changed).collect(),
            percent: true,
        });
    }
    for curve in &mut curves {
        curve.points.retain(|(_, value)| value.is_finite());
    }
    curves.retain(|curve| !curve.points.is_empty());
    curves
}

/// Losses in one colour, changes of labels in another.
fn color_of(curve: &Curve) -> usize {
    if curve.percent { 4 } else { 3 }
}

fn draw(canvas: &mut Canvas, curve: &Curve, corner: (f64, f64), color: kuva::render::color::Color) {
    let (first, last) = (curve.points[0].0, curve.points[curve.points.len() - 1].0);
    let values = || curve.points.iter().map(|&(_, value)| value);
    let (mut low, mut high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    );
    if curve.percent {
        low = 0.0;
    }
    let room = if high > low {
        0.06 * (high - low)
    } else {
        0.5 * high.abs().max(1e-3)
    };
    if !curve.percent {
        low -= room;
    }
    high += room;
    let panel = Panel {
        left: corner.0 + LEFT,
        top: corner.1 + TOP,
        width: CELL.0 - LEFT - RIGHT,
        height: CELL.1 - TOP - BOTTOM,
        x: if last > first {
            (first, last)
        } else {
            (first - 0.5, first + 0.5)
        },
        y: (low, high),
        whole_x: true,
    };
    let unit = if curve.percent { " %" } else { "" };
    panel.draw_axes(canvas, |value, decimals| {
        format!("{value:.decimals$}{unit}")
    });
    let places: Vec<(f64, f64)> = curve.points.iter().map(|&(x, y)| panel.map(x, y)).collect();
    // Few values are points in their own right, many are a line.
    if places.len() <= 40 {
        for &(x, y) in &places {
            canvas.circle(x, y, 2.4, color.clone());
        }
    }
    canvas.polyline(places, color, 1.6);
    let title = shortened(&curve.title, 13, CELL.0 - 24.0);
    let style = Style::new(13, Anchor::Start).bold();
    canvas.text(corner.0 + 12.0, corner.1 + 20.0, &title, style);
    let middle = panel.left + panel.width / 2.0;
    let style = Style::new(11, Anchor::Middle);
    canvas.text(middle, panel.bottom() + 34.0, "epoch", style);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(phase: Phase, epoch: usize, losses: &[(&str, f64)]) -> EpochRecord {
        let changes = phase == Phase::SelfTraining && epoch.is_multiple_of(2);
        EpochRecord {
            phase,
            epoch,
            losses: losses
                .iter()
                .map(|&(name, value)| (name.to_string(), value))
                .collect(),
            validation: Vec::new(),
            changed: changes.then_some(0.25),
            seconds: 0.0,
        }
    }

    #[test]
    fn every_term_of_every_phase_is_a_curve() {
        let history = [
            record(Phase::Pretraining, 0, &[("zinb", 2.0)]),
            record(Phase::Pretraining, 1, &[("zinb", f64::NAN)]),
            record(Phase::SelfTraining, 0, &[("zinb", 1.0), ("kl", 0.1)]),
            record(Phase::SelfTraining, 1, &[("zinb", 0.9), ("kl", 0.2)]),
        ];
        let found: Vec<(String, Vec<(f64, f64)>)> = curves(&history)
            .into_iter()
            .map(|curve| (curve.title, curve.points))
            .collect();
        let expected = [
            ("pretraining: zinb", vec![(1.0, 2.0)]),
            ("self-training: zinb", vec![(1.0, 1.0), (2.0, 0.9)]),
            ("self-training: kl", vec![(1.0, 0.1), (2.0, 0.2)]),
            ("self-training: labels changed", vec![(1.0, 25.0)]),
        ]
        .map(|(title, points)| (title.to_string(), points));
        assert_eq!(found, expected);
        let picture = training_curves(&history).unwrap();
        assert_eq!(picture.size(), (900.0, 440.0));
    }

    #[test]
    fn no_epochs_are_an_error() {
        let error = training_curves(&[]).unwrap_err();
        assert!(matches!(error, Error::EmptyInput { .. }));
    }
}
