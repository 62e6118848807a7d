//! Groups of cells that agree best with must-link and cannot-link pairs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Bound;

/// Votes of pairs between cells or groups of cells: must-link minus cannot-link pairs.
pub(super) type Votes = BTreeMap<usize, BTreeMap<usize, i64>>;

/// The votes of pairs between cells, each pair in both directions.
pub(super) fn votes(must_link: &[(usize, usize)], cannot_link: &[(usize, usize)]) -> Votes {
    let mut votes = Votes::new();
    for (pairs, vote) in [(must_link, 1), (cannot_link, -1)] {
        for &(first, second) in pairs {
            *votes.entry(first).or_default().entry(second).or_default() += vote;
            *votes.entry(second).or_default().entry(first).or_default() += vote;
        }
    }
    votes
}

/// Groups of at least two cells of which the pairs say that each lies in one cluster, and any two
/// in different ones; largest first.
///
/// Groups are joined greedily: the two between which must-link pairs outnumber cannot-link pairs
/// the most become one, again and again, until there are none (greedy additive edge contraction,
/// Keuper et al., *ICCV* 2015). Without contradictions the result is what must-link pairs connect;
/// with some, the majority decides. Of these groups those are taken that cannot-link pairs part
/// from every larger one taken.
pub(crate) fn pair_groups(
    must_link: &[(usize, usize)],
    cannot_link: &[(usize, usize)],
) -> Vec<Vec<usize>> {
    let mut contraction = Contraction::new(votes(must_link, cannot_link));
    contraction.run();
    let members = std::mem::take(&mut contraction.members);
    let mut candidates: Vec<(usize, Vec<usize>)> = members
        .into_iter()
        .filter(|(_, cells)| cells.len() > 1)
        .collect();
    for (_, cells) in &mut candidates {
        cells.sort_unstable();
    }
    candidates.sort_by_key(|(_, cells)| (Reverse(cells.len()), cells[0]));
    let mut names: Vec<usize> = Vec::new();
    let mut groups = Vec::new();
    for (name, cells) in candidates {
        if names.iter().all(|&other| contraction.vote(name, other) < 0) {
            names.push(name);
            groups.push(cells);
        }
    }
    groups
}

struct Contraction {
    /// The cells of every group, by one of them.
    members: BTreeMap<usize, Vec<usize>>,
    votes: Votes,
}

impl Contraction {
    fn new(votes: Votes) -> Self {
        let members = votes.keys().map(|&cell| (cell, vec![cell])).collect();
        Self { members, votes }
    }

    fn vote(&self, first: usize, second: usize) -> i64 {
        let others = self.votes.get(&first);
        let vote = others.and_then(|others| others.get(&second));
        vote.copied().unwrap_or(0)
    }

    fn run(&mut self) {
        let mut queue = BinaryHeap::new();
        for (&first, others) in &self.votes {
            // Each two once; there may be no cell after the first.
            for (&second, &vote) in others.range((Bound::Excluded(first), Bound::Unbounded)) {
                if vote > 0 {
                    queue.push((vote, Reverse((first, second))));
                }
            }
        }
        while let Some((vote, Reverse((kept, joined)))) = queue.pop() {
            // What changed since it was queued is in the queue again, or joined already.
            if self.vote(kept, joined) != vote {
                continue;
            }
            for (other, vote) in self.votes.remove(&joined).unwrap_or_default() {
                if let Some(votes) = self.votes.get_mut(&other) {
                    votes.remove(&joined);
                }
                if other == kept {
                    continue;
                }
                let sum = self.vote(kept, other) + vote;
                self.votes.entry(kept).or_default().insert(other, sum);
                self.votes.entry(other).or_default().insert(kept, sum);
                if sum > 0 {
                    queue.push((sum, Reverse((kept.min(other), kept.max(other)))));
                }
            }
            let cells = self.members.remove(&joined).unwrap_or_default();
            self.members.entry(kept).or_default().extend(cells);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All pairs of `labels`, must-link and cannot-link.
    fn all_pairs(labels: &[usize]) -> [Vec<(usize, usize)>; 2] {
        let mut pairs = [Vec::new(), Vec::new()];
        for first in 0..labels.len() {
            for second in 0..first {
                let kind = usize::from(labels[first] != labels[second]);
                pairs[kind].push((first, second));
            }
        }
        pairs
    }

    #[test]
    fn groups_are_taken_where_pairs_part_them_from_all_larger_ones() {
        let together = [(0, 1), (1, 2), (5, 6), (7, 8), (9, 10)];
        // 9 and 10 may be of the same cluster as 5 and 6.
        let apart = [(0, 5), (2, 7), (8, 6), (1, 9), (10, 7)];
        assert_eq!(
            pair_groups(&together, &apart),
            [vec![0, 1, 2], vec![5, 6], vec![7, 8]]
        );
        assert!(pair_groups(&[], &[(0, 1)]).is_empty());
    }

    #[test]
    fn the_majority_of_contradicting_pairs_decides() {
        let labels = [0, 0, 0, 0, 1, 1, 1, 1];
        let [mut together, mut apart] = all_pairs(&labels);
        // One pair of each kind is wrong.
        let (wrong_together, wrong_apart) = (together.remove(2), apart.remove(5));
        together.push(wrong_apart);
        apart.push(wrong_together);
        assert_eq!(
            pair_groups(&together, &apart),
            [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]
        );
    }

    proptest! {
        #[test]
        fn consistent_pairs_give_what_must_link_pairs_connect(
            labels in prop::collection::vec(0usize..4, 2..30),
            kept in prop::collection::vec(prop::bool::ANY, 435),
        ) {
            let [together, apart] = all_pairs(&labels);
            let together: Vec<_> = together
                .into_iter()
                .zip(&kept)
                .filter_map(|(pair, &kept)| kept.then_some(pair))
                .collect();
            let mut connected: Vec<usize> = (0..labels.len()).collect();
            for _ in 0..labels.len() {
                for &(first, second) in &together {
                    let least = connected[first].min(connected[second]);
                    (connected[first], connected[second]) = (least, least);
                }
            }
            for group in pair_groups(&together, &apart) {
                let expected: Vec<usize> = (0..labels.len())
                    .filter(|&cell| connected[cell] == connected[group[0]])
                    .collect();
                prop_assert_eq!(group, expected);
            }
        }
    }
}
