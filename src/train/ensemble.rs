//! Several fits with different seeds, and their consensus.

use crate::error::{ParameterError, Result};
use crate::metrics::{Consensus, consensus};
use crate::model::Fit;
use crate::nn::ReconstructionHead;

/// Several fits of the same cells that differ in their seed alone, with their consensus.
///
/// What changes from seed to seed is not to be trusted: the consensus says, for every cell, how many
/// members agree with its label, and for every cluster how stable it is over the members. The price
/// is that of as many fits as there are members.
///
/// ```
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let plan = Plan::scdcc(3).with_epochs(2, 2);
/// let ensemble = Ensemble::fit(3, 7, |seed| {
///     Ok(plan.clone().with_seed(seed).trainer(&Device::default())?.fit(&cells)?)
/// })?;
///
/// assert_eq!(ensemble.members().len(), 3);
/// let consensus = ensemble.consensus();
/// assert_eq!(consensus.labels.len(), 120);
/// assert_eq!(consensus.stability.len(), ensemble.medoid().clusters().count());
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ensemble<H: ReconstructionHead> {
    members: Vec<Fit<H>>,
    consensus: Consensus,
}

impl<H: ReconstructionHead> Ensemble<H> {
    /// Fits `members` times, with the seeds from `first_seed` on; `fit` makes one fit with the seed
    /// that it is given. The members run one after the other, each on all threads.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] for no members, the first error of `fit`, and as
    /// [`consensus`](crate::metrics::consensus) when its fits are of different cells.
    pub fn fit(
        members: usize,
        first_seed: u64,
        fit: impl FnMut(u64) -> Result<Fit<H>>,
    ) -> Result<Self> {
        if members == 0 {
            return Err(ParameterError::OutOfRange {
                name: "the number of members of an ensemble",
                requirement: "at least 1",
                value: 0.0,
            }
            .into());
        }
        let seeds = (0..members as u64).map(|member| first_seed.wrapping_add(member));
        Self::from_fits(seeds.map(fit).collect::<Result<Vec<_>>>()?)
    }

    /// An ensemble of fits of the same cells.
    ///
    /// # Errors
    /// As [`consensus`](crate::metrics::consensus).
    pub fn from_fits(members: Vec<Fit<H>>) -> Result<Self> {
        let labels: Vec<Vec<usize>> = members
            .iter()
            .map(|fit| fit.clusters().labels().to_vec())
            .collect();
        let mut consensus = consensus(&labels)?;
        // Clusters that lost their cells keep their column.
        let clusters = members[consensus.medoid].clusters().count();
        consensus.stability.resize(clusters, 0.0);
        tracing::info!(
            members = members.len(),
            medoid = consensus.medoid,
            agreement = consensus.mean_agreement,
            "consensus of the ensemble"
        );
        Ok(Self { members, consensus })
    }

    /// The fits, in the order of their seeds.
    pub fn members(&self) -> &[Fit<H>] {
        &self.members
    }

    /// The fit that agrees best with the others; its model embeds and assigns new cells.
    pub fn medoid(&self) -> &Fit<H> {
        &self.members[self.consensus.medoid]
    }

    /// Consensus labels, each cell's agreement, and each cluster's stability.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }
}
