//! One entry of the likelihoods in `f64`: the definition the fast paths are measured against.

use super::{DISPERSION_MAX, DISPERSION_MIN, SMALL_THETA};
use crate::kernel::special::{HALF_LN_TWO_PI, digamma_minus_ln, sigmoid, softplus, stirling_error};

/// Negative log-likelihood of one count under the negative binomial, and its gradient.
///
/// `log_mean` is the logarithm of the mean *after* multiplication by the size factor;
/// `dispersion_logit` goes through softplus and the clamp to [[`DISPERSION_MIN`],
/// [`DISPERSION_MAX`]]. Returns the value and the derivatives with respect to `log_mean` and
/// `dispersion_logit`; the latter is zero where the clamp acts.
///
/// ```
/// use celldec::kernel::likelihood::nb_nll_point;
///
/// // With a large dispersion the negative binomial is a Poisson: −ln P(0 | mean 2) = 2.
/// let (value, _) = nb_nll_point(0.0, 2f64.ln(), 1e9);
/// assert!((value - 2.0).abs() < 1e-3);
/// ```
pub fn nb_nll_point(x: f64, log_mean: f64, dispersion_logit: f64) -> (f64, [f64; 2]) {
    let dispersion = Dispersion::new(dispersion_logit);
    let nb = NegativeBinomial::new(x, log_mean, dispersion.theta);
    (
        nb.value,
        [nb.by_log_mean, nb.by_theta * dispersion.by_logit],
    )
}

/// Negative log-likelihood of one count under the zero-inflated negative binomial, and its
/// gradient.
///
/// As [`nb_nll_point`], with `dropout_logit` the logit of the probability π that the count was
/// set to zero. Returns the value and the derivatives with respect to `log_mean`,
/// `dispersion_logit` and `dropout_logit`.
///
/// ```
/// use celldec::kernel::likelihood::zinb_nll_point;
///
/// // A dropout probability of ½ and a mean of nearly nothing: zero is nearly certain.
/// let (value, _) = zinb_nll_point(0.0, 1e-5f64.ln(), 1.0, 0.0);
/// assert!(value < 1e-5);
/// ```
pub fn zinb_nll_point(
    x: f64,
    log_mean: f64,
    dispersion_logit: f64,
    dropout_logit: f64,
) -> (f64, [f64; 3]) {
    let dispersion = Dispersion::new(dispersion_logit);
    let nb = NegativeBinomial::new(x, log_mean, dispersion.theta);
    let kept = sigmoid(-dropout_logit);
    if x != 0.0 {
        return (
            nb.value + softplus(dropout_logit),
            [
                nb.by_log_mean,
                nb.by_theta * dispersion.by_logit,
                sigmoid(dropout_logit),
            ],
        );
    }
    // P(0) = π + (1 − π) e⁻ᶻ where z is the negative binomial's own value.
    let z = nb.value;
    let lost = -(-z).exp_m1();
    let value = if z <= std::f64::consts::LN_2 {
        -(-kept * lost).ln_1p()
    } else {
        softplus(-dropout_logit) - softplus(-dropout_logit - z)
    };
    let from_counts = sigmoid(-dropout_logit - z);
    (
        value,
        [
            from_counts * nb.by_log_mean,
            from_counts * nb.by_theta * dispersion.by_logit,
            -kept * lost * sigmoid(dropout_logit + z),
        ],
    )
}

/// The dispersion θ and its derivative by its logit.
struct Dispersion {
    theta: f64,
    by_logit: f64,
}

impl Dispersion {
    fn new(logit: f64) -> Self {
        let raw = softplus(logit);
        let theta = raw.clamp(DISPERSION_MIN, DISPERSION_MAX);
        Self {
            theta,
            by_logit: if raw == theta { sigmoid(logit) } else { 0.0 },
        }
    }
}

/// The plain negative binomial at one count: value and derivatives by ln μ and by θ.
struct NegativeBinomial {
    value: f64,
    by_log_mean: f64,
    by_theta: f64,
}

impl NegativeBinomial {
    fn new(x: f64, log_mean: f64, theta: f64) -> Self {
        let ln_theta = theta.ln();
        let t = log_mean - ln_theta;
        if x == 0.0 {
            let (log1p_ratio, share) = (softplus(t), sigmoid(t));
            return Self {
                value: theta * log1p_ratio,
                by_log_mean: theta * share,
                by_theta: excess(-share, -log1p_ratio),
            };
        }
        // Saddle-point form (Loader 2000): every term is of the size of the result, where the
        // sum of log-gammas would cancel.
        let mean = log_mean.exp();
        let total = x + theta;
        let scale = theta + mean;
        let u = (x - mean) / scale;
        let ln_ratio = if u.abs() <= 0.5 {
            u.ln_1p()
        } else {
            total.ln() - scale.ln()
        };
        let v = theta * (x - mean) / (mean * total);
        let ln_count_ratio = if v.abs() <= 0.5 {
            v.ln_1p()
        } else {
            x.ln() - log_mean - ln_ratio
        };
        let value = x * ln_count_ratio - theta * ln_ratio
            + 0.5 * (x.ln() + total.ln() - ln_theta)
            + stirling_error(theta)
            + stirling_error(x)
            - stirling_error(total)
            + HALF_LN_TWO_PI;
        // ψ(θ) − ψ(θ + x) + ln(1 + μ/θ) + (x − μ) / (θ + μ). For a small dispersion −1/θ in the
        // first term cancels against the last; it is taken out by ψ(θ) = ψ(θ + 1) − 1/θ, after
        // which a count of one leaves nothing to cancel.
        let by_theta = if theta < SMALL_THETA {
            let (log1p_ratio, share) = (softplus(t), sigmoid(t));
            digamma_minus_ln(theta + 1.0) - digamma_minus_ln(total)
                + ((x - 1.0) / scale - share / theta + excess(-share, -log1p_ratio)
                    - ((x - 1.0) / (theta + 1.0)).ln_1p())
        } else {
            digamma_minus_ln(theta) - digamma_minus_ln(total) + excess(u, ln_ratio)
        };
        Self {
            value,
            by_log_mean: (mean - x) * sigmoid(-t),
            by_theta,
        }
    }
}

/// u − ln(1 + u), for u > −1, without cancellation at small u.
fn excess(u: f64, ln_1p_u: f64) -> f64 {
    if u.abs() > 0.1 {
        return u - ln_1p_u;
    }
    // With k = u / (2 + u): ln(1 + u) = 2 (k + k³/3 + k⁵/5 + …) and u − 2k = u k.
    let k = u / (2.0 + u);
    let square = k * k;
    let tail = (1..=6)
        .rev()
        .fold(0.0, |sum, j| (sum + 1.0 / f64::from(2 * j + 1)) * square);
    u * k - 2.0 * k * tail
}
