//! What cells are given beside their counts: covariates and weights.

use ndarray::Array2;

use super::cells::Cells;
use super::covariates::{CovariateDesign, Covariates, EncodedCovariates};
use crate::error::{Error, ParameterError, Result};

impl Cells {
    /// Tells networks something of the cells beside their counts
    /// ([`CovariatePlacement`](crate::nn::CovariatePlacement) says which parts): what the decoder is
    /// told, the embedding need not say.
    ///
    /// The learned rows start at zero, where the network is that without covariates, and move with the
    /// learning rate of training: few cells with a strong effect need more epochs, or a higher rate
    /// (0.01), before the embedding is free of it.
    ///
    /// The design is learned from these cells; new cells of a fitted model take
    /// [the model's](crate::model::FittedModel::with_covariates).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when a covariate is of another number of cells
    /// ([`Covariates::select`] takes those that preprocessing kept); [`Error::NonFiniteValue`] for a
    /// number that is NaN or infinite.
    ///
    /// ```
    /// use celldec::preprocess::Covariates;
    /// use celldec::prelude::*;
    ///
    /// let simulation = SimulationConfig::new(90, 40).with_batches(3).with_seed(1).simulate()?;
    /// let batches = simulation.batches.iter().map(|batch| batch.to_string()).collect();
    /// let cells = Preprocess::scdcc().fit(&simulation.counts)?;
    /// let covariates = Covariates::new().with_categories("batch", batches);
    /// let cells = cells.with_covariates(&covariates)?;
    ///
    /// let fit = Plan::scdcc(3).with_epochs(1, 1).trainer(&Device::default())?.fit(&cells)?;
    /// let model = fit.model();
    /// let new_cells = model.with_covariates(model.prepare(&simulation.counts)?, &covariates)?;
    /// assert_eq!(model.assign(&new_cells)?.labels(), fit.clusters().labels());
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn with_covariates(self, covariates: &Covariates) -> Result<Self> {
        let design = CovariateDesign::fit(covariates)?;
        self.with_covariates_as(covariates, design)
    }

    /// As [`with_covariates`](Self::with_covariates), with a design that other cells have.
    ///
    /// # Errors
    /// As [`CovariateDesign::encode`].
    pub fn with_covariates_as(
        mut self,
        covariates: &Covariates,
        design: CovariateDesign,
    ) -> Result<Self> {
        let values = design.encode(covariates, self.cells())?;
        self.covariates = Some(EncodedCovariates { design, values });
        self.fingerprint = Default::default();
        Ok(self)
    }

    /// How the cells' covariates are encoded, if they have some.
    pub fn covariate_design(&self) -> Option<&CovariateDesign> {
        self.covariates
            .as_ref()
            .map(|covariates| &covariates.design)
    }

    /// Number of columns of encoded covariates; 0: none.
    pub(crate) fn covariate_columns(&self) -> usize {
        self.covariates
            .as_ref()
            .map_or(0, |covariates| covariates.values.ncols())
    }

    /// Encoded covariates `[cells, columns]`.
    pub(crate) fn covariates(&self) -> Option<&Array2<f32>> {
        Some(&self.covariates.as_ref()?.values).filter(|values| values.ncols() > 0)
    }

    /// Gives every cell a weight in reconstruction and clustering loss; larger: it counts for more.
    /// They are divided by their mean.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when there are not as many as cells; [`ParameterError::OutOfRange`]
    /// for a weight that is negative or not finite, or when all are 0.
    pub fn with_weights(mut self, weights: &[f64]) -> Result<Self> {
        if weights.len() != self.cells() {
            return Err(Error::LengthMismatch {
                what: "the list of weights of cells".into(),
                expected: self.cells(),
                found: weights.len(),
            });
        }
        let total: f64 = weights.iter().sum();
        let wrong = weights
            .iter()
            .copied()
            .find(|weight| !(*weight >= 0.0 && weight.is_finite()))
            .or_else(|| (total <= 0.0).then_some(0.0));
        if let Some(value) = wrong {
            return Err(ParameterError::OutOfRange {
                name: "the weight of a cell",
                requirement: "at least 0 and finite, and above 0 for some cells",
                value,
            }
            .into());
        }
        let mean = total / weights.len() as f64;
        let scaled = weights.iter().map(|weight| (weight / mean) as f32);
        self.weights = Some(scaled.collect());
        self.fingerprint = Default::default();
        Ok(self)
    }

    /// Weights of cells, of mean 1, if they have some.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// The weights of some cells.
    pub(crate) fn weights_of(&self, cells: &[usize]) -> Option<Vec<f32>> {
        let weights = self.weights.as_ref()?;
        Some(cells.iter().map(|&cell| weights[cell]).collect())
    }
}
