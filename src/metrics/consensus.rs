//! One clustering out of several of the same cells, and how far they agree.

use serde::{Deserialize, Serialize};

use super::agreement::adjusted_rand_index;
use super::assignment::match_clusters;
use crate::error::{Error, Result};
use crate::parallel::try_map;
use crate::selection::argmax;

/// What several clusterings of the same cells agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Consensus {
    /// The clustering that agrees best with the others (highest mean adjusted Rand index), by its
    /// place among those given.
    pub medoid: usize,
    /// The consensus label of every cell `[cells]`, in the numbers of the medoid's clusters.
    pub labels: Vec<usize>,
    /// The fraction of clusterings that give a cell its consensus label `[cells]`.
    pub agreement: Vec<f32>,
    /// How stable each of the medoid's clusters is `[clusters]`: the Jaccard index with the most
    /// similar cluster of another clustering, mean over the others (Hennig, Comput. Stat. Data Anal.
    /// 2007, who calls clusters below 0.6 doubtful and above 0.85 highly stable).
    pub stability: Vec<f64>,
    /// Mean adjusted Rand index over all pairs of clusterings.
    pub mean_agreement: f64,
}

/// The consensus of `labelings` `[clusterings][cells]`, by vote: the clusters of every clustering
/// are matched one to one with those of the medoid (clusters in excess with the one that they share
/// most cells with), and each cell takes the label that most clusterings give it, of equals the
/// medoid's (Dudoit and Fridlyand, Bioinformatics 2003).
///
/// ```
/// use celldec::metrics::consensus;
///
/// let found = consensus(&[vec![0, 0, 1, 1], vec![1, 1, 0, 0], vec![0, 0, 0, 1]])?;
/// assert_eq!(found.labels, [0, 0, 1, 1]);
/// assert_eq!(found.agreement, [1.0, 1.0, 2.0 / 3.0, 1.0]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::EmptyInput`] without clusterings or cells, [`Error::LengthMismatch`] when they have
/// different numbers of cells, and as [`match_clusters`].
pub fn consensus(labelings: &[Vec<usize>]) -> Result<Consensus> {
    let Some(first) = labelings.first() else {
        return Err(Error::EmptyInput {
            what: "the list of clusterings".into(),
        });
    };
    let cells = first.len();
    let count = labelings.len();
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
        .collect();
    let agreements = try_map(pairs.len(), |pair| {
        let (a, b) = pairs[pair];
        adjusted_rand_index(&labelings[a], &labelings[b])
    })?;
    let mut sums = vec![0.0; count];
    for (&(a, b), agreement) in pairs.iter().zip(&agreements) {
        sums[a] += agreement;
        sums[b] += agreement;
    }
    let medoid = argmax(&sums);
    let reference = &labelings[medoid];
    let clusters = reference.iter().max().map_or(0, |&last| last + 1);
    let mut votes = vec![0u32; cells * clusters];
    let mut stability = vec![0.0; clusters];
    for (number, labels) in labelings.iter().enumerate() {
        let renamed = renamed(reference, labels)?;
        for (cell, &label) in renamed.iter().enumerate() {
            votes[cell * clusters + label] += 1;
        }
        if number != medoid {
            for (cluster, jaccard) in best_jaccard(reference, labels, clusters).iter().enumerate() {
                stability[cluster] += jaccard / (count - 1) as f64;
            }
        }
    }
    if count == 1 {
        stability.fill(1.0);
    }
    let (mut labels, mut agreement) = (reference.clone(), Vec::with_capacity(cells));
    for (label, votes) in labels.iter_mut().zip(votes.chunks(clusters.max(1))) {
        for (cluster, &count) in votes.iter().enumerate() {
            if count > votes[*label] {
                *label = cluster;
            }
        }
        agreement.push(votes[*label] as f32 / count as f32);
    }
    Ok(Consensus {
        medoid,
        labels,
        agreement,
        stability,
        mean_agreement: match agreements.len() {
            0 => 1.0,
            pairs => agreements.iter().sum::<f64>() / pairs as f64,
        },
    })
}

/// `labels` in the numbers of the reference's clusters.
fn renamed(reference: &[usize], labels: &[usize]) -> Result<Vec<usize>> {
    let count = labels.iter().max().map_or(0, |&last| last + 1);
    let mut names = vec![None; count];
    for (cluster, name) in match_clusters(reference, labels)? {
        names[cluster] = Some(name);
    }
    let mut shared = std::collections::BTreeMap::<(usize, usize), usize>::new();
    for (&name, &cluster) in reference.iter().zip(labels) {
        *shared.entry((cluster, name)).or_default() += 1;
    }
    let mut most = vec![(0usize, 0usize); count];
    for (&(cluster, name), &cells) in &shared {
        if cells > most[cluster].0 {
            most[cluster] = (cells, name);
        }
    }
    Ok(labels
        .iter()
        .map(|&cluster| names[cluster].unwrap_or(most[cluster].1))
        .collect())
}

/// The Jaccard index of every cluster of `reference` with the most similar cluster of `labels`; 0
/// for one without cells.
pub(crate) fn best_jaccard(reference: &[usize], labels: &[usize], clusters: usize) -> Vec<f64> {
    let sizes = |labels: &[usize]| {
        let mut sizes = std::collections::BTreeMap::<usize, usize>::new();
        for &label in labels {
            *sizes.entry(label).or_default() += 1;
        }
        sizes
    };
    let (reference_sizes, other_sizes) = (sizes(reference), sizes(labels));
    let mut shared = std::collections::BTreeMap::<(usize, usize), usize>::new();
    for (&a, &b) in reference.iter().zip(labels) {
        *shared.entry((a, b)).or_default() += 1;
    }
    let mut best = vec![0.0f64; clusters];
    for (&(a, b), &cells) in &shared {
        let union = reference_sizes[&a] + other_sizes[&b] - cells;
        best[a] = best[a].max(cells as f64 / union as f64);
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clusters_in_excess_join_the_one_they_share_most_with() {
        let whole = vec![0, 0, 0, 0, 1, 1, 1, 1];
        let split = vec![0, 0, 0, 2, 1, 1, 1, 1];
        let found = consensus(&[whole.clone(), split, whole.clone()]).unwrap();
        assert_eq!(found.labels, whole);
        assert_eq!(found.medoid, 0);
        assert_eq!(found.agreement, [1.0; 8]);
        assert_eq!(found.stability, [(0.75 + 1.0) / 2.0, 1.0]);
    }

    #[test]
    fn one_clustering_agrees_with_itself() {
        let found = consensus(&[vec![3, 3, 0]]).unwrap();
        assert_eq!(found.labels, [3, 3, 0]);
        assert_eq!((found.mean_agreement, found.stability.len()), (1.0, 4));
    }

    #[test]
    fn unequal_lengths_and_nothing_are_refused() {
        assert!(matches!(consensus(&[]), Err(Error::EmptyInput { .. })));
        assert!(matches!(
            consensus(&[vec![]]),
            Err(Error::EmptyInput { .. })
        ));
        assert!(matches!(
            consensus(&[vec![0, 1], vec![0]]),
            Err(Error::LengthMismatch { .. })
        ));
    }

    proptest! {
        /// Renaming the clusters of a clustering changes nothing.
        #[test]
        fn names_do_not_matter(
            base in prop::collection::vec(0usize..4, 20),
            other in prop::collection::vec(0usize..4, 20),
        ) {
            let third = base.clone();
            let plain = consensus(&[base.clone(), other.clone(), third.clone()]).unwrap();
            let renamed = other.iter().map(|label| 9 - label).collect();
            let found = consensus(&[base, renamed, third]).unwrap();
            prop_assert_eq!(plain.agreement.iter().all(|&a| a > 0.3 && a <= 1.0), true);
            prop_assert_eq!(plain.medoid, found.medoid);
            prop_assert_eq!(plain.labels, found.labels);
            prop_assert_eq!(plain.stability, found.stability);
        }
    }
}
