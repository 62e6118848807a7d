//! One fit as one HTML file.
//!
//! The file stands alone: pictures are within it, it loads nothing and runs no scripts, so it can
//! be mailed and archived. It is the same for the same fit, whenever it is written.

mod html;
mod sections;

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::atomic::write_atomically;
use crate::markers::{ClusterMarkers, MarkerConfig};
use crate::model::Fit;
use crate::nn::ReconstructionHead;
use crate::preprocess::Cells;
use crate::view::projection::{Projection, pca};

/// Marker genes shown of each cluster.
const MARKERS: usize = 10;

/// A report of one fit: what went in, settings, training, clusters, marker genes, and the agreement
/// with an annotation.
///
/// ```
/// use celldec::prelude::*;
/// use celldec::view::report::Report;
///
/// let simulation = SimulationConfig::new(120, 60).with_groups(3).with_seed(1).simulate()?;
/// let cells = Preprocess::scdcc().fit(&simulation.counts)?;
/// let fit = Plan::scdcc(3).with_epochs(2, 2).trainer(&Device::default())?.fit(&cells)?;
///
/// // A known group for every cell that preprocessing kept.
/// let groups: Vec<String> = cells
///     .kept_cells()
///     .iter()
///     .map(|&cell| format!("group {}", simulation.groups[cell]))
///     .collect();
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("report.html");
/// Report::new(&fit, &cells)
///     .with_title("Three simulated groups")
///     .with_annotation("group", &groups)
///     .save(&path)?;
/// assert!(std::fs::read_to_string(&path).unwrap().contains("Three simulated groups"));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug)]
pub struct Report<'a, H: ReconstructionHead> {
    fit: &'a Fit<H>,
    cells: &'a Cells,
    title: String,
    annotation: Option<Annotation>,
    projections: Vec<&'a Projection>,
    markers: Option<&'a [ClusterMarkers]>,
}

/// A known label of every cell.
#[derive(Debug)]
struct Annotation {
    name: String,
    labels: Vec<String>,
}

impl<'a, H: ReconstructionHead> Report<'a, H> {
    /// Of a fit and the cells that it was fitted to.
    ///
    /// Without more, cells are shown by their principal components and marker genes come from
    /// Wilcoxon's test among the genes that the network sees.
    pub fn new(fit: &'a Fit<H>, cells: &'a Cells) -> Self {
        Self {
            fit,
            cells,
            title: format!("Clusters of {} cells", cells.cells()),
            annotation: None,
            projections: Vec::new(),
            markers: None,
        }
    }

    /// Another title.
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What is known about the cells, for example published types: a name for it, and a label for
    /// every cell that preprocessing kept. Cells with an empty label do not count in the agreement.
    pub fn with_annotation<L: AsRef<str>>(mut self, name: impl Into<String>, labels: &[L]) -> Self {
        let labels = labels.iter().map(|label| label.as_ref().to_string());
        self.annotation = Some(Annotation {
            name: name.into(),
            labels: labels.collect(),
        });
        self
    }

    /// A projection of the embedding to show, instead of principal components; may be repeated.
    pub fn with_projection(mut self, projection: &'a Projection) -> Self {
        self.projections.push(projection);
        self
    }

    /// Marker genes to show, the first ten of each cluster, instead of those found among the genes
    /// that the network sees.
    pub fn with_markers(mut self, markers: &'a [ClusterMarkers]) -> Self {
        self.markers = Some(markers);
        self
    }

    /// Writes the report; the file appears only when it is complete.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html), and [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let html = self.to_html()?;
        write_atomically(path.as_ref(), |out| out.write_all(html.as_bytes()))
    }

    /// The report as an HTML document.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when cells, labels or a projection are not those of the fit;
    /// [`Error::Picture`] when there are too many clusters or labels to draw.
    pub fn to_html(&self) -> Result<String> {
        let expected = self.fit.clusters().labels().len();
        let lengths = [
            ("the list of cells given to a report", self.cells.cells()),
            (
                "the annotation given to a report",
                self.annotation
                    .as_ref()
                    .map_or(expected, |annotation| annotation.labels.len()),
            ),
        ];
        let projections = self.projections.iter().map(|projection| projection.cells());
        let projections = projections.map(|cells| ("a projection given to a report", cells));
        for (what, found) in lengths.into_iter().chain(projections) {
            if found != expected {
                return Err(Error::LengthMismatch {
                    what: what.into(),
                    expected,
                    found,
                });
            }
        }

        let components;
        let projections = if self.projections.is_empty() {
            components = pca(self.fit.embedding())?;
            vec![&components]
        } else {
            self.projections.clone()
        };
        let found;
        let markers = match self.markers {
            Some(markers) => markers,
            None => {
                found = self.find_markers()?;
                found.as_slice()
            }
        };
        let body = [
            sections::outcome(self.fit),
            sections::clusters(self.fit.clusters(), self.annotation.as_ref()),
            sections::alternatives(self.fit),
            sections::projections(&projections, self.fit, self.annotation.as_ref())?,
            sections::confidence(self.fit)?,
            sections::agreement(self.fit, self.annotation.as_ref())?,
            sections::markers(markers),
            sections::training(self.fit)?,
            sections::input(self.cells),
            sections::settings(self.fit.model().info(), self.cells),
        ]
        .concat();
        Ok(html::document(&self.title, &body))
    }

    /// Of all clusters that are large enough, and not all of the cells.
    fn find_markers(&self) -> Result<Vec<ClusterMarkers>> {
        let sizes = self.fit.clusters().sizes();
        let cells = self.cells.cells();
        let tested =
            (0..sizes.len()).filter(|&cluster| sizes[cluster] >= 2 && cells - sizes[cluster] >= 2);
        MarkerConfig::new()
            .with_limit(MARKERS)
            .with_clusters(tested)
            .find_in(self.cells, self.fit.clusters().labels())
    }
}
