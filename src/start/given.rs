//! Starts that the user gives: centroids, or the cluster of every cell.

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView2};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::initial::InitialCentroids;
use super::kmeans::nearest_centroids;
use crate::error::{Error, ParameterError, Result};
use crate::graph::points::means;
use crate::preprocess::Fingerprint;

/// Centroids that are given, for [`CentroidStart::Given`](super::CentroidStart::Given): those of
/// another fit whose encoder is used again, or of a method of one's own.
///
/// ```
/// use celldec::start::{CentroidStart, GivenCentroids, initial_centroids};
/// use ndarray::array;
///
/// let cells = array![[0.0f32, 0.1], [0.2, 0.0], [5.0, 5.1]];
/// let given = GivenCentroids::new(array![[5.0, 5.0], [0.0, 0.0]])?;
/// let found = initial_centroids(cells.view(), &CentroidStart::Given(given), 0)?;
/// assert_eq!(found.labels, [1, 1, 0]);
///
/// assert!(GivenCentroids::new(array![[5.0, 5.0]]).is_err());
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// A plan's record, which models and checkpoints hold, has the centroids themselves where they are
/// few numbers, and their fingerprint where they are many: such a record cannot be read back.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenCentroids(Array2<f32>);

impl GivenCentroids {
    /// Centroids `[clusters, latent]`.
    ///
    /// # Errors
    /// [`ParameterError::TooFewClusters`] for fewer than two rows, [`Error::EmptyInput`] for rows
    /// without values, [`Error::NonFiniteValue`] for a value that is NaN or infinite.
    pub fn new(centroids: Array2<f32>) -> Result<Self> {
        let clusters = centroids.nrows();
        if clusters < 2 {
            return Err(ParameterError::TooFewClusters { clusters }.into());
        }
        let what = || "the given centroids".to_string();
        if centroids.ncols() == 0 {
            return Err(Error::EmptyInput { what: what() });
        }
        let mut values = centroids.indexed_iter();
        match values.find(|(_, value)| !value.is_finite()) {
            None => Ok(Self(centroids)),
            Some(((row, column), _)) => Err(Error::NonFiniteValue {
                what: what(),
                row,
                column,
            }),
        }
    }

    /// The centroids `[clusters, latent]`.
    pub fn centroids(&self) -> ArrayView2<'_, f32> {
        self.0.view()
    }

    /// Checks that there are no more clusters than cells.
    pub(super) fn validate(&self, cells: usize) -> Result<()> {
        check_clusters(self.0.nrows(), cells)
    }

    /// The centroids, and the nearest one of every cell.
    pub(super) fn find(&self, embedding: ArrayView2<f32>) -> Result<InitialCentroids> {
        self.validate(embedding.nrows())?;
        self.check_width(embedding.ncols())?;
        let labels = nearest_centroids(embedding, self.0.view());
        Ok(InitialCentroids::new(self.0.clone(), labels))
    }

    /// Checks that the centroids are as long as a latent space is wide.
    pub(super) fn check_width(&self, latent: usize) -> Result<()> {
        if self.0.ncols() == latent {
            return Ok(());
        }
        Err(Error::LengthMismatch {
            what: "a given centroid (as long as the latent space is wide)".into(),
            expected: latent,
            found: self.0.ncols(),
        })
    }
}

/// Checks what can be wrong with labels before there are cells: there are at least two, from 0 on,
/// each with a cell.
pub(super) fn check_labels(labels: &[usize]) -> Result<()> {
    let present: BTreeSet<usize> = labels.iter().copied().collect();
    let clusters = present.len();
    if clusters < 2 {
        return Err(ParameterError::TooFewClusters { clusters }.into());
    }
    let expected = 0..clusters;
    match expected
        .zip(&present)
        .find(|(label, found)| label != *found)
    {
        None => Ok(()),
        Some((label, _)) => Err(ParameterError::Conflict {
            reason: format!(
                "no cell has the label {label} of the labels given as a start; number them from 0 \
                 without gaps (`metrics::encode_labels` does)"
            ),
        }
        .into()),
    }
}

/// Checks labels for data of `cells` cells.
pub(super) fn validate_labels(labels: &[usize], cells: usize) -> Result<()> {
    check_labels(labels)?;
    if labels.len() == cells {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            what: "the labels given as a start (one for every cell that preprocessing kept)".into(),
            expected: cells,
            found: labels.len(),
        })
    }
}

/// The means of labelled cells.
pub(super) fn from_labels(
    embedding: ArrayView2<f32>,
    labels: &[usize],
) -> Result<InitialCentroids> {
    validate_labels(labels, embedding.nrows())?;
    let centroids = means(embedding, labels);
    Ok(InitialCentroids::new(centroids, labels.to_vec()))
}

fn check_clusters(clusters: usize, cells: usize) -> Result<()> {
    if clusters > cells {
        Err(ParameterError::Clusters { clusters, cells }.into())
    } else {
        Ok(())
    }
}

/// More values than this are recorded by their fingerprint: records are for reading.
const MOST_RECORDED: usize = 64;

/// What files and records hold.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Record<V> {
    Values(V),
    Summary {
        /// Number of clusters or cells, whichever the list has one entry for.
        entries: usize,
        fingerprint: String,
    },
}

impl<V> Record<V> {
    /// The values as they were, which only a short list has.
    fn values<E: serde::de::Error>(self) -> Result<V, E> {
        match self {
            Self::Values(values) => Ok(values),
            Self::Summary { .. } => Err(E::custom(
                "the start is recorded by its fingerprint alone; give centroids or labels again",
            )),
        }
    }
}

impl Serialize for GivenCentroids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = if self.0.len() <= MOST_RECORDED {
            let rows = self.0.rows().into_iter();
            Record::Values(rows.map(|row| row.to_vec()).collect::<Vec<_>>())
        } else {
            let mut hash = Fingerprint::new();
            hash.number(self.0.ncols());
            for &value in &self.0 {
                hash.float(value);
            }
            Record::Summary {
                entries: self.0.nrows(),
                fingerprint: format!("{:016x}", hash.finish()),
            }
        };
        record.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GivenCentroids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows: Vec<Vec<f32>> = Record::deserialize(deserializer)?.values()?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(D::Error::custom(
                "centroids differ in their number of values",
            ));
        }
        let shape = (rows.len(), width);
        let centroids = Array2::from_shape_vec(shape, rows.into_iter().flatten().collect())
            .map_err(D::Error::custom)?;
        Self::new(centroids).map_err(D::Error::custom)
    }
}

/// How labels are recorded.
pub(super) mod labels {
    use super::*;

    pub(in crate::start) fn serialize<S: Serializer>(
        labels: &[usize],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let record = if labels.len() <= MOST_RECORDED {
            Record::Values(labels)
        } else {
            let mut hash = Fingerprint::new();
            for &label in labels {
                hash.number(label);
            }
            Record::Summary {
                entries: labels.len(),
                fingerprint: format!("{:016x}", hash.finish()),
            }
        };
        record.serialize(serializer)
    }

    pub(in crate::start) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<usize>, D::Error> {
        Record::deserialize(deserializer)?.values()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::blobs::blobs;
    use super::super::{CentroidStart, initial_centroids};
    use super::*;

    #[test]
    fn given_centroids_label_the_nearest_cells() {
        let (points, truth) = blobs(3, 30, 20.0);
        let centroids = means(points.view(), &truth);
        let given = GivenCentroids::new(centroids.clone()).unwrap();
        let start = CentroidStart::Given(given);
        let found = initial_centroids(points.view(), &start, 1).unwrap();
        assert_eq!((found.centroids, found.labels), (centroids, truth));
        assert_eq!(found.resolution, None);
    }

    #[test]
    fn labels_give_the_means_of_their_cells() {
        let points = array![[0.0f32, 2.0], [9.0, 9.0], [2.0, 4.0]];
        let start = CentroidStart::Labels(vec![1, 0, 1]);
        let found = initial_centroids(points.view(), &start, 1).unwrap();
        assert_eq!(found.centroids, array![[9.0, 9.0], [1.0, 3.0]]);
        assert_eq!(found.labels, [1, 0, 1]);
    }

    #[test]
    fn impossible_centroids_are_refused() {
        let error = GivenCentroids::new(array![[1.0, 2.0]]).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
        let error = GivenCentroids::new(array![[1.0, 2.0], [f32::NAN, 0.0]]).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NonFiniteValue {
                    row: 1,
                    column: 0,
                    ..
                }
            ),
            "{error}"
        );
        assert!(GivenCentroids::new(Array2::zeros((3, 0))).is_err());

        let start = CentroidStart::Given(GivenCentroids::new(Array2::eye(3)).unwrap());
        assert!(start.check_settings().is_ok());
        assert!(start.validate(2).is_err());
        let (points, _) = blobs(2, 10, 5.0);
        let error = initial_centroids(points.view(), &start, 1).unwrap_err();
        assert!(
            matches!(
                error,
                Error::LengthMismatch {
                    expected: 4,
                    found: 3,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn impossible_labels_are_refused() {
        for labels in [vec![], vec![0, 0], vec![7, 7]] {
            let error = CentroidStart::Labels(labels).check_settings().unwrap_err();
            assert!(error.to_string().contains("at least 2"), "{error}");
        }
        for labels in [vec![0, 2], vec![1, 2], vec![0, usize::MAX]] {
            let error = CentroidStart::Labels(labels).check_settings().unwrap_err();
            assert!(error.to_string().contains("no cell has"), "{error}");
        }
        let start = CentroidStart::Labels(vec![0, 1, 0]);
        assert!(start.check_settings().is_ok() && start.validate(3).is_ok());
        let error = start.validate(4).unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    }

    #[test]
    fn long_starts_are_recorded_by_their_fingerprint() {
        let centroids = |value| {
            let centroids = Array2::from_elem((5, 20), value);
            CentroidStart::Given(GivenCentroids::new(centroids).unwrap())
        };
        let labels = |last| {
            let labels = (0..100).map(|cell| cell % 2).chain([last]);
            CentroidStart::Labels(labels.collect())
        };
        for [start, other] in [[centroids(1.0), centroids(2.0)], [labels(0), labels(1)]] {
            let text = serde_json::to_string(&start).unwrap();
            assert!(text.len() < 100 && text.contains("fingerprint"), "{text}");
            assert_ne!(serde_json::to_string(&other).unwrap(), text);
            let error = serde_json::from_str::<CentroidStart>(&text).unwrap_err();
            assert!(error.to_string().contains("again"), "{error}");
        }
    }

    #[test]
    fn short_starts_survive_json() {
        for start in [
            CentroidStart::Given(GivenCentroids::new(array![[0.1f32, -1.0], [1e-7, 3.0]]).unwrap()),
            CentroidStart::Labels(vec![0, 1, 1]),
        ] {
            let text = serde_json::to_string(&start).unwrap();
            let read: CentroidStart = serde_json::from_str(&text).unwrap();
            assert_eq!(read, start, "{text}");
        }
        let ragged = r#"{"Given":[[1.0,2.0],[3.0]]}"#;
        assert!(serde_json::from_str::<CentroidStart>(ragged).is_err());
    }
}
