//! The steps of an epoch over constraint pairs.

use super::steps::{Pass, StepRows};
use super::{Constraints, SelfTraining};
use crate::batches::{CleanRows, EpochPlan};
use crate::error::Result;
use crate::loss::Term;
use crate::nn::{ClusteringNetwork, ReconstructionHead};

/// Bits that set the random streams of constraint steps apart from those of cell steps.
const MUST_LINK_STREAM: u64 = 1 << 31;
const CANNOT_LINK_STREAM: u64 = 1 << 30;

impl<H: ReconstructionHead> SelfTraining<'_, H> {
    /// One pass over the must-link pairs, then one over the cannot-link pairs.
    pub(super) fn pair_steps(
        &self,
        network: ClusteringNetwork<H>,
        constraints: &Constraints<'_>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<H>> {
        let batches = pass.pairs;
        let config = self.config;
        let (shuffle, size, seed) = (config.shuffle, config.batch_size, pass.seed);
        let pairs = constraints.pairs.must_link();
        let noise = self.noise(pass, MUST_LINK_STREAM);
        let name = constraints.must_link.description().name().to_string();
        let plan = EpochPlan::of_rows(pairs.len(), shuffle, size, seed, noise.epoch);
        let network = pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let [first, second] = sides(pairs, rows);
                let read = |side: &[usize]| self.read(batches, side, noise);
                Ok([read(&first)?, read(&second)?])
            },
            |network: &ClusteringNetwork<H>, sides: [StepRows; 2], device| {
                let sides = sides.map(|rows| rows.embedded(network, device));
                let [(first, first_corrupted), (second, second_corrupted)] = sides;
                let (q_first, q_second) = (network.assign(first), network.assign(second));
                let loss = constraints.must_link.forward(q_first, q_second);
                let mut terms = vec![Term::new(&name, loss)];
                for corrupted in [first_corrupted, second_corrupted] {
                    let found = self.reconstruction_terms(network, corrupted);
                    let named = |term: Term| Term::new(format!("{name} {}", term.name), term.loss);
                    terms.extend(found.into_iter().map(named));
                }
                terms
            },
        )?;

        let pairs = constraints.pairs.cannot_link();
        let address = pass.at.stream() | CANNOT_LINK_STREAM;
        let name = constraints.cannot_link.description().name().to_string();
        let plan = EpochPlan::of_rows(pairs.len(), shuffle, size, seed, address);
        pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let [first, second] = sides(pairs, rows);
                Ok([batches.read_clean(&first)?, batches.read_clean(&second)?])
            },
            |network: &ClusteringNetwork<H>, sides: [CleanRows; 2], device| {
                let [q_first, q_second] = sides.map(|rows| {
                    let input = rows.into_input(device);
                    network.assign(network.encode(input))
                });
                let loss = constraints.cannot_link.forward(q_first, q_second);
                vec![Term::new(&name, loss)]
            },
        )
    }
}

/// The first and the second cell of each of the given pairs.
fn sides(pairs: &[(usize, usize)], rows: &[usize]) -> [Vec<usize>; 2] {
    let (first, second) = rows.iter().map(|&row| pairs[row]).unzip();
    [first, second]
}
