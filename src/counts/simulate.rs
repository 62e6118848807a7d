//! Simulated counts with known groups and batches.

mod draw;

use serde::{Deserialize, Serialize};

use super::CountMatrix;
use crate::error::{Error, ParameterError, Result};
use crate::parallel::map;
use draw::{GeneModel, draw_cell, shuffled_assignment};

/// Cells per block of parallel work; results do not depend on it.
const BLOCK: usize = 256;

/// A simulator of single-cell counts after Splatter (Zappia, Phipson & Oshlack, Genome Biology
/// 2017).
///
/// For gene g, batch b, group k and cell c:
///
/// ```text
/// gene mean        λ_g   ~ Gamma(shape, rate)
/// batch factor     B_gb  ~ LogNormal(location, scale)                       (1 for a single batch)
/// group factor     D_gk  ~ LogNormal(location, scale) for a random subset of genes, else 1;
///                          inverted for down-regulated genes
/// library size     L_c   ~ LogNormal(ln median, scale)
/// expected count   μ_gc  = L_c · λ_g B_gb D_gk / Σ_g λ_g B_gb D_gk
/// dispersion       φ_g   = BCV² · ν / χ²(ν)
/// count            y_gc  ~ NegativeBinomial(mean μ_gc, variance μ_gc + φ_g μ_gc²)
/// dropout          P(y_gc → 0) = 1 / (1 + exp(−shape · (ln μ_gc − midpoint)))
/// ```
///
/// Unlike Splatter's, the coefficient of variation (BCV) has no trend over the mean, as counts of
/// unique molecular identifiers show none, and groups and batches have exactly the sizes asked for
/// (up to rounding) instead of random ones.
///
/// Every number comes from a stream addressed by the seed, so results do not depend on the number
/// of threads. Memory is that of the non-zero counts.
///
/// ```
/// use celldec::counts::SimulationConfig;
///
/// let simulation = SimulationConfig::new(300, 100)
///     .with_group_proportions([0.6, 0.3, 0.1])
///     .with_batches(2)
///     .with_seed(7)
///     .simulate()?;
/// assert_eq!((simulation.counts.cells(), simulation.counts.genes()), (300, 100));
/// assert_eq!(simulation.groups.iter().filter(|&&group| group == 2).count(), 30);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulationConfig {
    /// Number of cells (default 1000).
    pub cells: usize,
    /// Number of genes (default 2000).
    pub genes: usize,
    /// Share of cells in every group; scaled to sum to 1 (default: five equal groups).
    pub group_proportions: Vec<f64>,
    /// Shape of the Gamma distribution of gene means (default 0.6, Splatter's).
    pub mean_shape: f64,
    /// Rate of the Gamma distribution of gene means (default 0.3, Splatter's). It cancels in the
    /// shares of a library, so it is here for comparison with Splatter's settings only.
    pub mean_rate: f64,
    /// Probability that a gene is differentially expressed in a group (default 0.1).
    pub de_probability: f64,
    /// Probability that a differentially expressed gene is down-regulated (default 0.5).
    pub de_down_probability: f64,
    /// Mean of the natural logarithm of group factors (default 0.1, Splatter's).
    pub de_location: f64,
    /// Standard deviation of the natural logarithm of group factors (default 0.4, Splatter's).
    pub de_scale: f64,
    /// Median library size: counts per cell (default 250, which leaves about 10 % of 2000 genes
    /// with a count).
    pub library_median: f64,
    /// Standard deviation of the natural logarithm of library sizes (default 0.2, Splatter's).
    pub library_scale: f64,
    /// Biological coefficient of variation; its square is the common dispersion (default 0.3;
    /// 0 gives Poisson counts).
    pub bcv: f64,
    /// Degrees of freedom of the dispersion's variation between genes (default 60, Splatter's);
    /// infinite for the same dispersion in all genes.
    pub bcv_degrees: f64,
    /// Additional zeros (default none).
    pub dropout: Option<Dropout>,
    /// Number of batches, of equal sizes (default 1).
    pub batches: usize,
    /// Mean of the natural logarithm of batch factors (default 0.1, Splatter's).
    pub batch_location: f64,
    /// Standard deviation of the natural logarithm of batch factors (default 0.1, Splatter's).
    pub batch_scale: f64,
    /// Seed (default 0).
    pub seed: u64,
}

/// The logistic curve by which counts are lost: the probability falls with the expected count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Natural logarithm of the expected count at which half of the counts are lost.
    pub midpoint: f64,
    /// Slope; negative, so that low expression is lost more often (Splatter's default: −1).
    pub shape: f64,
}

impl Default for SimulationConfig {
    fn default() -> Self {
        Self {
            cells: 1000,
            genes: 2000,
            group_proportions: vec![0.2; 5],
            mean_shape: 0.6,
            mean_rate: 0.3,
            de_probability: 0.1,
            de_down_probability: 0.5,
            de_location: 0.1,
            de_scale: 0.4,
            library_median: 250.0,
            library_scale: 0.2,
            bcv: 0.3,
            bcv_degrees: 60.0,
            dropout: None,
            batches: 1,
            batch_location: 0.1,
            batch_scale: 0.1,
            seed: 0,
        }
    }
}

impl SimulationConfig {
    /// The defaults for so many cells and genes.
    pub fn new(cells: usize, genes: usize) -> Self {
        Self {
            cells,
            genes,
            ..Self::default()
        }
    }

    /// `groups` groups of equal size.
    pub fn with_groups(self, groups: usize) -> Self {
        self.with_group_proportions(vec![1.0; groups])
    }

    /// Groups of these relative sizes; small ones make rare groups.
    pub fn with_group_proportions(mut self, proportions: impl Into<Vec<f64>>) -> Self {
        self.group_proportions = proportions.into();
        self
    }

    /// Gene means from Gamma(shape, rate).
    pub fn with_gene_means(mut self, shape: f64, rate: f64) -> Self {
        self.mean_shape = shape;
        self.mean_rate = rate;
        self
    }

    /// Probability that a gene differs in a group, and location and scale of the logarithm of the
    /// factor by which it does.
    pub fn with_differential_expression(
        mut self,
        probability: f64,
        location: f64,
        scale: f64,
    ) -> Self {
        self.de_probability = probability;
        self.de_location = location;
        self.de_scale = scale;
        self
    }

    /// Share of down-regulated genes among the differentially expressed.
    pub fn with_down_regulation(mut self, probability: f64) -> Self {
        self.de_down_probability = probability;
        self
    }

    /// Median of library sizes and the standard deviation of their logarithm.
    pub fn with_library_size(mut self, median: f64, scale: f64) -> Self {
        self.library_median = median;
        self.library_scale = scale;
        self
    }

    /// Biological coefficient of variation and its degrees of freedom between genes.
    pub fn with_bcv(mut self, bcv: f64, degrees: f64) -> Self {
        self.bcv = bcv;
        self.bcv_degrees = degrees;
        self
    }

    /// Logistic dropout: see [`Dropout`].
    pub fn with_dropout(mut self, midpoint: f64, shape: f64) -> Self {
        self.dropout = Some(Dropout { midpoint, shape });
        self
    }

    /// Number of batches of equal size.
    pub fn with_batches(mut self, batches: usize) -> Self {
        self.batches = batches;
        self
    }

    /// Location and scale of the logarithm of batch factors.
    pub fn with_batch_effect(mut self, location: f64, scale: f64) -> Self {
        self.batch_location = location;
        self.batch_scale = scale;
        self
    }

    /// The seed of all random numbers.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Draws the counts.
    ///
    /// # Errors
    /// [`Error::EmptyMatrix`] for no cells or no genes, [`ParameterError::OutOfRange`] naming a
    /// setting outside its range, [`ParameterError::Conflict`] for no groups, all before any work.
    pub fn simulate(&self) -> Result<Simulation> {
        self.validate()?;
        let groups = shuffled_assignment(
            self.cells,
            &self.group_proportions,
            self.seed,
            draw::GROUP_ORDER,
        );
        let batches = shuffled_assignment(
            self.cells,
            &vec![1.0; self.batches],
            self.seed,
            draw::BATCH_ORDER,
        );
        let model = GeneModel::draw(self);
        let starts: Vec<usize> = (0..self.cells).step_by(BLOCK).collect();
        let blocks: Vec<Block> = map(starts.len(), |number| {
            let mut block = Block::default();
            for cell in starts[number]..(starts[number] + BLOCK).min(self.cells) {
                let library = draw_cell(
                    self,
                    &model,
                    cell,
                    groups[cell],
                    batches[cell],
                    &mut block.indices,
                    &mut block.values,
                );
                block.ends.push(block.indices.len());
                block.libraries.push(library);
            }
            block
        });
        let stored = blocks.iter().map(|block| block.indices.len()).sum();
        let mut offsets = Vec::with_capacity(self.cells + 1);
        offsets.push(0);
        let mut indices = Vec::with_capacity(stored);
        let mut values = Vec::with_capacity(stored);
        let mut library_sizes = Vec::with_capacity(self.cells);
        for block in blocks {
            let start = indices.len();
            offsets.extend(block.ends.iter().map(|end| start + end));
            indices.extend_from_slice(&block.indices);
            values.extend_from_slice(&block.values);
            library_sizes.extend_from_slice(&block.libraries);
        }
        let name = |what: &str, count: usize| -> Vec<String> {
            (1..=count)
                .map(|number| format!("{what}{number}"))
                .collect()
        };
        let counts = CountMatrix::from_csr(self.cells, self.genes, offsets, indices, values)?
            .with_names(name("cell", self.cells), name("gene", self.genes))?;
        Ok(Simulation {
            counts,
            groups,
            batches,
            library_sizes,
            model,
        })
    }

    fn validate(&self) -> Result<()> {
        if self.cells == 0 || self.genes == 0 {
            return Err(Error::EmptyMatrix {
                cells: self.cells,
                genes: self.genes,
            });
        }
        if u32::try_from(self.genes).is_err() {
            return Err(out_of_range("genes", "at most 2^32 - 1", self.genes as f64));
        }
        if self.group_proportions.is_empty() {
            return Err(ParameterError::Conflict {
                reason: "group_proportions must name at least one group".into(),
            }
            .into());
        }
        if self.batches == 0 {
            return Err(out_of_range("batches", "at least 1", 0.0));
        }
        for &proportion in &self.group_proportions {
            positive("group_proportions", proportion)?;
        }
        positive("mean_shape", self.mean_shape)?;
        positive("mean_rate", self.mean_rate)?;
        probability("de_probability", self.de_probability)?;
        probability("de_down_probability", self.de_down_probability)?;
        bounded("de_location", self.de_location)?;
        scale("de_scale", self.de_scale)?;
        if !(self.library_median > 0.0 && self.library_median <= 1e9) {
            return Err(out_of_range(
                "library_median",
                "positive and at most 1e9",
                self.library_median,
            ));
        }
        scale("library_scale", self.library_scale)?;
        scale("bcv", self.bcv)?;
        if self.bcv_degrees.is_nan() || self.bcv_degrees < 1.0 {
            return Err(out_of_range("bcv_degrees", "at least 1", self.bcv_degrees));
        }
        bounded("batch_location", self.batch_location)?;
        scale("batch_scale", self.batch_scale)?;
        if let Some(dropout) = self.dropout {
            for (name, value) in [
                ("dropout.midpoint", dropout.midpoint),
                ("dropout.shape", dropout.shape),
            ] {
                if !value.is_finite() {
                    return Err(out_of_range(name, "finite", value));
                }
            }
        }
        Ok(())
    }
}

fn out_of_range(name: &'static str, requirement: &'static str, value: f64) -> Error {
    ParameterError::OutOfRange {
        name,
        requirement,
        value,
    }
    .into()
}

fn positive(name: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(out_of_range(name, "positive and finite", value))
    }
}

fn probability(name: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(out_of_range(name, "between 0 and 1", value))
    }
}

fn bounded(name: &'static str, value: f64) -> Result<()> {
    if value.abs() <= 10.0 {
        Ok(())
    } else {
        Err(out_of_range(name, "between -10 and 10", value))
    }
}

fn scale(name: &'static str, value: f64) -> Result<()> {
    if (0.0..=10.0).contains(&value) {
        Ok(())
    } else {
        Err(out_of_range(name, "between 0 and 10", value))
    }
}

/// The counts of consecutive cells.
#[derive(Default)]
struct Block {
    ends: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    libraries: Vec<f64>,
}

/// Simulated counts and the truth behind them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Simulation {
    /// Counts `[cells, genes]`.
    pub counts: CountMatrix,
    /// Group of every cell.
    pub groups: Vec<usize>,
    /// Batch of every cell.
    pub batches: Vec<usize>,
    /// Expected total count of every cell, before dropout.
    pub library_sizes: Vec<f64>,
    model: GeneModel,
}

impl Simulation {
    /// Expected counts of a cell `[genes]`, before dropout, or `None` when there is no such cell.
    pub fn expected_counts(&self, cell: usize) -> Option<Vec<f64>> {
        let library = *self.library_sizes.get(cell)?;
        let profile = self.model.profile(self.groups[cell], self.batches[cell]);
        Some(profile.iter().map(|share| library * share).collect())
    }

    /// Whether every gene is differentially expressed in a group `[genes]`, or `None` when there
    /// is no such group.
    pub fn differential_genes(&self, group: usize) -> Option<Vec<bool>> {
        let factors = self.model.group_factors(group)?;
        Some(factors.iter().map(|&factor| factor != 1.0).collect())
    }
}

#[cfg(test)]
mod tests;
