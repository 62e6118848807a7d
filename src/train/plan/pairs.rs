//! Constraint pairs of a plan, with everything that is made of them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::ParameterError;
use crate::loss::Target;
use crate::pairs::{
    CannotLinkLoss, ConstraintLoss, ConstraintPairs, GuidedTarget, MustLinkLoss, check_pair_errors,
    fingerprint,
};

/// Must-link and cannot-link pairs of cells, with everything that is made of them.
///
/// ```
/// use celldec::pairs::MustLinkLoss;
/// use celldec::prelude::*;
/// use celldec::train::PairTraining;
///
/// let pairs = ConstraintPairs::new(vec![(0, 1)], vec![(1, 2)])?;
/// let training = PairTraining::new(pairs)
///     .with_pair_errors(0.1)
///     .with_must_link_loss(MustLinkLoss::new().weighted(2.0));
/// let plan = Plan::scdcc(8).with_pairs(training);
/// # let _ = plan;
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Clone)]
pub struct PairTraining {
    pairs: ConstraintPairs,
    must_link: Arc<dyn ConstraintLoss>,
    cannot_link: Arc<dyn ConstraintLoss>,
    start_at_groups: bool,
    guided_target: bool,
    pair_errors: f64,
}

impl From<ConstraintPairs> for PairTraining {
    fn from(pairs: ConstraintPairs) -> Self {
        Self::new(pairs)
    }
}

impl PairTraining {
    /// Pairs in every place where they help: losses, start and target.
    pub fn new(pairs: ConstraintPairs) -> Self {
        Self {
            pairs,
            must_link: Arc::new(MustLinkLoss::new()),
            cannot_link: Arc::new(CannotLinkLoss::new()),
            start_at_groups: true,
            guided_target: true,
            pair_errors: 0.05,
        }
    }

    /// Pairs as in the scDCC paper: in their losses alone.
    pub fn published(pairs: ConstraintPairs) -> Self {
        Self::new(pairs)
            .with_start_at_groups(false)
            .with_guided_target(false)
    }

    /// Takes another loss of must-link pairs (default: [`MustLinkLoss`]).
    pub fn with_must_link_loss(mut self, loss: impl ConstraintLoss + 'static) -> Self {
        self.must_link = Arc::new(loss);
        self
    }

    /// Takes another loss of cannot-link pairs (default: [`CannotLinkLoss`]).
    pub fn with_cannot_link_loss(mut self, loss: impl ConstraintLoss + 'static) -> Self {
        self.cannot_link = Arc::new(loss);
        self
    }

    /// Whether centroids start at the groups of cells that the pairs
    /// [let know](ConstraintPairs::known_groups) (default: yes).
    pub fn with_start_at_groups(mut self, start: bool) -> Self {
        self.start_at_groups = start;
        self
    }

    /// Whether the target of the clustering loss agrees with the pairs and with what follows from
    /// them for other cells ([`GuidedTarget`]; default: yes).
    pub fn with_guided_target(mut self, guided: bool) -> Self {
        self.guided_target = guided;
        self
    }

    /// The share of pairs that are thought to be wrong, above 0 and below 0.5 (default: 0.05). It
    /// matters to the [guided target](Self::with_guided_target).
    pub fn with_pair_errors(mut self, share: f64) -> Self {
        self.pair_errors = share;
        self
    }

    /// The pairs.
    pub fn pairs(&self) -> &ConstraintPairs {
        &self.pairs
    }

    pub(in crate::train) fn must_link(&self) -> &dyn ConstraintLoss {
        &*self.must_link
    }

    pub(in crate::train) fn cannot_link(&self) -> &dyn ConstraintLoss {
        &*self.cannot_link
    }

    /// Groups of cells whose cluster is known at the start.
    pub(in crate::train) fn start_groups(&self) -> Vec<Vec<usize>> {
        if self.start_at_groups {
            self.pairs.known_groups()
        } else {
            Vec::new()
        }
    }

    /// The target that agrees with the pairs, if it is to.
    pub(in crate::train) fn guide(&self, target: &Arc<dyn Target>) -> Arc<dyn Target> {
        if !self.guided_target {
            return Arc::clone(target);
        }
        let (together, apart) = (self.pairs.must_link(), self.pairs.cannot_link());
        let guided = GuidedTarget::new(Arc::clone(target), together, apart);
        Arc::new(guided.with_checked_pair_errors(self.pair_errors))
    }

    pub(in crate::train) fn check(&self) -> Result<(), ParameterError> {
        check_pair_errors(self.pair_errors)?;
        self.must_link.check()?;
        self.cannot_link.check()
    }

    /// What is recorded of the pairs; there may be many.
    pub(in crate::train) fn record(&self) -> Value {
        let (together, apart) = (self.pairs.must_link(), self.pairs.cannot_link());
        let mut record = json!({
            "must_link_pairs": together.len(),
            "cannot_link_pairs": apart.len(),
            "fingerprint": fingerprint([together, apart]),
            "must_link_loss": self.must_link.description(),
            "cannot_link_loss": self.cannot_link.description(),
            "start_at_groups": self.start_at_groups,
            "guided_target": self.guided_target,
        });
        if self.guided_target {
            record["pair_errors"] = self.pair_errors.into();
        }
        record
    }
}
