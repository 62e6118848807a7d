//! Batches that the device writes itself.

use std::sync::Arc;

use celldec::batches::{Batches, Corruption};
use celldec::counts::CountSource;
use celldec::prelude::*;

use crate::{assert_close, cpu, gpu, values};

/// Cells whose counts are in memory, and the same from a source.
fn cells(genes: usize, batches: bool) -> [Cells; 2] {
    let simulation = SimulationConfig::new(90, genes)
        .with_groups(3)
        .with_seed(4)
        .simulate()
        .expect("valid settings");
    let preprocess = Preprocess::desc_reference();
    let source: Arc<dyn CountSource> = Arc::new(simulation.counts.clone());
    let fitted = if batches {
        let labels: Vec<String> = (0..90).map(|cell| format!("batch {}", cell % 2)).collect();
        [
            preprocess.fit_with_batches(&simulation.counts, &labels),
            preprocess.fit_source_with_batches(source, &labels),
        ]
    } else {
        [
            preprocess.fit(&simulation.counts),
            preprocess.fit_source(source),
        ]
    };
    fitted.map(|cells| cells.expect("simulated counts are valid"))
}

#[test]
fn counts_input_and_noise_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    // Rows that are shorter than a block of noise, end within one, and are whole blocks.
    for (genes, labelled) in [(20, false), (150, true), (256, false)] {
        let [in_memory, read] = cells(genes, labelled);
        // All counts are kept on the device, or sent batch by batch.
        for cells in [&in_memory, &read] {
            compare(&in_memory, cells, &gpu, &format!("{genes} genes"));
        }
    }
}

fn compare(cells: &Cells, on_gpu: &Cells, gpu: &Device, what: &str) {
    let (here, there) = (Batches::new(cells, &cpu()), Batches::new(on_gpu, gpu));
    let rows = [5, 0, cells.cells() - 1, 17, 5];
    let (expected, found) = (here.batch(&rows).unwrap(), there.batch(&rows).unwrap());
    assert_eq!(values(found.counts), values(expected.counts));
    assert_eq!(values(found.input), values(expected.input));
    assert_eq!(values(found.size_factors), values(expected.size_factors));
    for (corruption, bound) in [
        (Corruption::None, 0.0),
        (Corruption::Gaussian(2.5), 1e-6),
        (Corruption::Dropout(0.2), 0.0),
    ] {
        for epoch in [0, 3, 1 << 40] {
            let seed = 7 << 33;
            let read = |batches: &Batches<'_>| {
                values(
                    batches
                        .corrupted_input(&rows, corruption, seed, epoch)
                        .unwrap(),
                )
            };
            assert_close(
                &read(&there),
                &read(&here),
                bound,
                &format!("{what}, {corruption:?}, epoch {epoch}"),
            );
        }
    }
}
