//! What the programs of this crate share: small cells, small networks, short schedules.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

/// Cells of three groups, with their groups.
pub fn three_groups(cells: usize, seed: u64) -> celldec::Result<(Cells, Vec<usize>)> {
    let simulation = SimulationConfig::new(cells, 60)
        .with_groups(3)
        .with_differential_expression(0.35, 1.2, 0.4)
        .with_seed(seed)
        .simulate()?;
    let cells = Preprocess::scdcc().fit(&simulation.counts)?;
    let kept = cells.kept_cells().iter();
    let groups = kept.map(|&cell| simulation.groups[cell]).collect();
    Ok((cells, groups))
}

/// A plan whose fit takes a moment, and exactly so many epochs.
pub fn short<H: ReconstructionHead>(plan: Plan<H>) -> Plan<H> {
    plan.with_widths([16, 4])
        .with_batch_size(32)
        .with_epochs(4, 3)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(7)
}

/// Everything a fit computed, bit by bit.
pub fn bits<H: ReconstructionHead>(fit: &Fit<H>) -> Vec<u64> {
    let centroids = fit.centroids();
    let matrices = fit.embedding().into_iter().chain(fit.clusters().soft());
    let numbers = matrices
        .chain(&centroids)
        .map(|value| u64::from(value.to_bits()));
    let losses = fit.history().iter().flat_map(|record| &record.losses);
    numbers
        .chain(losses.map(|(_, loss)| loss.to_bits()))
        .collect()
}
