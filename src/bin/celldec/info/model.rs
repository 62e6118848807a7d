//! What is in a fitted model.

use std::path::Path;

use celldec::model::ModelInfo;
use celldec::nn::{Activation, Dense, ReconstructionHead};
use celldec::prelude::*;

use super::print_settings;
use crate::console::Console;
use crate::exit;

/// Genes named on the screen.
const NAMED: usize = 5;

/// Prints where a model comes from and what it consists of.
pub fn print(console: &Console, path: &Path) -> Result<()> {
    let info = ModelInfo::read(path)?;
    console.answer(format_args!(
        "{}: a model of the method {}, fitted by celldec {} with seed {}",
        path.display(),
        info.method,
        info.version,
        info.seed
    ));
    let device = celldec::device::by_name("cpu")?;
    let network = match info.method.as_str() {
        "desc" => DescModel::load(path, &device).map(|model| network(&model)),
        _ => ScdccModel::load(path, &device).map(|model| network(&model)),
    };
    match network {
        Ok(lines) => lines.iter().for_each(|line| console.answer(line)),
        // A head of the user's own is known to the user's program alone.
        Err(error) => console.answer(format_args!("  network       {}", exit::message(&error))),
    }
    console.answer(format_args!(
        "  cells         fingerprint {:016x}",
        info.data_fingerprint
    ));
    print_settings(console, &info.settings);
    Ok(())
}

fn network<H: ReconstructionHead>(model: &FittedModel<H>) -> Vec<String> {
    let preprocessing = model.preprocessing();
    let genes = preprocessing.gene_names();
    let first: Vec<&str> = genes.iter().take(NAMED).map(String::as_str).collect();
    let more = if genes.len() > NAMED { ", …" } else { "" };
    let network = model.network();
    let mut lines = vec![
        format!("  clusters      {}", model.clusters()),
        format!(
            "  genes         {}: {}{more}",
            genes.len(),
            first.join(", ")
        ),
        format!("  encoder       {}", layers(&network.encoder.layers)),
    ];
    if let Some(skip) = &network.encoder.skip {
        lines.push(format!(
            "                and a linear map of the genes, then {}",
            name(skip.latent_activation)
        ));
    }
    lines.push(match &network.reconstruction {
        Some(reconstruction) => format!(
            "  decoder       {}, head {}",
            layers(&reconstruction.decoder.layers),
            H::NAME
        ),
        None => "  decoder       none".to_string(),
    });
    lines.push(format!("  similarity    {:?}", network.clustering.kernel));
    let batches = preprocessing.batch_statistics();
    if !batches.is_empty() {
        let names: Vec<&str> = batches.iter().map(|batch| batch.batch.as_str()).collect();
        lines.push(format!("  batches       {}", names.join(", ")));
    }
    lines
}

/// "2000 → 256 relu → 32 linear"
fn layers(layers: &[Dense]) -> String {
    let mut text = layers.first().map_or_else(
        || "no layers".to_string(),
        |layer| layer.inputs().to_string(),
    );
    for layer in layers {
        text += &format!(" → {} {}", layer.outputs(), name(layer.activation));
    }
    text
}

fn name(activation: Activation) -> String {
    format!("{activation:?}").to_lowercase()
}
