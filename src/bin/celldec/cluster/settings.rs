//! From the command line to the settings of preprocessing and training.

use celldec::prelude::*;
use celldec::start::{CentroidStart, KMeansConfig};

use super::arguments::{ClusterArguments, Method, Preset};

pub fn scdcc(arguments: &ClusterArguments) -> ScdccConfig {
    let clusters = arguments.clusters.unwrap_or_default();
    let mut config = match arguments.preset {
        Preset::Default => ScdccConfig::new(clusters),
        Preset::Reference => ScdccConfig::reference(clusters),
    };
    if arguments.clusters.is_none() {
        config = config.with_start(match arguments.resolution.first() {
            None => ScdccConfig::auto().start,
            Some(&resolution) => ScdccConfig::from_resolution(resolution).start,
        });
    }
    config.seed = arguments.seed;
    replace(&mut config.pretraining_epochs, arguments.pretraining_epochs);
    replace(&mut config.max_epochs, arguments.max_epochs);
    replace(&mut config.batch_size, arguments.batch_size);
    config
}

pub fn desc(arguments: &ClusterArguments) -> DescConfig {
    let mut config = match arguments.preset {
        Preset::Default => DescConfig::new(),
        Preset::Reference => DescConfig::reference(),
    };
    if let Some(clusters) = arguments.clusters {
        config = config.with_start(Some(CentroidStart::KMeans(KMeansConfig::new(clusters))));
    } else if arguments.resolution.is_empty() {
        config = config.with_start(DescConfig::auto().start);
    } else {
        config = config.with_resolutions(arguments.resolution.clone());
    }
    config.seed = arguments.seed;
    replace(&mut config.pretraining_epochs, arguments.pretraining_epochs);
    replace(&mut config.max_epochs, arguments.max_epochs);
    replace(&mut config.batch_size, arguments.batch_size);
    config
}

fn replace(setting: &mut usize, given: Option<usize>) {
    *setting = given.unwrap_or(*setting);
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
