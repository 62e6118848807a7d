//! A fitted model in a few lines.

use burn::module::Module;

use super::fitted::FittedModel;
use crate::nn::{Activation, Dense, ReconstructionHead};

/// Genes that are named.
const NAMED: usize = 5;

impl<H: ReconstructionHead> FittedModel<H> {
    /// What the model consists of, a line for each part: clusters, genes, the layers of encoder and
    /// decoder with their widths, the head, the similarity, and the number of parameters.
    ///
    /// ```
    /// use celldec::prelude::*;
    ///
    /// let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
    /// let cells = Preprocess::scdcc().fit(&counts)?;
    /// let plan = Plan::scdcc(3).with_widths([16, 4]).with_epochs(1, 1);
    /// let fit = plan.trainer(&Device::default())?.fit(&cells)?;
    /// println!("{}", fit.model().summary());
    /// assert!(fit.model().summary().contains("40 → 16 relu → 4 linear"));
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn summary(&self) -> String {
        let (network, genes) = (self.network(), self.preprocessing().gene_names());
        let first: Vec<&str> = genes.iter().take(NAMED).map(String::as_str).collect();
        let more = if genes.len() > NAMED { ", …" } else { "" };
        let mut lines = vec![
            format!("clusters      {}", self.clusters()),
            format!("genes         {}: {}{more}", genes.len(), first.join(", ")),
            format!("encoder       {}", layers(&network.encoder.layers)),
        ];
        if let Some(skip) = &network.encoder.skip {
            lines.push(format!(
                "              and a linear map of the genes, then {}",
                name(skip.latent_activation)
            ));
        }
        lines.push(match &network.reconstruction {
            Some(reconstruction) => format!(
                "decoder       {}, head {}",
                layers(&reconstruction.decoder.layers),
                H::NAME
            ),
            None => "decoder       none".to_string(),
        });
        lines.push(format!("similarity    {:?}", network.clustering.kernel));
        lines.push(format!("parameters    {}", network.num_params()));
        let batches = self.preprocessing().batch_statistics();
        if !batches.is_empty() {
            let names: Vec<&str> = batches.iter().map(|batch| batch.batch.as_str()).collect();
            lines.push(format!("batches       {}", names.join(", ")));
        }
        lines.join("\n")
    }
}

/// "2000 → 256 relu → 32 linear"
fn layers(layers: &[Dense]) -> String {
    let mut text = match layers.first() {
        Some(layer) => layer.inputs().to_string(),
        None => "no layers".to_string(),
    };
    for layer in layers {
        text += &format!(" → {} {}", layer.outputs(), name(layer.activation));
    }
    text
}

fn name(activation: Activation) -> String {
    format!("{activation:?}").to_lowercase()
}
