//! Pairs of cells that belong together or apart.

use std::collections::BTreeMap;

use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::groups::pair_groups;
use crate::error::{ConstraintError, Error, Result};
use crate::random::{Purpose, stream};

/// Must-link and cannot-link pairs of cells, by their positions in the
/// [`Cells`](crate::preprocess::Cells) that are clustered.
///
/// ```
/// use celldec::pairs::ConstraintPairs;
///
/// let pairs = ConstraintPairs::new(vec![(0, 1)], vec![(1, 2)])?;
/// assert_eq!(pairs.must_link(), [(0, 1)]);
///
/// // 0 and 1 belong together, so 0 and 1 cannot belong apart.
/// assert!(ConstraintPairs::new(vec![(0, 1)], vec![(1, 0)]).is_err());
///
/// // Or drawn from cells whose type is known (`None`: unknown).
/// let types = [Some(0), Some(1), None, Some(0)];
/// let pairs = ConstraintPairs::from_labels(&types, 3, 7)?;
/// assert_eq!((pairs.must_link().len(), pairs.cannot_link().len()), (1, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// Pairs that are read with serde are checked as [`new`](Self::new) checks them; those with a member
/// `contradicting` that is true, which is what pairs that do contradict each other are stored with,
/// as [`with_contradictions`](Self::with_contradictions) does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ConstraintPairs {
    must_link: Vec<(usize, usize)>,
    cannot_link: Vec<(usize, usize)>,
}

/// What is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    must_link: Vec<(usize, usize)>,
    cannot_link: Vec<(usize, usize)>,
    /// Whether pairs may contradict each other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    contradicting: bool,
}

impl From<ConstraintPairs> for Stored {
    fn from(pairs: ConstraintPairs) -> Self {
        Self {
            contradicting: !pairs.contradictions().is_empty(),
            must_link: pairs.must_link,
            cannot_link: pairs.cannot_link,
        }
    }
}

impl TryFrom<Stored> for ConstraintPairs {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        if stored.contradicting {
            Self::with_contradictions(stored.must_link, stored.cannot_link)
        } else {
            Self::new(stored.must_link, stored.cannot_link)
        }
    }
}

impl ConstraintPairs {
    /// Checked pairs; either list may be empty.
    ///
    /// # Errors
    /// [`ConstraintError::SelfPair`] for a pair of a cell with itself,
    /// [`ConstraintError::Contradiction`] when a cannot-link pair lies within cells that
    /// must-link pairs connect, directly or through others.
    pub fn new(must_link: Vec<(usize, usize)>, cannot_link: Vec<(usize, usize)>) -> Result<Self> {
        let pairs = Self::with_contradictions(must_link, cannot_link)?;
        let conflicts = pairs.contradictions();
        if let Some(&(first, second)) = conflicts.first() {
            return Err(ConstraintError::Contradiction {
                first,
                second,
                count: conflicts.len(),
                pairs: conflicts,
            }
            .into());
        }
        Ok(pairs)
    }

    /// Pairs that may contradict each other, as pairs from several experts or from a noisy
    /// annotation do. Each acts on its own in the losses; in what follows from several together
    /// ([`known_groups`](Self::known_groups)) the majority decides.
    ///
    /// # Errors
    /// [`ConstraintError::SelfPair`] for a pair of a cell with itself.
    pub fn with_contradictions(
        must_link: Vec<(usize, usize)>,
        cannot_link: Vec<(usize, usize)>,
    ) -> Result<Self> {
        for (kind, pairs) in [("must-link", &must_link), ("cannot-link", &cannot_link)] {
            if let Some((pair, &(cell, _))) =
                pairs.iter().enumerate().find(|(_, pair)| pair.0 == pair.1)
            {
                return Err(ConstraintError::SelfPair { kind, pair, cell }.into());
            }
        }
        Ok(Self {
            must_link,
            cannot_link,
        })
    }

    /// Cannot-link pairs within cells that must-link pairs connect.
    fn contradictions(&self) -> Vec<(usize, usize)> {
        let mut components = self.components();
        let pairs = self.cannot_link.iter().copied();
        pairs
            .filter(|&(first, second)| components.find(first) == components.find(second))
            .collect()
    }

    fn components(&self) -> Components {
        let mut components = Components::default();
        for &(first, second) in &self.must_link {
            components.join(first, second);
        }
        components
    }

    /// Groups of at least two cells of which the pairs say that each lies in one cluster, and any
    /// two in different ones, largest group first: cells that must-link pairs connect, where
    /// cannot-link pairs part a group from every larger one.
    ///
    /// When pairs contradict each other the majority decides: the two groups between which
    /// must-link pairs outnumber cannot-link pairs the most are joined, again and again, until there
    /// are none (greedy additive edge contraction, Keuper et al., *ICCV* 2015).
    pub fn known_groups(&self) -> Vec<Vec<usize>> {
        pair_groups(&self.must_link, &self.cannot_link)
    }

    /// Draws `count` different pairs of labelled cells at random, as the scDCC authors do: a pair
    /// is must-link when its labels agree, cannot-link when they differ.
    ///
    /// # Errors
    /// [`ConstraintError::TooFewPairs`] when the labelled cells have fewer than `count` pairs.
    pub fn from_labels(labels: &[Option<usize>], count: usize, seed: u64) -> Result<Self> {
        let labelled: Vec<(usize, usize)> = labels
            .iter()
            .enumerate()
            .filter_map(|(cell, label)| label.map(|label| (cell, label)))
            .collect();
        let available = labelled.len() * labelled.len().saturating_sub(1) / 2;
        if count > available {
            return Err(Error::from(ConstraintError::TooFewPairs {
                kind: "constraint",
                asked: count,
                available,
            }));
        }
        let mut rng = stream(seed, Purpose::Constraints, 0, 0);
        let mut must_link = Vec::new();
        let mut cannot_link = Vec::new();
        for number in index::sample(&mut rng, available, count) {
            let (first, second) = pair_of(number);
            let ((first, first_label), (second, second_label)) =
                (labelled[first], labelled[second]);
            if first_label == second_label {
                must_link.push((first, second));
            } else {
                cannot_link.push((first, second));
            }
        }
        Self::new(must_link, cannot_link)
    }

    /// Draws `count` different pairs of labelled cells whose labels differ, at random: cannot-link
    /// pairs.
    ///
    /// # Errors
    /// [`ConstraintError::TooFewPairs`] when the labelled cells have fewer than `count` such pairs.
    pub fn cannot_link_from_labels(
        labels: &[Option<usize>],
        count: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (cell, label) in labels.iter().enumerate() {
            if let Some(label) = label {
                groups.entry(*label).or_default().push(cell);
            }
        }
        let groups: Vec<Vec<usize>> = groups.into_values().collect();
        // Pairs are numbered group by group: those of a group's cells with all cells of later ones.
        let mut later: Vec<usize> = groups.iter().map(Vec::len).collect();
        for group in (0..later.len()).rev() {
            later[group] = later.get(group + 1).copied().unwrap_or(0) + groups[group].len();
        }
        let pairs_of = |group: usize| {
            let others = later.get(group + 1).copied().unwrap_or(0);
            groups[group].len() * others
        };
        let available = (0..groups.len()).map(pairs_of).sum();
        if count > available {
            return Err(Error::from(ConstraintError::TooFewPairs {
                kind: "cannot-link",
                asked: count,
                available,
            }));
        }
        let cells: Vec<usize> = groups.concat();
        let mut rng = stream(seed, Purpose::Constraints, 0, 0);
        let drawn = index::sample(&mut rng, available, count).into_iter();
        let cannot_link = drawn.map(|mut number| {
            let mut group = 0;
            while number >= pairs_of(group) {
                number -= pairs_of(group);
                group += 1;
            }
            let others = later[group + 1];
            let first = groups[group][number / others];
            (first, cells[cells.len() - others + number % others])
        });
        Self::new(Vec::new(), cannot_link.collect())
    }

    /// Pairs that belong to one cluster.
    pub fn must_link(&self) -> &[(usize, usize)] {
        &self.must_link
    }

    /// Pairs that belong to different clusters.
    pub fn cannot_link(&self) -> &[(usize, usize)] {
        &self.cannot_link
    }

    /// Every cell of a pair, once, rising.
    pub(crate) fn cells(&self) -> Vec<usize> {
        let pairs = self.must_link.iter().chain(&self.cannot_link);
        let mut cells: Vec<usize> = pairs.flat_map(|&(first, second)| [first, second]).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.must_link.is_empty() && self.cannot_link.is_empty()
    }

    /// Checks that every pair names cells below `cells`.
    pub(crate) fn check_range(&self, cells: usize) -> Result<(), ConstraintError> {
        for (kind, pairs) in [
            ("must-link", &self.must_link),
            ("cannot-link", &self.cannot_link),
        ] {
            if let Some((pair, &(first, second))) = pairs
                .iter()
                .enumerate()
                .find(|(_, pair)| pair.0 >= cells || pair.1 >= cells)
            {
                return Err(ConstraintError::OutOfRange {
                    kind,
                    pair,
                    first,
                    second,
                    cells,
                });
            }
        }
        Ok(())
    }
}

/// The `number`-th unordered pair (first > second) in the order (1,0), (2,0), (2,1), (3,0), …
fn pair_of(number: usize) -> (usize, usize) {
    let mut first = ((1.0 + (1.0 + 8.0 * number as f64).sqrt()) / 2.0) as usize;
    // The square root may be off by one for large numbers.
    while first * (first - 1) / 2 > number {
        first -= 1;
    }
    while (first + 1) * first / 2 <= number {
        first += 1;
    }
    (first, number - first * (first - 1) / 2)
}

/// Connected components of the must-link pairs; kept by cell in a map, so that a cell beyond
/// every matrix does not decide how much memory they take.
#[derive(Default)]
struct Components {
    parent: std::collections::HashMap<usize, usize>,
}

impl Components {
    fn find(&mut self, cell: usize) -> usize {
        let mut root = cell;
        while let Some(&parent) = self.parent.get(&root) {
            root = parent;
        }
        let mut current = cell;
        while let Some(&parent) = self.parent.get(&current) {
            self.parent.insert(current, root);
            current = parent;
            if current == root {
                break;
            }
        }
        root
    }

    fn join(&mut self, first: usize, second: usize) {
        let (first, second) = (self.find(first), self.find(second));
        if first != second {
            self.parent.insert(first, second);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn contradicting_pairs_are_taken_where_they_may_be() {
        let contradicting =
            || ConstraintPairs::with_contradictions(vec![(0, 1), (1, 2)], vec![(0, 2)]);
        // What joins 2 to the group is as much as what parts it.
        assert_eq!(contradicting().unwrap().known_groups(), [vec![0, 1]]);
        assert!(ConstraintPairs::default().known_groups().is_empty());
        assert!(ConstraintPairs::with_contradictions(vec![(1, 1)], vec![]).is_err());
    }

    #[test]
    fn all_pairs_of_labelled_cells_give_their_groups() {
        let labels = [
            Some(2),
            Some(0),
            None,
            Some(2),
            Some(0),
            Some(1),
            Some(2),
            Some(1),
        ];
        let pairs = ConstraintPairs::from_labels(&labels, 21, 3).unwrap();
        assert_eq!(
            pairs.known_groups(),
            [vec![0, 3, 6], vec![1, 4], vec![5, 7]]
        );
    }

    #[test]
    fn every_pair_of_different_labels_can_be_drawn_and_no_other() {
        let labels = [
            Some(4),
            None,
            Some(0),
            Some(4),
            Some(2),
            Some(0),
            None,
            Some(4),
        ];
        let mut expected = Vec::new();
        for (first, label) in labels.iter().enumerate() {
            for (second, other) in labels.iter().enumerate().skip(first + 1) {
                if label.is_some() && other.is_some() && label != other {
                    expected.push((first, second));
                }
            }
        }
        let count = expected.len();
        let pairs = ConstraintPairs::cannot_link_from_labels(&labels, count, 3).unwrap();
        let ordered = |&(a, b): &(usize, usize)| (a.min(b), a.max(b));
        let mut found: Vec<_> = pairs.cannot_link().iter().map(ordered).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(ConstraintPairs::cannot_link_from_labels(&labels, count + 1, 3).is_err());
        assert!(
            ConstraintPairs::cannot_link_from_labels(&[], 0, 3)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn pairs_are_numbered_without_gaps() {
        let pairs: Vec<_> = (0..10).map(pair_of).collect();
        assert_eq!(pairs[..4], [(1, 0), (2, 0), (2, 1), (3, 0)]);
        let far = 12_345_678_901;
        let (first, second) = pair_of(far);
        assert_eq!(first * (first - 1) / 2 + second, far);
        assert!(second < first);
    }

    #[test]
    fn a_cannot_link_inside_a_must_link_component_is_refused() {
        let error = ConstraintPairs::new(vec![(0, 1), (1, 2), (3, 4)], vec![(0, 2), (0, 3)])
            .expect_err("0, 1 and 2 are one component");
        assert!(
            matches!(
                error,
                Error::Constraint(ConstraintError::Contradiction {
                    first: 0,
                    second: 2,
                    count: 1,
                    ..
                })
            ),
            "{error}"
        );
    }

    #[test]
    fn a_pair_of_a_cell_with_itself_is_refused() {
        let error = ConstraintPairs::new(vec![], vec![(1, 2), (5, 5)]).expect_err("(5, 5)");
        assert!(error.to_string().contains("cannot-link pair 1: cell 5"));
    }

    #[test]
    fn pairs_that_are_read_are_checked() {
        let read = |text: &str| serde_json::from_str::<ConstraintPairs>(text);
        for (text, expected) in [
            (
                r#"{"must_link":[[1,2]],"cannot_link":[[5,5]]}"#,
                "cannot-link pair 0: cell 5",
            ),
            (
                r#"{"must_link":[[5,5]],"cannot_link":[],"contradicting":true}"#,
                "must-link pair 0: cell 5",
            ),
            (
                r#"{"must_link":[[0,1],[1,2]],"cannot_link":[[2,0]]}"#,
                "(2, 0)",
            ),
            (r#"{"must_link":[[0,1]],"cannotlink":[]}"#, "cannotlink"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        for pairs in [
            ConstraintPairs::default(),
            ConstraintPairs::new(vec![(0, 1)], vec![(1, 2)]).unwrap(),
            ConstraintPairs::with_contradictions(vec![(0, 1), (1, 2)], vec![(0, 2)]).unwrap(),
        ] {
            let text = serde_json::to_string(&pairs).unwrap();
            assert_eq!(read(&text).expect(&text), pairs);
        }
    }

    #[test]
    fn the_last_cell_that_a_number_can_name_is_a_cell() {
        let last = usize::MAX;
        let pairs = ConstraintPairs::new(vec![(0, last)], vec![(last, 1)]).unwrap();
        assert_eq!(pairs.known_groups(), [vec![0, last]]);
        assert!(pairs.check_range(last).is_err());
    }

    #[test]
    fn cells_out_of_range_are_named() {
        let pairs = ConstraintPairs::new(vec![(0, 9)], vec![]).expect("valid without a matrix");
        assert!(pairs.check_range(10).is_ok());
        let error = pairs.check_range(9).expect_err("cell 9 of 9");
        assert!(error.to_string().contains("(0, 9)"), "{error}");
    }

    #[test]
    fn more_pairs_than_exist_are_refused() {
        let labels = [Some(0), Some(0), None, Some(1)];
        assert!(ConstraintPairs::from_labels(&labels, 3, 1).is_ok());
        let error = ConstraintPairs::from_labels(&labels, 4, 1).expect_err("only 3 pairs");
        assert!(error.to_string().contains("allow only 3"), "{error}");
    }

    proptest! {
        #[test]
        fn drawn_pairs_are_different_and_right(
            labels in prop::collection::vec(prop::option::of(0usize..4), 2..60),
            seed: u64,
        ) {
            let known = labels.iter().flatten().count();
            let count = known * known.saturating_sub(1) / 4;
            let pairs = ConstraintPairs::from_labels(&labels, count, seed).unwrap();
            let mut all: Vec<_> = pairs
                .must_link()
                .iter()
                .chain(pairs.cannot_link())
                .map(|&(a, b)| (a.min(b), a.max(b)))
                .collect();
            prop_assert_eq!(all.len(), count);
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            for &(a, b) in pairs.must_link() {
                prop_assert!(labels[a].is_some() && labels[a] == labels[b]);
            }
            for &(a, b) in pairs.cannot_link() {
                prop_assert!(labels[a].is_some() && labels[b].is_some() && labels[a] != labels[b]);
            }
        }
    }
}
