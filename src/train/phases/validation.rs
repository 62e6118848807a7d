//! Cells that are kept apart from training, to see what a network makes of cells that it does not know.

use crate::random::{Purpose, stream, subsample};

/// The cells that are kept apart.
pub(super) struct Validation {
    /// Their positions, rising.
    pub cells: Vec<usize>,
    /// Whether a cell is one of them.
    pub apart: Vec<bool>,
}

/// How many of so many cells are kept apart: the given share, at least one of them and not all; none for
/// a share of 0, or where there is but one cell.
pub(super) fn kept_apart(share: f64, count: usize) -> usize {
    if share > 0.0 && count > 1 {
        ((share * count as f64).round() as usize).clamp(1, count - 1)
    } else {
        0
    }
}

impl Validation {
    /// [So many](kept_apart) of the cells; nothing where that is none.
    pub fn draw(share: f64, count: usize, seed: u64) -> Option<Self> {
        let number = kept_apart(share, count);
        if number == 0 {
            return None;
        }
        let cells = subsample(&mut stream(seed, Purpose::Validation, 0, 0), count, number);
        let mut apart = vec![false; count];
        for &cell in &cells {
            apart[cell] = true;
        }
        Some(Self { cells, apart })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_none_nor_all_are_kept_apart() {
        assert!(Validation::draw(0.0, 100, 1).is_none());
        assert!(Validation::draw(0.5, 1, 1).is_none());
        for (share, count, number) in [
            (0.1, 100, 10),
            (0.001, 100, 1),
            (0.999, 100, 99),
            (0.5, 2, 1),
        ] {
            let drawn = Validation::draw(share, count, 1).expect("cells to keep apart");
            assert_eq!(drawn.cells.len(), number, "{share} of {count}");
            assert!(drawn.cells.is_sorted());
            let apart = (0..count).filter(|&cell| drawn.apart[cell]);
            assert!(apart.eq(drawn.cells.iter().copied()));
        }
        let drawn = |seed| Validation::draw(0.2, 50, seed).map(|drawn| drawn.cells);
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
    }
}
