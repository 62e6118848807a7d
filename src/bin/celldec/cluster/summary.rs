//! Prints what a fit found.

use celldec::metrics::Consensus;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

use crate::console::Console;
use crate::known::KnownTypes;
use crate::wording;

/// Prints clusters, how training ended and, when types are known, the agreement with them.
pub fn print_fit<H: ReconstructionHead>(
    console: &Console,
    fit: &Fit<H>,
    types: Option<&KnownTypes>,
) -> Result<()> {
    let (clusters, status) = (fit.clusters(), fit.status());
    let sizes: Vec<String> = clusters.sizes().iter().map(usize::to_string).collect();
    console.say(format_args!(
        "  clusters      {} with {} cells",
        clusters.count(),
        sizes.join(", ")
    ));
    let other = fit.resolution_candidates().iter().filter(|one| {
        // As stable as the one that was chosen.
        one.silhouette.is_some() && !one.chosen
    });
    let others: Vec<String> = other
        .map(|one| {
            let (clusters, stability) = (one.clusters, one.stability);
            format!("{} ({clusters}, stability {stability:.2})", one.resolution)
        })
        .collect();
    if let Some(resolution) = fit.resolution()
        && !others.is_empty()
    {
        console.say(format_args!(
            "  resolution    {resolution} chosen; as stable: {}",
            others.join(", ")
        ));
    }
    let ending = match status.stop_reason {
        StopReason::LabelsStable { changed } => {
            format!("converged ({:.2} % of labels changed)", 100.0 * changed)
        }
        StopReason::MaximumEpochs { changed } => format!(
            "not converged ({:.2} % of labels changed), more epochs may help",
            100.0 * changed
        ),
        StopReason::Interrupted => "interrupted".to_string(),
        _ => "ended".to_string(),
    };
    console.say(format_args!(
        "  training      {} + {} epochs, {ending}",
        status.pretraining_epochs, status.self_training_epochs
    ));
    for warning in &status.warnings {
        let warning = wording::in_options(warning.clone());
        console.say(format_args!("  warning       {warning}"));
    }
    if let Some(types) = types {
        console.say(format_args!(
            "  agreement     {}   at the start {}{}",
            types.agreement(clusters.labels())?,
            types.agreement(fit.initial_labels())?,
            types.extent()
        ));
    }
    Ok(())
}

/// Prints how far other seeds agree.
pub fn print_consensus(console: &Console, consensus: &Consensus) {
    let stability: Vec<String> = consensus
        .stability
        .iter()
        .map(|value| format!("{value:.2}"))
        .collect();
    console.say(format_args!(
        "  other seeds   agreement (ARI) {:.3}; stability of each cluster {}",
        consensus.mean_agreement,
        stability.join(", ")
    ));
}
