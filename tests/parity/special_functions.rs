//! Special functions against mpmath (60 digits, rounded to `f64`).

use burn::tensor::{DType, Device, Tensor, TensorData};
use celldec::kernel::special::{
    digamma, digamma_f32, ln_gamma, ln_gamma_f32, ln_gamma_tensor, log_sigmoid, sigmoid, softplus,
};

use crate::fixtures::Fixture;

struct Reference {
    x: Vec<f64>,
    ln_gamma: Vec<f64>,
    digamma: Vec<f64>,
}

fn reference() -> Reference {
    let fixture = Fixture::open("b_lgamma_digamma");
    Reference {
        x: fixture.values("x"),
        ln_gamma: fixture.values("lgamma"),
        digamma: fixture.values("digamma"),
    }
}

/// Largest error relative to max(|exact|, 1): relative away from zeros, absolute around them.
fn worst(found: impl IntoIterator<Item = f64>, exact: &[f64]) -> f64 {
    let mut count = 0;
    let worst = found
        .into_iter()
        .zip(exact)
        .inspect(|_| count += 1)
        .map(|(found, exact)| (found - exact).abs() / exact.abs().max(1.0))
        .fold(0.0, |worst: f64, error| {
            if error > worst || error.is_nan() {
                error
            } else {
                worst
            }
        });
    assert_eq!(count, exact.len());
    worst
}

#[test]
fn double_precision() {
    let reference = reference();
    let ln_gamma = worst(
        reference.x.iter().map(|&x| ln_gamma(x)),
        &reference.ln_gamma,
    );
    let digamma = worst(reference.x.iter().map(|&x| digamma(x)), &reference.digamma);
    println!("f64: ln_gamma {ln_gamma:.1e}, digamma {digamma:.1e}");
    assert!(ln_gamma < 1e-12, "{ln_gamma:e}");
    assert!(digamma < 1e-12, "{digamma:e}");
}

#[test]
fn single_precision() {
    let reference = reference();
    // The exact value belongs to the argument as `f32` holds it.
    let rounded: Vec<f32> = reference.x.iter().map(|&x| x as f32).collect();
    let exact: Vec<f64> = rounded.iter().map(|&x| ln_gamma(f64::from(x))).collect();
    let ln_gamma = worst(rounded.iter().map(|&x| f64::from(ln_gamma_f32(x))), &exact);
    let exact: Vec<f64> = rounded.iter().map(|&x| digamma(f64::from(x))).collect();
    let digamma = worst(rounded.iter().map(|&x| f64::from(digamma_f32(x))), &exact);
    println!("f32: ln_gamma {ln_gamma:.1e}, digamma {digamma:.1e}");
    assert!(ln_gamma < 2e-6, "{ln_gamma:e}");
    assert!(digamma < 2e-6, "{digamma:e}");
}

/// Values and derivatives of the tensor form at the points of the fixture.
fn by_tensor(x: &[f64], dtype: DType) -> (Vec<f64>, Vec<f64>) {
    let device = Device::default().autodiff();
    let x = Tensor::<1>::from_data(TensorData::from(x), (&device, dtype)).require_grad();
    let y = ln_gamma_tensor(x.clone());
    let gradients = y.clone().sum().backward();
    let numbers = |t: Tensor<1>| {
        t.into_data_as::<f64>()
            .try_to_vec::<f64>()
            .expect("f64 numbers")
    };
    let derivative = x.grad(&gradients).expect("a gradient");
    (numbers(y.inner()), numbers(derivative))
}

#[test]
fn tensor_form_in_double_precision() {
    let reference = reference();
    let (value, derivative) = by_tensor(&reference.x, DType::F64);
    let value = worst(value, &reference.ln_gamma);
    let derivative = worst(derivative, &reference.digamma);
    println!("f64 tensor: ln_gamma {value:.1e}, digamma {derivative:.1e}");
    assert!(value < 1e-13, "{value:e}");
    assert!(derivative < 1e-13, "{derivative:e}");
}

#[test]
fn tensor_form_in_single_precision() {
    let rounded: Vec<f64> = reference().x.iter().map(|&x| f64::from(x as f32)).collect();
    let (values, derivatives) = by_tensor(&rounded, DType::F32);
    let exact: Vec<f64> = rounded.iter().map(|&x| ln_gamma(x)).collect();
    let value = worst(values, &exact);
    let exact: Vec<f64> = rounded.iter().map(|&x| digamma(x)).collect();
    let derivative = worst(derivatives, &exact);
    println!("f32 tensor: ln_gamma {value:.1e}, digamma {derivative:.1e}");
    assert!(value < 1e-6, "{value:e}");
    assert!(derivative < 1e-6, "{derivative:e}");
}

#[test]
fn digamma_elsewhere() {
    use statrs::function::gamma::digamma as independent;
    for x in [-0.5, -1.25, -7.9, 1.461_632_144_968_362_3, 0.3, 5.5, 12.0] {
        assert!(
            (digamma(x) - independent(x)).abs() < 1e-11 * independent(x).abs().max(1.0),
            "{x}: {} {}",
            digamma(x),
            independent(x)
        );
    }
    assert!(digamma(0.0).is_nan() && digamma(-3.0).is_nan() && digamma(f64::NAN).is_nan());
}

#[test]
fn logistic_family_in_the_tails() {
    for x in [
        -800.0, -100.0, -40.0, -1.0, 0.0, 1e-9, 1.0, 40.0, 100.0, 800.0,
    ] {
        assert!((sigmoid(x) + sigmoid(-x) - 1.0f64).abs() < 1e-15);
        assert!((softplus(x) - softplus(-x) - x).abs() <= 1e-15 * x.abs().max(1.0));
        assert_eq!(log_sigmoid(x), -softplus(-x));
        assert!(softplus(x).is_finite() && log_sigmoid(x).is_finite());
    }
    assert_eq!(softplus(-100.0), (-100f64).exp());
    assert_eq!(sigmoid(-100.0), (-100f64).exp());
    assert!((softplus(0.0) - std::f64::consts::LN_2).abs() < 1e-16);
}
