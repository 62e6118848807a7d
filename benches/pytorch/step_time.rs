//! celldec's half of the comparison with PyTorch; `benches/pytorch/run` builds and drives it.
//!
//! Reads requests `FIGURE SECONDS` from standard input, one a line, measures about so long, and
//! answers each with one line of JSON:
//!
//! ```text
//! scdcc_step 5
//! {"figure":"scdcc_step","milliseconds":[31.2,30.9]}
//! ```

#[path = "../shared/cells.rs"]
mod cells;
#[path = "../shared/products.rs"]
mod products;
#[path = "../shared/simulation.rs"]
mod simulation;
#[path = "../shared/steps.rs"]
mod steps;

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use celldec::preprocess::Cells;
use serde::Serialize;

use cells::simulated_cells;
use products::StepProducts;
use simulation::GROUPS;
use steps::{BATCH, clustering_epochs, scdcc_steps};

/// Cells of a pretraining epoch: eight whole batches.
const PRETRAINING_CELLS: usize = 8 * BATCH;

/// Cells of a clustering epoch.
const CLUSTERING_CELLS: usize = 2100;

/// The answer to a request.
#[derive(Serialize)]
struct Answer<'a> {
    figure: &'a str,
    /// Milliseconds of a step (the mean of an epoch's steps) or of an epoch.
    milliseconds: Vec<f64>,
}

struct Measurements {
    pretraining: Cells,
    clustering: Cells,
    products: StepProducts,
}

impl Measurements {
    /// Times of a figure, in seconds; `count` of them.
    fn measure(&mut self, figure: &str, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
        match figure {
            "scdcc_step" => Ok(scdcc_steps(&self.pretraining, count)?),
            "clustering_epoch" => Ok(clustering_epochs(&self.clustering, GROUPS, count)?),
            "gemm_floor" => Ok((0..count)
                .map(|_| {
                    let start = Instant::now();
                    self.products.compute();
                    start.elapsed().as_secs_f64()
                })
                .collect()),
            unknown => Err(format!("unknown figure \"{unknown}\"").into()),
        }
    }

    /// As many measurements as fit into about so many seconds, judged by three of them.
    fn measure_for(&mut self, figure: &str, seconds: f64) -> Result<Vec<f64>, Box<dyn Error>> {
        const TRIAL: usize = 3;
        let start = Instant::now();
        self.measure(figure, TRIAL)?;
        let each = start.elapsed().as_secs_f64() / TRIAL as f64;
        let count = (seconds / each).round().max(1.0) as usize;
        self.measure(figure, count)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut measurements = Measurements {
        pretraining: simulated_cells(PRETRAINING_CELLS)?,
        clustering: simulated_cells(CLUSTERING_CELLS)?,
        products: StepProducts::new(BATCH),
    };
    for line in stdin().lock().lines() {
        let line = line?;
        let (figure, seconds) = line
            .split_once(' ')
            .ok_or_else(|| format!("a request is \"FIGURE SECONDS\", not \"{line}\""))?;
        let answer = Answer {
            figure,
            milliseconds: measurements
                .measure_for(figure, seconds.trim().parse()?)?
                .into_iter()
                .map(|seconds| 1e3 * seconds)
                .collect(),
        };
        let mut output = stdout().lock();
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}
