//! Activations of fully connected layers.

use burn::config::Config;
use burn::tensor::{Tensor, activation};

/// The function applied to a layer's output.
#[derive(Config, Debug, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// No activation.
    Linear,
    /// max(0, x).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the activation.
    pub fn forward(self, input: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Linear => input,
            Self::Relu => activation::relu(input),
            Self::Tanh => activation::tanh(input),
        }
    }
}

#[cfg(feature = "flex")]
pub(super) mod in_place {
    //! Activations and their derivatives on slices.

    use super::Activation;
    use crate::kernel::lanes;
    use crate::kernel::vectorize::Vectorize;

    /// Adds the bias, one value a column, and applies the activation to rows of a tile.
    pub(in crate::kernel::dense) struct Finish<'a, R> {
        pub activation: Activation,
        pub bias: &'a [f32],
        pub rows: R,
    }

    impl<'r, R: Iterator<Item = &'r mut [f32]>> Vectorize for Finish<'_, R> {
        type Output = ();

        #[inline(always)]
        fn run<const FMA: bool, const WIDE: bool>(self) {
            let bias = self.bias;
            match self.activation {
                Activation::Linear => each(self.rows, bias, |x| x),
                // Not `max`, which would turn NaN into zero.
                Activation::Relu => each(self.rows, bias, |x| if x < 0.0 { 0.0 } else { x }),
                Activation::Tanh => each(self.rows, bias, lanes::tanh::<FMA>),
            }
        }
    }

    #[inline(always)]
    fn each<'r>(
        rows: impl Iterator<Item = &'r mut [f32]>,
        bias: &[f32],
        function: impl Fn(f32) -> f32,
    ) {
        for row in rows {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = function(*value + bias);
            }
        }
    }

    /// Sums rows into one value a column.
    pub(in crate::kernel::dense) struct SumRows<'a, R> {
        pub rows: R,
        pub sums: &'a mut [f32],
    }

    impl<'r, R: Iterator<Item = &'r [f32]>> Vectorize for SumRows<'_, R> {
        type Output = ();

        #[inline(always)]
        fn run<const FMA: bool, const WIDE: bool>(self) {
            for row in self.rows {
                for (sum, value) in self.sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
    }

    /// From the gradient of the output to that of the sum before the activation, in place, and
    /// the sum of the latter over the rows, which is the gradient of the bias.
    pub(in crate::kernel::dense) struct Undo<'a, R> {
        pub activation: Activation,
        /// Rows of the output and of its gradient.
        pub rows: R,
        pub bias_gradient: &'a mut [f32],
    }

    impl<'r, R: Iterator<Item = (&'r [f32], &'r mut [f32])>> Vectorize for Undo<'_, R> {
        type Output = ();

        #[inline(always)]
        fn run<const FMA: bool, const WIDE: bool>(self) {
            let sums = self.bias_gradient;
            match self.activation {
                Activation::Linear => undo_each(self.rows, sums, |_, gradient| gradient),
                Activation::Relu => {
                    undo_each(
                        self.rows,
                        sums,
                        |output, gradient| {
                            if output > 0.0 { gradient } else { 0.0 }
                        },
                    )
                }
                Activation::Tanh => undo_each(self.rows, sums, |output, gradient| {
                    gradient * (1.0 - output * output)
                }),
            }
        }
    }

    #[inline(always)]
    fn undo_each<'r>(
        rows: impl Iterator<Item = (&'r [f32], &'r mut [f32])>,
        sums: &mut [f32],
        derivative: impl Fn(f32, f32) -> f32,
    ) {
        for (output, gradient) in rows {
            for ((gradient, &output), sum) in gradient.iter_mut().zip(output).zip(sums.iter_mut()) {
                *gradient = derivative(output, *gradient);
                *sum += *gradient;
            }
        }
    }
}
