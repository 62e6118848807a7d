//! Labelled data sets: AnnData files, subsets drawn from them, and simulated families by name.

use std::path::Path;

use celldec::counts::{Dropout, SimulationConfig};
use celldec::io::H5adOptions;
use celldec::prelude::*;
use celldec::random::{Purpose, stream};
use rand::RngExt;
use rand::seq::SliceRandom;

/// A labelled data set.
pub struct LabelledCounts {
    pub name: String,
    pub counts: CountMatrix,
    pub labels: Vec<String>,
    /// The batch of every cell where there are several.
    pub batches: Option<Vec<String>>,
}

impl LabelledCounts {
    /// Preprocessed cells; where the data have batches and `within_batches`, genes are scaled
    /// within each.
    pub fn prepare(&self, preprocess: &Preprocess, within_batches: bool) -> celldec::Result<Cells> {
        match &self.batches {
            Some(batches) if within_batches => preprocess.fit_with_batches(&self.counts, batches),
            _ => preprocess.fit(&self.counts),
        }
    }
}

/// Simulated families; `name` as in `sim:name`. The last three are kept aside for a final check.
pub const FAMILIES: [&str; 9] = [
    "equal", "sizes", "rare", "shallow", "dropout", "batches", "many", "close", "deep",
];

/// Reads `source`: a file, or, drawn anew for every seed, `sim:FAMILY` or `subset:FILE`.
pub fn read(source: &Path, label: &str, seed: u64) -> Result<LabelledCounts, String> {
    let text = source.to_string_lossy();
    match text.split_once(':') {
        Some(("sim", family)) => simulate(family, seed),
        Some(("subset", file)) => draw_subset(read_file(Path::new(file), label)?, seed),
        _ => read_file(source, label),
    }
}

/// At least four of the types (all if there are fewer), each with 15 to 100 % of its cells, though
/// not fewer than 20, 2000 cells at most, with all, 60 % or 40 % of their counts: a data set with
/// another number, other sizes and other depth of types than the one it is drawn from.
fn draw_subset(whole: LabelledCounts, seed: u64) -> Result<LabelledCounts, String> {
    const MOST_CELLS: usize = 2000;
    const LEAST_CELLS_OF_TYPE: usize = 20;
    whole
        .counts
        .check_integers()
        .map_err(|error| error.to_string())?;
    let mut random = stream(seed, Purpose::Subsample, 0, 2);
    let mut types = whole.labels.clone();
    types.retain(|label| !label.is_empty());
    types.sort_unstable();
    types.dedup();
    types.shuffle(&mut random);
    types.truncate(random.random_range(types.len().min(4)..=types.len()));
    let mut cells = Vec::new();
    for name in &types {
        let of_type = |&cell: &usize| whole.labels[cell] == *name;
        let mut of_type: Vec<usize> = (0..whole.labels.len()).filter(of_type).collect();
        of_type.shuffle(&mut random);
        let share = random.random_range(0.15..1.0);
        of_type.truncate(usize::max(
            LEAST_CELLS_OF_TYPE,
            (of_type.len() as f64 * share) as usize,
        ));
        cells.extend(of_type);
    }
    cells.shuffle(&mut random);
    cells.truncate(MOST_CELLS);
    let depth = [1.0, 1.0, 0.6, 0.4][random.random_range(0..4)];

    let (mut offsets, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for &cell in &cells {
        let (genes, counts) = whole.counts.row(cell);
        for (&gene, &count) in genes.iter().zip(counts) {
            let kept = (0..count as u32)
                .filter(|_| random.random_bool(depth))
                .count();
            if kept > 0 {
                indices.push(gene);
                values.push(kept as f32);
            }
        }
        offsets.push(indices.len());
    }
    let genes = whole.counts.genes();
    let counts = CountMatrix::from_csr(cells.len(), genes, offsets, indices, values)
        .map_err(|error| error.to_string())?;
    Ok(LabelledCounts {
        name: format!("subset:{}", whole.name),
        counts,
        labels: cells
            .iter()
            .map(|&cell| whole.labels[cell].clone())
            .collect(),
        batches: None,
    })
}

fn read_file(file: &Path, label: &str) -> Result<LabelledCounts, String> {
    let data = H5adOptions::new()
        .read(file)
        .map_err(|error| error.to_string())?;
    let labels = data
        .cell_annotations
        .get(label)
        .ok_or_else(|| {
            format!(
                "{}: no obs column \"{label}\"; choose one with --label",
                file.display()
            )
        })?
        .labels()
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    Ok(LabelledCounts {
        name: file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
        counts: data.counts,
        labels,
        batches: None,
    })
}

fn simulate(family: &str, seed: u64) -> Result<LabelledCounts, String> {
    let base = SimulationConfig {
        cells: 2000,
        library_median: 800.0,
        de_probability: 0.08,
        seed: 10_000 + seed,
        ..SimulationConfig::default()
    };
    let geometric = |groups: i32, ratio: f64| (0..groups).map(|group| ratio.powi(group)).collect();
    let config = match family {
        "equal" => SimulationConfig {
            group_proportions: vec![1.0; 8],
            ..base
        },
        "sizes" => SimulationConfig {
            group_proportions: geometric(8, 0.7),
            ..base
        },
        "rare" => SimulationConfig {
            group_proportions: vec![0.3, 0.25, 0.2, 0.14, 0.1, 0.01],
            library_median: 2000.0,
            de_probability: 0.15,
            de_scale: 0.6,
            ..base
        },
        "shallow" => SimulationConfig {
            group_proportions: geometric(6, 0.8),
            library_median: 300.0,
            library_scale: 0.5,
            de_scale: 0.5,
            ..base
        },
        "dropout" => SimulationConfig {
            group_proportions: geometric(6, 0.8),
            library_median: 2000.0,
            dropout: Some(Dropout {
                midpoint: 0.5,
                shape: -1.0,
            }),
            ..base
        },
        "batches" => SimulationConfig {
            group_proportions: geometric(6, 0.8),
            batches: 2,
            batch_scale: 0.35,
            ..base
        },
        "many" => SimulationConfig {
            cells: 3000,
            group_proportions: geometric(15, 0.9),
            library_median: 1200.0,
            ..base
        },
        "close" => SimulationConfig {
            group_proportions: vec![1.0; 5],
            de_probability: 0.05,
            library_median: 1000.0,
            ..base
        },
        "deep" => SimulationConfig {
            cells: 1500,
            group_proportions: geometric(7, 0.75),
            library_median: 5000.0,
            de_scale: 0.25,
            bcv: 0.5,
            ..base
        },
        unknown => {
            return Err(format!(
                "no simulated family \"{unknown}\"; there are {}",
                FAMILIES.join(", ")
            ));
        }
    };
    let simulation = config.simulate().map_err(|error| error.to_string())?;
    Ok(LabelledCounts {
        name: format!("sim:{family}"),
        counts: simulation.counts,
        labels: simulation
            .groups
            .iter()
            .map(|group| format!("group {group}"))
            .collect(),
        batches: (config.batches > 1).then(|| {
            let batches = simulation.batches.iter();
            batches.map(|batch| format!("batch {batch}")).collect()
        }),
    })
}
