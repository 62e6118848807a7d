//! A target that agrees with must-link and cannot-link pairs.

use burn::tensor::Tensor;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::{PairField, SoftmaxRegression, pair_groups};
use crate::description::Description;
use crate::error::{ParameterError, Result};
use crate::graph::{EmbeddedCells, NeighborSearch};
use crate::loss::Target;
use crate::preprocess::Fingerprint;
use crate::selection::argmax;
use crate::start::FEWEST_KNOWN;
use crate::tensors::{array_to_tensor, read_matrix};

/// How often paired cells and the classifier learned from them inform each other.
const ROUNDS: usize = 2;

/// A [`Target`] that agrees with must-link and cannot-link pairs of cells.
///
/// The losses of pairs ([`MustLinkLoss`](super::MustLinkLoss),
/// [`CannotLinkLoss`](super::CannotLinkLoss)) look at two cells at a time. What all pairs together
/// say about clusters, also about those of other cells, comes in here, by changing the soft
/// assignment q before it becomes a target:
///
/// 1. Paired cells take the assignment r of a hidden Markov random field over the pairs, with q as
///    prior (Basu et al., *KDD* 2004; by mean field):
///    `r_ic ∝ q_ic exp(β (Σ_must-link r_jc − Σ_cannot-link r_jc))`, `β = ln((1 − ε)/ε)`, where ε is
///    the share of pairs that are thought to be wrong. It starts at the groups of cells that most
///    pairs agree on.
/// 2. A multinomial logistic regression learns r from the embedding of the paired cells. All cells
///    take `(1 − w) q + w c`, where c is q with what it gives to the regression's clusters divided
///    anew by the regression. Clusters without a paired cell keep what q gives them. The weight of
///    n paired cells is `w = n / (n + 5 clusters)`: q counts as much as five cells a cluster.
/// 3. Both once more, with the changed assignment as the prior. Then the target is that of the
///    wrapped one, for paired cells r.
///
/// Pairs may contradict each other; no labels are needed, and there may be more clusters than pairs
/// tell apart. Without pairs the target is that of the wrapped one.
///
/// ```
/// use celldec::loss::{SharpenedTarget, SmoothedTarget};
/// use celldec::pairs::GuidedTarget;
///
/// let smoothed = SmoothedTarget::new(SharpenedTarget::new(), 15);
/// let guided = GuidedTarget::new(smoothed, &[(0, 1)], &[(1, 2)]).with_pair_errors(0.1)?;
/// assert!(guided.with_pair_errors(0.5).is_err());
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GuidedTarget<T> {
    target: T,
    field: PairField,
    groups: Vec<Vec<usize>>,
    pair_errors: f64,
    /// Fingerprint of the pairs, for descriptions: there may be many.
    pairs: String,
}

impl<T> GuidedTarget<T> {
    /// `target` made to agree with pairs of cells, of which a twentieth may be wrong.
    pub fn new(target: T, must_link: &[(usize, usize)], cannot_link: &[(usize, usize)]) -> Self {
        let mut groups = pair_groups(must_link, cannot_link);
        groups.retain(|group| group.len() >= FEWEST_KNOWN);
        Self {
            target,
            field: PairField::new(must_link, cannot_link),
            groups,
            pair_errors: 0.05,
            pairs: fingerprint([must_link, cannot_link]),
        }
    }

    /// Sets the share of pairs that are thought to be wrong.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] unless it is above 0 and below 0.5.
    pub fn with_pair_errors(mut self, share: f64) -> Result<Self, ParameterError> {
        check_pair_errors(share)?;
        self.pair_errors = share;
        Ok(self)
    }

    /// [`with_pair_errors`](Self::with_pair_errors) of a share that was checked.
    pub(crate) fn with_checked_pair_errors(mut self, share: f64) -> Self {
        self.pair_errors = share;
        self
    }

    /// The soft assignment `[cells, clusters]` that agrees with the pairs, and its rows of the
    /// paired cells.
    fn guided(&self, q: Array2<f32>, embedding: ArrayView2<f32>) -> [Array2<f32>; 2] {
        let cells = self.field.cells();
        let groups = &self.groups[..self.groups.len().min(q.ncols())];
        let strength = ((1.0 - self.pair_errors) / self.pair_errors).ln();
        let prior_cells = (FEWEST_KNOWN * q.ncols()) as f32;
        let weight = cells.len() as f32 / (cells.len() as f32 + prior_cells);
        let q_paired = q.select(Axis(0), cells);
        let mut paired = at_groups(q_paired.clone(), cells, groups);
        let mut guided = q.clone();
        for _ in 0..ROUNDS {
            let prior = guided.select(Axis(0), cells);
            paired = self.field.infer(prior.view(), paired, strength);
            let Some(regression) = SoftmaxRegression::fit(embedding, cells, paired.view()) else {
                break;
            };
            let seen = clusters_of([q_paired.view(), paired.view()]);
            let probabilities = regression.probabilities(embedding);
            let rows = guided.rows_mut().into_iter().zip(q.rows());
            for ((mut guided, q), c) in rows.zip(probabilities.rows()) {
                let of_seen = |row: ArrayView1<f32>| seen.iter().map(|&j| row[j]).sum::<f32>();
                // The regression knows no other clusters; its share of them is next to nothing.
                let scale = of_seen(q) / of_seen(c).max(f32::MIN_POSITIVE);
                for &cluster in &seen {
                    guided[cluster] = (1.0 - weight) * q[cluster] + weight * scale * c[cluster];
                }
            }
        }
        assign_rows(&mut guided, cells, paired.view());
        [guided, paired]
    }
}

/// A fingerprint of must-link and cannot-link pairs.
pub(crate) fn fingerprint(pairs: [&[(usize, usize)]; 2]) -> String {
    let mut hash = Fingerprint::new();
    for pairs in pairs {
        hash.number(pairs.len());
        for &(first, second) in pairs {
            hash.number(first);
            hash.number(second);
        }
    }
    format!("{:016x}", hash.finish())
}

/// Checks the share of pairs that are thought to be wrong.
pub(crate) fn check_pair_errors(share: f64) -> Result<(), ParameterError> {
    if share > 0.0 && share < 0.5 {
        return Ok(());
    }
    Err(ParameterError::OutOfRange {
        name: "the share of constraint pairs that may be wrong",
        requirement: "above 0 and below 0.5",
        value: share,
    })
}

/// The assignment of paired `cells` `[paired cells, clusters]`, where those of a group are certain
/// of one cluster: each group takes the one that its cells are assigned to most, the clearest group
/// first, and no two take the same.
fn at_groups(q: Array2<f32>, cells: &[usize], groups: &[Vec<usize>]) -> Array2<f32> {
    let position = |cell: &usize| cells.partition_point(|other| other < cell);
    let members: Vec<Vec<usize>> = groups
        .iter()
        .map(|group| group.iter().map(position).collect())
        .collect();
    let mut shares = Vec::new();
    for (group, members) in members.iter().enumerate() {
        for cluster in 0..q.ncols() {
            let sum: f64 = members
                .iter()
                .map(|&row| f64::from(q[[row, cluster]]))
                .sum();
            shares.push((sum / members.len() as f64, group, cluster));
        }
    }
    shares.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut placed = vec![false; groups.len()];
    let mut taken = vec![false; q.ncols()];
    let mut assignment = q;
    for (_, group, cluster) in shares {
        if !placed[group] && !taken[cluster] {
            (placed[group], taken[cluster]) = (true, true);
            for &row in &members[group] {
                assignment.row_mut(row).fill(0.0);
                assignment[[row, cluster]] = 1.0;
            }
        }
    }
    assignment
}

/// The clusters that are the most probable one of a cell in any of the assignments.
fn clusters_of(assignments: [ArrayView2<f32>; 2]) -> Vec<usize> {
    let mut clusters = std::collections::BTreeSet::new();
    for row in assignments.iter().flat_map(|assignment| assignment.rows()) {
        clusters.insert(argmax(row));
    }
    clusters.into_iter().collect()
}

fn assign_rows(values: &mut Array2<f32>, cells: &[usize], rows: ArrayView2<f32>) {
    for (&cell, row) in cells.iter().zip(rows.rows()) {
        values.row_mut(cell).assign(&row);
    }
}

impl<T: Target> Target for GuidedTarget<T> {
    /// # Errors
    /// [`ParameterError::OutOfRange`] when a pair names a cell that is not there, and those of the
    /// wrapped one.
    fn target(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        let Some(&last) = self.field.cells().last() else {
            return self.target.target(q, cells);
        };
        if last >= cells.embedding().nrows() {
            return Err(ParameterError::OutOfRange {
                name: "the largest cell of the pairs that guide a target",
                requirement: "below the number of cells",
                value: last as f64,
            }
            .into());
        }
        let device = q.device();
        let [guided, paired] = self.guided(read_matrix(q)?, cells.embedding());
        let target = self
            .target
            .target(array_to_tensor(guided.view(), &device), cells)?;
        let mut target = read_matrix(target)?;
        assign_rows(&mut target, self.field.cells(), paired.view());
        Ok(array_to_tensor(target.view(), &device))
    }

    fn warning(&self, cells: usize, search: &NeighborSearch) -> Option<String> {
        self.target.warning(cells, search)
    }

    fn check(&self) -> Result<(), ParameterError> {
        check_pair_errors(self.pair_errors)?;
        self.target.check()
    }

    fn description(&self) -> Description {
        Description::new("guided_by_pairs")
            .with("of", self.target.description())
            .with("pairs", &self.pairs)
            .with("pair_errors", self.pair_errors)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rand::RngExt;

    use super::*;
    use crate::graph::NeighborMemory;
    use crate::loss::SharpenedTarget;
    use crate::random::{Purpose, stream};

    /// Three groups of `size` cells at the corners of a triangle, with their group.
    fn triangle(size: usize) -> (Array2<f32>, Vec<usize>) {
        let corners = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        let mut random = stream(3, Purpose::Simulation, 0, 0);
        let cells = Array2::from_shape_fn((3 * size, 2), |(cell, dimension)| {
            corners[cell / size][dimension] + 2.0 * random.random::<f32>()
        });
        (cells, (0..3 * size).map(|cell| cell / size).collect())
    }

    /// All pairs of every `step`-th cell; `wrong` chooses those that are swapped.
    fn pairs(groups: &[usize], step: usize, wrong: f64) -> [Vec<(usize, usize)>; 2] {
        let mut random = stream(5, Purpose::Constraints, 0, 0);
        let mut pairs = [Vec::new(), Vec::new()];
        for first in (0..groups.len()).step_by(step) {
            for second in (0..first).step_by(step) {
                let apart = (groups[first] != groups[second]) != random.random_bool(wrong);
                pairs[usize::from(apart)].push((first, second));
            }
        }
        pairs
    }

    /// What k-means might say that cut the first group in two and took the others for one.
    fn bad_assignment(groups: &[usize]) -> Array2<f32> {
        Array2::from_shape_fn((groups.len(), 3), |(cell, cluster)| {
            let cluster_of = match groups[cell] {
                0 => cell % 2,
                _ => 2,
            };
            if cluster == cluster_of { 0.6 } else { 0.2 }
        })
    }

    fn target<T: Target>(wrapped: &T, q: &Array2<f32>, embedding: &Array2<f32>) -> Array2<f32> {
        let memory = NeighborMemory::new(1);
        let cells = EmbeddedCells::new(embedding.view(), &memory);
        let q = array_to_tensor(q.view(), &Device::default());
        read_matrix(wrapped.target(q, &cells).expect("a target")).expect("a matrix")
    }

    fn agreement(groups: &[usize], target: &Array2<f32>) -> f64 {
        let labels: Vec<usize> = target
            .rows()
            .into_iter()
            .map(|row| (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best }))
            .collect();
        crate::metrics::adjusted_rand_index(groups, &labels).expect("labels")
    }

    #[test]
    fn a_few_paired_cells_correct_the_clusters_of_all() {
        let (embedding, groups) = triangle(60);
        let q = bad_assignment(&groups);
        let plain = SharpenedTarget::new();
        assert!(agreement(&groups, &target(&plain, &q, &embedding)) < 0.5);
        for wrong in [0.0, 0.05] {
            let [together, apart] = pairs(&groups, 6, wrong);
            let guided = GuidedTarget::new(plain, &together, &apart);
            let target = target(&guided, &q, &embedding);
            let found = agreement(&groups, &target);
            assert!(found > 0.95, "{wrong} wrong: {found}");
            for row in target.rows() {
                assert!((row.sum() - 1.0).abs() < 1e-4, "{row}");
            }
        }
    }

    #[test]
    fn clusters_without_paired_cells_keep_what_they_have() {
        let (embedding, groups) = triangle(40);
        let q = Array2::from_shape_fn(
            (120, 3),
            |(cell, cluster)| {
                if groups[cell] == cluster { 0.8 } else { 0.1 }
            },
        );
        // Pairs among the first two groups only.
        let [together, apart] = pairs(&groups[..80], 5, 0.0);
        let guided = GuidedTarget::new(SharpenedTarget::new(), &together, &apart);
        let [found, _] = guided.guided(q.clone(), embedding.view());
        for cell in 80..120 {
            assert!((found[[cell, 2]] - 0.8).abs() < 1e-6, "cell {cell}");
        }
    }

    #[test]
    fn without_pairs_the_target_is_that_of_the_wrapped_loss() {
        let (embedding, groups) = triangle(20);
        let q = bad_assignment(&groups);
        let plain = SharpenedTarget::new();
        assert_eq!(
            target(&GuidedTarget::new(plain, &[], &[]), &q, &embedding),
            target(&plain, &q, &embedding)
        );
    }

    #[test]
    fn a_pair_of_a_cell_that_is_not_there_is_an_error() {
        let (embedding, groups) = triangle(20);
        let memory = NeighborMemory::new(1);
        let cells = EmbeddedCells::new(embedding.view(), &memory);
        let guided = GuidedTarget::new(SharpenedTarget::new(), &[(0, 60)], &[]);
        let q = array_to_tensor(bad_assignment(&groups).view(), &Device::default());
        let error = guided.target(q, &cells).expect_err("cell 60 of 60");
        assert!(error.to_string().contains("60"), "{error}");
    }
}
