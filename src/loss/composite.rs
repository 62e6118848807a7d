//! Weighted losses and sums of losses, whatever kind of loss they are.

use super::term::Term;
use crate::description::Description;
use crate::error::ParameterError;

/// A loss times a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted<L> {
    loss: L,
    weight: f64,
}

impl<L> Weighted<L> {
    /// `weight · loss`.
    pub fn new(loss: L, weight: f64) -> Self {
        Self { loss, weight }
    }

    /// The loss itself.
    pub fn loss(&self) -> &L {
        &self.loss
    }

    /// The weight.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The description of the weighted loss, from that of the loss, whose settings are kept apart:
    /// it may have a weight of its own.
    pub(crate) fn describe(&self, loss: Description) -> Description {
        let weighted = Description::new(self.name(loss.name())).with("weight", self.weight);
        if loss.settings().is_empty() {
            weighted
        } else {
            weighted.with("of", loss.settings())
        }
    }

    /// Refuses a weight that is negative or not finite.
    pub(crate) fn check_weight(&self) -> Result<(), ParameterError> {
        check_weight("the weight of a loss", self.weight)
    }

    fn name(&self, name: &str) -> String {
        if self.weight == 1.0 {
            name.to_string()
        } else {
            format!("{}·{name}", self.weight)
        }
    }

    pub(super) fn weighted_terms(&self, terms: Vec<Term>) -> Vec<Term> {
        // A product that changes nothing would cost a GPU two launches a step.
        if self.weight == 1.0 {
            return terms;
        }
        let weighted = |term: Term| Term::new(self.name(&term.name), term.loss * self.weight);
        terms.into_iter().map(weighted).collect()
    }
}

/// The sum of two losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum<A, B> {
    first: A,
    second: B,
}

impl<A, B> Sum<A, B> {
    /// `first + second`.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// The first loss.
    pub fn first(&self) -> &A {
        &self.first
    }

    /// The second loss.
    pub fn second(&self) -> &B {
        &self.second
    }
}

pub(super) fn check_weight(name: &'static str, value: f64) -> Result<(), ParameterError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(ParameterError::OutOfRange {
            name,
            requirement: "at least 0 and finite",
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_of_the_loss_itself_is_not_hidden() {
        let own = |weight: f64| Description::new("entropy").with("weight", weight);
        let weighted = Weighted::new((), 0.5);
        let found = weighted.describe(own(0.1));
        assert_eq!(found.name(), "0.5·entropy");
        assert_eq!(found.settings()["weight"], 0.5);
        assert_eq!(found.settings()["of"]["weight"], 0.1);
        assert_ne!(found, weighted.describe(own(0.2)));
    }
}
