//! Constraint pairs that cannot be used.

/// Why constraint pairs cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// A pair names a cell that does not exist.
    #[error("{kind} pair {pair}: ({first}, {second}) names a cell outside 0..{cells}")]
    OutOfRange {
        /// Must-link or cannot-link.
        kind: &'static str,
        /// Position of the pair in its list.
        pair: usize,
        /// First cell.
        first: usize,
        /// Second cell.
        second: usize,
        /// Number of cells.
        cells: usize,
    },
    /// A pair of a cell with itself.
    #[error("{kind} pair {pair}: cell {cell} is paired with itself")]
    SelfPair {
        /// Must-link or cannot-link.
        kind: &'static str,
        /// Position of the pair in its list.
        pair: usize,
        /// The cell.
        cell: usize,
    },
    /// Cannot-link pairs inside a must-link component.
    #[error(
        "{count} cannot-link pairs contradict the must-link pairs, the first is \
         ({first}, {second}): both cells are in one must-link component; remove one side"
    )]
    Contradiction {
        /// First cell of the first conflict.
        first: usize,
        /// Second cell of the first conflict.
        second: usize,
        /// Number of conflicting cannot-link pairs.
        count: usize,
        /// All conflicting cannot-link pairs.
        pairs: Vec<(usize, usize)>,
    },
    /// More pairs asked for than the labelled cells allow.
    #[error(
        "{asked} {kind} pairs were asked for but the labelled cells allow only {available}; ask for fewer or label more cells"
    )]
    TooFewPairs {
        /// Must-link, cannot-link or both.
        kind: &'static str,
        /// Pairs asked for.
        asked: usize,
        /// Pairs there are.
        available: usize,
    },
}
