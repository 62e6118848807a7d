//! Clusters against a known annotation.

use super::canvas::{Anchor, Canvas, Style, shortened, text_width};
use super::palette::{FRAME, of_fraction, text_on};
use super::picture::Picture;
use crate::error::{Error, Result};
use crate::metrics::encode_labels;

const CELL: (f64, f64) = (46.0, 26.0);
const TEXT: u32 = 12;
const LONGEST: f64 = 240.0;
const TITLE: f64 = 36.0;
const MARGIN: f64 = 16.0;

/// How many cells of every cluster have which label, as a heat map: each row is a cluster, colours
/// are fractions of the cluster, the numbers are cells. Labels are ordered by the cluster that
/// holds most of their cells, so that agreement lies along the diagonal.
///
/// # Errors
/// [`Error::LengthMismatch`] when there is not one label for each cell, [`Error::EmptyInput`]
/// without cells, [`Error::Picture`] when there are too many clusters or labels to show.
///
/// ```
/// use celldec::view::plot::cluster_table;
///
/// let picture = cluster_table(&[0, 0, 1, 1], &["B cell", "B cell", "T cell", "B cell"])?;
/// assert!(picture.to_svg()?.contains("T cell"));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn cluster_table<L: AsRef<str>>(clusters: &[usize], labels: &[L]) -> Result<Picture> {
    if clusters.len() != labels.len() {
        return Err(Error::LengthMismatch {
            what: "the list of labels in a table of clusters".into(),
            expected: clusters.len(),
            found: labels.len(),
        });
    }
    if clusters.is_empty() {
        return Err(Error::EmptyInput {
            what: "the list of labels in a table of clusters".into(),
        });
    }
    let table = CountTable::new(clusters, labels);
    Drawing::new(&table).picture()
}

/// Cells by cluster and label, both as they are shown.
pub(in crate::view) struct CountTable {
    /// Labels of the clusters, rising.
    pub clusters: Vec<usize>,
    /// The annotation's labels, by the cluster that holds most of their cells.
    pub labels: Vec<String>,
    /// Cells `[clusters][labels]`.
    pub counts: Vec<Vec<usize>>,
}

impl CountTable {
    /// From as many labels as cells.
    pub fn new<L: AsRef<str>>(clusters: &[usize], labels: &[L]) -> Self {
        let labels: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
        let (rows, clusters) = encode_labels(clusters);
        let (columns, labels) = encode_labels(&labels);
        let mut counts = vec![vec![0usize; labels.len()]; clusters.len()];
        for (row, column) in rows.into_iter().zip(columns) {
            counts[row][column] += 1;
        }
        let main = |&column: &usize| {
            let most = (0..counts.len()).map(|row| counts[row][column]).enumerate();
            // Of equals, the first cluster.
            most.fold(
                (0, 0),
                |best, (row, count)| {
                    if count > best.1 { (row, count) } else { best }
                },
            )
        };
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|column| {
            let (row, count) = main(column);
            (row, std::cmp::Reverse(count))
        });
        Self {
            labels: order.iter().map(|&c| labels[c].to_string()).collect(),
            counts: counts
                .iter()
                .map(|row| order.iter().map(|&c| row[c]).collect())
                .collect(),
            clusters,
        }
    }
}

struct Drawing<'a> {
    table: &'a CountTable,
    row_names: Vec<String>,
    column_names: Vec<String>,
    left: f64,
    top: f64,
}

impl<'a> Drawing<'a> {
    fn new(table: &'a CountTable) -> Self {
        let row_names: Vec<String> = table
            .clusters
            .iter()
            .zip(&table.counts)
            .map(|(cluster, row)| format!("{cluster} ({})", row.iter().sum::<usize>()))
            .collect();
        let column_names: Vec<String> = table
            .labels
            .iter()
            .map(|label| {
                let name = if label.is_empty() { "(none)" } else { label };
                shortened(name, TEXT, LONGEST)
            })
            .collect();
        let widest = |names: &[String]| {
            let widths = names.iter().map(|name| text_width(name, TEXT));
            widths.fold(0.0, f64::max)
        };
        Self {
            left: MARGIN + 22.0 + widest(&row_names) + 8.0,
            // Column names stand upright.
            top: TITLE + widest(&column_names) + 10.0,
            row_names,
            column_names,
            table,
        }
    }

    fn picture(&self) -> Result<Picture> {
        let columns = self.column_names.len() as f64 * CELL.0;
        let rows = self.row_names.len() as f64 * CELL.1;
        let mut canvas = Canvas::default();
        for (row, (counts, name)) in self.table.counts.iter().zip(&self.row_names).enumerate() {
            let y = self.top + row as f64 * CELL.1;
            let style = Style::new(TEXT, Anchor::End);
            canvas.text(self.left - 8.0, y + CELL.1 / 2.0 + 4.5, name, style);
            let total: usize = counts.iter().sum();
            for (column, &count) in counts.iter().enumerate() {
                let x = self.left + column as f64 * CELL.0;
                let background = of_fraction(count as f64 / total as f64);
                canvas.rectangle((x, y), CELL, background.clone());
                if count > 0 {
                    let at = (x + CELL.0 / 2.0, y + CELL.1 / 2.0 + 4.5);
                    let style = Style::new(TEXT, Anchor::Middle);
                    let text = count.to_string();
                    canvas.colored_text(at.0, at.1, &text, style, text_on(&background));
                }
            }
        }
        canvas.outline((self.left, self.top), (columns, rows), FRAME);
        for (column, name) in self.column_names.iter().enumerate() {
            let x = self.left + (column as f64 + 0.5) * CELL.0 + 4.5;
            let style = Style::new(TEXT, Anchor::Start).rotated(-90.0);
            canvas.text(x, self.top - 8.0, name, style);
        }
        let style = Style::new(TEXT, Anchor::Middle).rotated(-90.0);
        canvas.text(
            MARGIN + 6.0,
            self.top + rows / 2.0,
            "cluster (cells)",
            style,
        );

        let legend = self.top + rows + 26.0;
        let width = self.draw_scale(&mut canvas, legend);
        let title = "Cells by cluster and label";
        canvas.text(12.0, 22.0, title, Style::new(15, Anchor::Start).bold());
        let title_width = 12.0 + 1.1 * text_width(title, 15);
        let width = (self.left + columns.max(width)).max(title_width) + MARGIN;
        Picture::new(width, legend + 46.0, canvas)
    }

    /// The scale of the colours; returns its width.
    fn draw_scale(&self, canvas: &mut Canvas, top: f64) -> f64 {
        const STEPS: usize = 60;
        const WIDTH: f64 = 180.0;
        for step in 0..STEPS {
            let x = self.left + step as f64 * WIDTH / STEPS as f64;
            let color = of_fraction((step as f64 + 0.5) / STEPS as f64);
            canvas.rectangle((x, top), (WIDTH / STEPS as f64 + 0.4, 12.0), color);
        }
        canvas.outline((self.left, top), (WIDTH, 12.0), FRAME);
        let style = Style::new(11, Anchor::Start);
        canvas.text(self.left, top + 27.0, "0", style);
        let style = Style::new(11, Anchor::Middle);
        canvas.text(
            self.left + WIDTH / 2.0,
            top + 27.0,
            "fraction of the cluster",
            style,
        );
        let style = Style::new(11, Anchor::End);
        canvas.text(self.left + WIDTH, top + 27.0, "1", style);
        WIDTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_clusters_that_hold_them() {
        let labels = ["z", "z", "a", "a", "a", "m"];
        let table = CountTable::new(&[2, 2, 7, 7, 2, 7], &labels);
        assert_eq!(table.clusters, [2, 7]);
        assert_eq!(table.labels, ["z", "a", "m"]);
        assert_eq!(table.counts, [[2, 1, 0], [0, 2, 1]]);
    }
}
