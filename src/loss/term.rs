//! The named parts that a step's loss is the sum of.

use burn::tensor::Tensor;

/// One term of a batch's loss, weights included: what a history records under its name.
#[derive(Debug, Clone)]
pub struct Term {
    /// Name in histories and messages.
    pub name: String,
    /// The loss `[1]`.
    pub loss: Tensor<1>,
}

impl Term {
    /// A named loss `[1]`.
    pub fn new(name: impl Into<String>, loss: Tensor<1>) -> Self {
        Self {
            name: name.into(),
            loss,
        }
    }
}
