//! p-values adjusted for the number of tests.

/// The false discovery rate of Benjamini and Hochberg (*J. R. Stat. Soc. B* 1995) at which each
/// test would just be called.
pub(super) fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut smallest = 1.0f64;
    for (position, &test) in order.iter().enumerate().rev() {
        let rank = (position + 1) as f64;
        smallest = smallest.min(p_values[test] * p_values.len() as f64 / rank);
        adjusted[test] = smallest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusted_as_by_hand() {
        // 0.01 · 4/1, then 0.03 and 0.02 share min(0.02 · 4/2, 0.03 · 4/3), 0.9 stays.
        let adjusted = benjamini_hochberg(&[0.03, 0.9, 0.01, 0.02]);
        for (found, expected) in adjusted.iter().zip([0.04, 0.9, 0.04, 0.04]) {
            assert!((found - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(benjamini_hochberg(&[]), [0.0; 0]);
    }
}
