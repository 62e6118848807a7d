//! Welch's t-test (Welch, *Biometrika* 1947).

use statrs::function::beta::checked_beta_reg;

use super::moments::Moments;

/// t and its two-sided p-value; `others` is the number of cells outside that counts.
pub(super) fn test(inside: &Moments, outside: &Moments, others: usize) -> (f64, f64) {
    let (n, m) = (inside.cells as f64, others as f64);
    let (a, b) = (inside.variance() / n, outside.variance() / m);
    let t = (inside.mean - outside.mean) / (a + b).sqrt();
    if t.is_nan() {
        // No difference and no variance.
        return (0.0, 1.0);
    }
    let freedom = (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0));
    // Without any variance; the p-value of an infinite t is 0 for every number of degrees.
    let freedom = if freedom.is_nan() { 1.0 } else { freedom };
    (t, two_sided_student(t, freedom))
}

/// P(|T| ≥ |t|) of Student's distribution, accurate in the tail.
fn two_sided_student(t: f64, freedom: f64) -> f64 {
    // In this form 1 − x is not computed as a difference when t is small, nor x when it is large.
    let x = freedom / (freedom + t * t);
    // The arguments are in range by construction: a, b > 0 and x within [0, 1].
    checked_beta_reg(0.5 * freedom, 0.5, x).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_scipy() {
        // scipy.stats.t.sf(t, freedom) * 2
        for (t, freedom, expected) in [
            (0.5, 3.2, 0.649_450_178_013_194_7),
            (-2.0, 10.0, 0.073_388_034_770_740_37),
            (12.0, 57.3, 2.863_161_197_262_303e-17),
            (40.0, 700.0, 5.461_865_736_609_921e-183),
            (f64::INFINITY, 1.0, 0.0),
        ] {
            let found = two_sided_student(t, freedom);
            let error = if expected == 0.0 {
                found
            } else {
                (found / expected - 1.0).abs()
            };
            assert!(error < 1e-10, "{t}, {freedom}: {found:e}");
        }
    }

    #[test]
    fn constant_values_have_no_score_unless_they_differ() {
        let constant = |mean| Moments {
            cells: 3,
            expressing: 3,
            mean,
            deviations: 0.0,
        };
        assert_eq!(test(&constant(1.0), &constant(1.0), 3), (0.0, 1.0));
        assert_eq!(
            test(&constant(2.0), &constant(1.0), 3),
            (f64::INFINITY, 0.0)
        );
    }
}
