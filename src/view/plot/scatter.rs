//! Cells in two dimensions.

use kuva::render::color::Color;
use kuva::render::render::Primitive;

use super::canvas::{Anchor, Canvas, Style, shortened};
use super::legend::{ColorBar, GroupLegend};
use super::palette::{FRAME, of_group, of_value};
use super::picture::{Picture, Points};
use crate::error::{Error, Result};
use crate::metrics::encode_labels;
use crate::model::Assignment;
use crate::preprocess::Cells;
use crate::selection::median;
use crate::view::projection::Projection;

const SIDE: f64 = 500.0;
const MARGIN: f64 = 16.0;
const TITLE: f64 = 34.0;
const AXIS: f64 = 34.0;
/// Points are drawn in rounds, each with some cells of every group, so that no group covers the
/// others for coming last.
const ROUNDS: usize = 8;
/// Colours of values; more cannot be told apart.
const LEVELS: usize = 64;
/// Size of the names that stand among the points.
const LABEL: u32 = 13;
/// Total that counts are normalised to before log1p, as for marker genes.
const TARGET_SUM: f64 = 1e4;

/// Scatter plots of one projection.
///
/// Both axes have the same scale. The legend stands beside the points, never on them.
///
/// ```
/// use celldec::prelude::*;
/// use celldec::view::plot::Scatter;
/// use celldec::view::projection::Projection;
/// use ndarray::array;
///
/// let projection = Projection::new("PCA", array![[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]])?;
/// let scatter = Scatter::new(&projection).with_title("Three cells");
/// let soft = array![[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]];
/// let clusters = Assignment::from_soft(soft)?;
/// assert!(scatter.by_cluster(&clusters)?.to_svg()?.contains("Three cells"));
/// assert!(scatter.by_confidence(&clusters)?.to_svg()?.contains("largest soft assignment"));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scatter<'a> {
    projection: &'a Projection,
    title: Option<String>,
}

impl<'a> Scatter<'a> {
    /// Of a projection, titled by what the colours show.
    pub fn new(projection: &'a Projection) -> Self {
        Self {
            projection,
            title: None,
        }
    }

    /// Another title.
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Cells coloured by cluster; the number of a cluster stands among its cells.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the projection has other cells, [`Error::Picture`] when
    /// there are too many clusters for a legend.
    pub fn by_cluster(&self, clusters: &Assignment) -> Result<Picture> {
        let sizes = clusters.sizes();
        let names: Vec<String> = (0..sizes.len())
            .map(|cluster| cluster.to_string())
            .collect();
        self.by_group("cluster", clusters.labels(), &names)
    }

    /// Cells coloured by a label each, for example cell types; equal labels are a group.
    ///
    /// # Errors
    /// As [`by_cluster`](Self::by_cluster).
    pub fn by_label<L: AsRef<str>>(&self, labels: &[L]) -> Result<Picture> {
        // Numbers in their order, then names in theirs.
        let key = |label: &'_ L| {
            let label = label.as_ref();
            (label.parse().unwrap_or(u64::MAX), label.to_string())
        };
        let keys: Vec<(u64, String)> = labels.iter().map(key).collect();
        let (groups, keys) = encode_labels(&keys);
        let names: Vec<String> = keys.into_iter().map(|(_, name)| name).collect();
        self.by_group("label", &groups, &names)
    }

    /// Cells coloured by the largest soft assignment; unsure cells lie on top.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the projection has other cells.
    pub fn by_confidence(&self, clusters: &Assignment) -> Result<Picture> {
        let confidence: Vec<f64> = clusters.confidence().into_iter().map(f64::from).collect();
        let name = "largest soft assignment";
        self.values("confidence", name, &confidence, false)
    }

    /// Cells coloured by the log-normalised expression of a gene that the network sees:
    /// log1p of its counts per 10 000; high values lie on top.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the projection has other cells, [`Error::Picture`] when
    /// there is no such gene; those of the source, when counts are read from one.
    pub fn by_gene(&self, cells: &Cells, gene: &str) -> Result<Picture> {
        let found = cells.gene_names().iter().position(|name| name == gene);
        let Some(column) = found else {
            return Err(Error::Picture {
                reason: format!(
                    "there is no gene \"{gene}\" among the {} that the network sees",
                    cells.genes()
                ),
            });
        };
        let totals = cells.totals();
        let mut values = Vec::with_capacity(cells.cells());
        cells.visit(|cell, genes, counts| {
            let count = match genes.binary_search(&(column as u32)) {
                Ok(entry) => f64::from(counts[entry]),
                Err(_) => 0.0,
            };
            values.push((count / totals[cell] * TARGET_SUM).ln_1p());
        })?;
        let name = format!("{gene}, log1p of counts per 10 000");
        self.values(gene, &name, &values, true)
    }

    /// Cells coloured by a value each, on a scale from the smallest to the largest; high values
    /// lie on top.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the projection has other cells, [`Error::NonFiniteValue`]
    /// for a NaN or infinite value.
    pub fn by_value(&self, name: &str, values: &[f64]) -> Result<Picture> {
        self.values(name, name, values, true)
    }

    fn by_group<N: AsRef<str>>(
        &self,
        what: &str,
        groups: &[usize],
        names: &[N],
    ) -> Result<Picture> {
        self.check_length(groups.len())?;
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
        for (cell, &group) in groups.iter().enumerate() {
            members[group].push(cell);
        }
        let places = self.places();
        let mut points = self.points();
        for round in 0..ROUNDS {
            for (group, cells) in members.iter().enumerate() {
                let chosen = cells.iter().skip(round).step_by(ROUNDS);
                points.add(chosen.map(|&cell| places[cell]), of_group(group));
            }
        }
        let legend = GroupLegend::new(
            names
                .iter()
                .zip(&members)
                .map(|(name, cells)| format!("{} ({})", shown(name.as_ref()), cells.len()))
                .collect(),
            SIDE,
        );
        let mut above = Canvas::default();
        // Short names fit among the points; long ones would cover them.
        let short = names.iter().all(|name| name.as_ref().chars().count() <= 3);
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (name, cells) in names.iter().zip(&members) {
            if short && !cells.is_empty() {
                let at = free_place(label_place(cells, &places), &taken);
                taken.push(at);
                let (x, y) = (MARGIN + AXIS + at.0, TITLE + at.1);
                above.text_over_points(x, y, shown(name.as_ref()), LABEL);
            }
        }
        legend.draw(&mut above, legend_left(), TITLE);
        self.finish(what, points, above, legend.width())
    }

    fn values(&self, what: &str, name: &str, values: &[f64], high_on_top: bool) -> Result<Picture> {
        self.check_length(values.len())?;
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NonFiniteValue {
                what: format!("the list of values \"{name}\" of a scatter plot"),
                row,
                column: 0,
            });
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Equal values are at the lower end of a scale of their own.
        let high = if high > low { high } else { low + 1.0 };
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); LEVELS];
        for (cell, value) in values.iter().enumerate() {
            let level = (value - low) / (high - low) * (LEVELS - 1) as f64;
            members[level.round() as usize].push(cell);
        }
        let places = self.places();
        let mut points = self.points();
        let mut order: Vec<usize> = (0..LEVELS).collect();
        if !high_on_top {
            order.reverse();
        }
        for level in order {
            let color = of_value(level as f64 / (LEVELS - 1) as f64);
            points.add(members[level].iter().map(|&cell| places[cell]), color);
        }
        let mut above = Canvas::default();
        let bar = ColorBar { name, low, high };
        bar.draw(&mut above, legend_left(), TITLE + 40.0, SIDE - 80.0);
        self.finish(what, points, above, ColorBar::WIDTH)
    }

    fn check_length(&self, found: usize) -> Result<()> {
        if found == self.projection.cells() {
            Ok(())
        } else {
            Err(Error::LengthMismatch {
                what: "the list of what colours the cells of a projection".into(),
                expected: self.projection.cells(),
                found,
            })
        }
    }

    /// Every cell within the plot area, in pixels from its top left corner.
    fn places(&self) -> Vec<(f64, f64)> {
        let coordinates = self.projection.coordinates();
        let range = |column: usize| {
            let values = coordinates.column(column);
            let values = values.iter().map(|&value| f64::from(value));
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let ((left, right), (bottom, top)) = (range(0), range(1));
        let extent = (right - left).max(top - bottom);
        // A single point, or several at one place, go into the middle.
        let extent = if extent > 0.0 { extent } else { 1.0 };
        let scale = (SIDE - 28.0) / extent;
        let (middle, centre) = (0.5 * (left + right), 0.5 * (bottom + top));
        let place = |row: ndarray::ArrayView1<'_, f32>| {
            (
                SIDE / 2.0 + (f64::from(row[0]) - middle) * scale,
                SIDE / 2.0 - (f64::from(row[1]) - centre) * scale,
            )
        };
        coordinates.rows().into_iter().map(place).collect()
    }

    fn points(&self) -> Batches {
        let cells = self.projection.cells();
        Batches {
            radius: (60.0 / (cells as f64).sqrt() + 0.5).clamp(0.8, 4.0),
            count: cells,
            batches: Vec::new(),
        }
    }

    fn finish(
        &self,
        what: &str,
        points: Batches,
        mut above: Canvas,
        legend: f64,
    ) -> Result<Picture> {
        let (left, top) = (MARGIN + AXIS, TITLE);
        above.outline((left, top), (SIDE, SIDE), FRAME);
        let method = self.projection.method();
        let style = Style::new(12, Anchor::Middle);
        above.text(
            left + SIDE / 2.0,
            top + SIDE + 20.0,
            &format!("{method} 1"),
            style,
        );
        let side = format!("{method} 2");
        above.text(left - 12.0, top + SIDE / 2.0, &side, style.rotated(-90.0));

        let title = self
            .title
            .clone()
            .unwrap_or_else(|| format!("{method} of {} cells by {what}", self.projection.cells()));
        let width = legend_left() + legend + MARGIN;
        let title = shortened(&title, 15, width - left - MARGIN);
        above.text(
            left,
            top - 12.0,
            &title,
            Style::new(15, Anchor::Start).bold(),
        );
        Picture::with_points(
            width,
            top + SIDE + AXIS,
            Canvas::default(),
            Some(Points {
                corner: (left, top),
                size: (SIDE, SIDE),
                count: points.count,
                batches: points.batches,
            }),
            above,
        )
    }
}

/// Points by colour, in the order in which they are drawn.
struct Batches {
    radius: f64,
    count: usize,
    batches: Vec<Primitive>,
}

impl Batches {
    fn add(&mut self, places: impl Iterator<Item = (f64, f64)>, fill: Color) {
        let (cx, cy): (Vec<f64>, Vec<f64>) = places.unzip();
        if !cx.is_empty() {
            self.batches.push(Primitive::CircleBatch {
                cx,
                cy,
                r: self.radius,
                fill,
                fill_opacity: None,
                stroke: None,
                stroke_width: None,
            });
        }
    }
}

/// The median of some cells in both directions.
fn median_place(cells: &[usize], places: &[(f64, f64)]) -> (f64, f64) {
    let middle = |of: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = cells.iter().map(|&cell| of(&places[cell])).collect();
        median(&values)
    };
    (middle(|place| place.0), middle(|place| place.1))
}

/// Room of a name; names among the points have at most three characters.
const LABEL_WIDTH: f64 = 2.2 * LABEL as f64;
const LABEL_HEIGHT: f64 = 1.3 * LABEL as f64;

/// The middle of some cells, or just above it when a name there would cover most of them.
fn label_place(cells: &[usize], places: &[(f64, f64)]) -> (f64, f64) {
    let middle = median_place(cells, places);
    let is_covered = |&&cell: &&usize| {
        let place = places[cell];
        (place.0 - middle.0).abs() < LABEL_WIDTH / 2.0
            && (place.1 - middle.1).abs() < LABEL_HEIGHT / 2.0
    };
    if 2 * cells.iter().filter(is_covered).count() > cells.len() {
        (middle.0, middle.1 - LABEL_HEIGHT)
    } else {
        middle
    }
}

/// The nearest place above or below that no label has taken, within the plot area.
fn free_place(wanted: (f64, f64), taken: &[(f64, f64)]) -> (f64, f64) {
    let is_free = |place: &(f64, f64)| {
        let apart = |other: &(f64, f64)| {
            (place.0 - other.0).abs() >= LABEL_WIDTH || (place.1 - other.1).abs() >= LABEL_HEIGHT
        };
        (LABEL_HEIGHT..=SIDE - LABEL_HEIGHT).contains(&place.1) && taken.iter().all(apart)
    };
    let steps = (0..40).flat_map(|step| [f64::from(step), -f64::from(step)]);
    let mut tried = steps.map(|step| (wanted.0, wanted.1 + 0.5 * LABEL_HEIGHT * step));
    tried.find(is_free).unwrap_or(wanted)
}

fn legend_left() -> f64 {
    MARGIN + AXIS + SIDE + 20.0
}

fn shown(name: &str) -> &str {
    if name.is_empty() { "(none)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_cover_each_other() {
        let mut taken = Vec::new();
        for _ in 0..12 {
            taken.push(free_place((100.0, 30.0), &taken));
        }
        for (index, a) in taken.iter().enumerate() {
            for b in &taken[..index] {
                assert!((a.1 - b.1).abs() > 16.0, "{taken:?}");
            }
        }
        assert_eq!(taken[0], (100.0, 30.0));
    }

    #[test]
    fn a_small_group_is_not_covered_by_its_name() {
        let small = [(50.0, 60.0), (51.0, 61.0), (49.0, 60.0)];
        assert_eq!(label_place(&[0, 1, 2], &small), (50.0, 60.0 - LABEL_HEIGHT));
        let large = [(50.0, 10.0), (51.0, 61.0), (49.0, 160.0)];
        assert_eq!(label_place(&[0, 1, 2], &large), (50.0, 61.0));
    }

    #[test]
    fn numbers_are_in_their_order() {
        let coordinates = ndarray::array![[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]];
        let projection = Projection::new("x", coordinates).unwrap();
        let picture = Scatter::new(&projection)
            .by_label(&["10", "9", "b"])
            .unwrap();
        let svg = picture.to_svg().unwrap();
        let place = |text: &str| svg.find(text).unwrap();
        assert!(place("9 (1)") < place("10 (1)") && place("10 (1)") < place("b (1)"));
    }
}
