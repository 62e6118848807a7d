//! A network reads scaled expression, not counts.
//~ the trait bound `NetworkInput: From<
//~ `NetworkInput` implements `From<Expression>`

use celldec::burn::tensor::Tensor;
use celldec::prelude::*;

pub fn embed(model: &ScdccModel, counts: CountMatrix) -> Tensor<2> {
    model.network().encode(counts)
}
