//! From the command line to the settings of preprocessing and training.

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::start::StableGraphConfig;

use super::arguments::{ClusterArguments, Method, Preset};

pub fn scdcc(arguments: &ClusterArguments) -> Plan<CountHead> {
    let clusters = arguments.clusters.unwrap_or_default();
    let mut plan = match arguments.preset {
        Preset::Default => Plan::scdcc(clusters),
        Preset::Reference => Plan::scdcc_reference(clusters),
    };
    if arguments.clusters.is_none() {
        plan.starts = match arguments.resolution.first() {
            None => Plan::scdcc_auto(),
            Some(&resolution) => Plan::scdcc_at_resolution(resolution),
        }
        .starts;
    }
    if let Some(epochs) = arguments.pretraining_epochs {
        plan = plan.with_pretraining(|phase| phase.with_epochs(epochs));
    }
    shared(plan, arguments)
}

pub fn desc(arguments: &ClusterArguments) -> Plan<MseHead> {
    let mut plan = match arguments.preset {
        Preset::Default => Plan::desc(),
        Preset::Reference => Plan::desc_reference(),
    };
    plan = if let Some(clusters) = arguments.clusters {
        plan.with_start(CentroidStart::KMeans(KMeansConfig::new(clusters)))
    } else if arguments.resolution.is_empty() {
        plan.with_start(CentroidStart::StableGraph(StableGraphConfig::new()))
    } else {
        plan.with_resolutions(arguments.resolution.iter().copied())
    };
    if let Some(epochs) = arguments.pretraining_epochs {
        plan = match arguments.preset {
            Preset::Default => plan.with_pretraining(|phase| phase.with_epochs(epochs)),
            Preset::Reference => plan.with_published_pretraining(epochs),
        };
    }
    shared(plan, arguments)
}

/// What both methods take from the same options.
fn shared<H: ReconstructionHead>(plan: Plan<H>, arguments: &ClusterArguments) -> Plan<H> {
    let mut plan = plan.with_seed(arguments.seed);
    if let Some(epochs) = arguments.max_epochs {
        plan = plan.with_self_training(|phase| phase.with_max_epochs(epochs));
    }
    match arguments.batch_size {
        Some(cells) => plan.with_batch_size(cells),
        None => plan,
    }
}

pub fn preprocess(arguments: &ClusterArguments) -> Result<Preprocess> {
    let mut preprocess = match (arguments.method, arguments.preset) {
        (Method::Scdcc, Preset::Default) => Preprocess::scdcc(),
        (Method::Scdcc, Preset::Reference) => Preprocess::scdcc_reference(),
        (Method::Desc, Preset::Default) => Preprocess::desc(),
        (Method::Desc, Preset::Reference) => Preprocess::desc_reference(),
    };
    preprocess = preprocess.with_allow_fractional(arguments.allow_fractional);
    if let Some(genes) = arguments.variable_genes {
        let variable_genes = (genes > 0).then(|| VariableGenes::seurat(genes));
        preprocess = preprocess.with_variable_genes(variable_genes);
    }
    preprocess.validate()?;
    Ok(preprocess)
}
