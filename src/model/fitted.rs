//! The fitted model: embeds, assigns and denoises cells.

use std::ops::Range;
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::Device;
use ndarray::{Array2, ArrayView2, s};

use super::architecture::Architecture;
use super::assignment::{Assignment, check_finite};
use super::evaluate::{Evaluation, evaluate};
use super::info::ModelInfo;
use crate::batches::Batches;
use crate::counts::{CountMatrix, CountSource};
use crate::error::{Error, ParameterError, Result};
use crate::kernel::finite::FiniteCheck;
use crate::nn::{ClusteringNetwork, CountHead, MseHead, Reconstruction, ReconstructionHead};
use crate::preprocess::{Cells, CovariateDesign, Covariates, FittedPreprocess};
use crate::tensors::{read_matrix, tensor_to_array};

/// A model fitted by [`ScdccTrainer`](crate::train::ScdccTrainer) with its default head.
pub type ScdccModel = FittedModel<CountHead>;

/// A model fitted by [`DescTrainer`](crate::train::DescTrainer) with its default head.
pub type DescModel = FittedModel<MseHead>;

/// A trained network with the preprocessing that its cells went through.
///
/// ```
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_seed(1).simulate()?.counts;
/// let device = Device::default();
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let fit = Plan::scdcc(3).with_epochs(2, 2).trainer(&device)?.fit(&cells)?;
///
/// let model = fit.model();
/// let new_cells = model.prepare(&counts)?;     // the training cells' preprocessing
/// assert_eq!(model.assign(&new_cells)?.labels(), fit.clusters().labels());
/// assert_eq!(model.denoise(&new_cells)?.dim(), (new_cells.cells(), new_cells.genes()));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FittedModel<H: ReconstructionHead> {
    pub(super) network: ClusteringNetwork<H>,
    pub(super) architecture: Architecture<H>,
    pub(super) preprocessing: FittedPreprocess,
    pub(super) covariates: Option<CovariateDesign>,
    pub(super) info: ModelInfo,
    pub(super) device: Device,
}

impl<H: ReconstructionHead> FittedModel<H> {
    /// A model from a network of your own, or trained by a schedule of your own.
    ///
    /// `head` is the configuration of the network's head, not needed where the decoder was removed;
    /// `cells` are the training cells, whose preprocessing (and covariates) the model repeats on new
    /// ones. The model saves and loads like any other.
    ///
    /// ```
    /// use celldec::model::ModelInfo;
    /// use celldec::nn::{ClusteringNetwork, CountDistribution, CountHead};
    /// use celldec::prelude::*;
    /// use serde_json::json;
    ///
    /// # let counts = SimulationConfig::new(60, 40).with_groups(2).with_seed(1).simulate()?.counts;
    /// # let cells = Preprocess::scdcc().fit(&counts)?;
    /// # let device = Device::default();
    /// # let fit = Plan::scdcc(2).with_epochs(1, 1).trainer(&device)?.fit(&cells)?;
    /// # let network: ClusteringNetwork<CountHead> = fit.model().network().clone();
    /// // `network` comes from a training loop of one's own.
    /// let info = ModelInfo::new("mine", 7, json!({"learning_rate": 0.01}), &cells)?;
    /// let head = Some(CountDistribution::NegativeBinomial);
    /// let model = FittedModel::from_parts(network, head, &cells, info, &device)?;
    /// assert_eq!(model.assign(&cells)?.labels().len(), 60);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ParameterError::Conflict`] when the parts do not fit together: layers, centroids, the number
    /// of genes, a decoder without the configuration of its head, or columns of covariates.
    pub fn from_parts(
        network: ClusteringNetwork<H>,
        head: Option<H::Config>,
        cells: &Cells,
        info: ModelInfo,
        device: &Device,
    ) -> Result<Self> {
        let conflict = |reason: String| ParameterError::Conflict { reason };
        if network.reconstruction.is_some() && head.is_none() {
            return Err(conflict(
                "the network has a decoder: give the configuration of its head".into(),
            )
            .into());
        }
        if !is_finite(&network.valid())? {
            return Err(conflict("the network has NaN or infinite weights".into()).into());
        }
        let model = Self::of(network, head, cells, info, device);
        let (genes, columns) = (cells.genes(), cells.covariate_columns());
        model.architecture.check(genes, columns).map_err(conflict)?;
        model
            .architecture
            .check_network(&model.network)
            .map_err(conflict)?;
        Ok(model)
    }

    /// A model from a network that was trained on `cells`.
    pub(crate) fn of(
        network: ClusteringNetwork<H>,
        head: Option<H::Config>,
        cells: &Cells,
        info: ModelInfo,
        device: &Device,
    ) -> Self {
        let device = device.clone().inner();
        let tracked = network.devices().iter().any(Device::is_autodiff);
        let network = if tracked { network.valid() } else { network };
        Self {
            architecture: Architecture::of(&network, head),
            network: network.to_device(&device),
            preprocessing: cells.preprocessing().clone(),
            covariates: cells.covariate_design().cloned(),
            info,
            device,
        }
    }

    /// Where the model comes from.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The preprocessing of its cells.
    pub fn preprocessing(&self) -> &FittedPreprocess {
        &self.preprocessing
    }

    /// The network, for those who want its parts.
    pub fn network(&self) -> &ClusteringNetwork<H> {
        &self.network
    }

    /// Number of clusters.
    pub fn clusters(&self) -> usize {
        self.architecture.clusters
    }

    /// Centroids `[clusters, latent]`.
    pub fn centroids(&self) -> Array2<f32> {
        tensor_to_array(self.network.clustering.centroids.val())
    }

    /// Preprocesses new cells as the training cells were; genes are aligned by name.
    ///
    /// # Errors
    /// [`Error::GeneOverlap`] when fewer than 80 % of the model's genes are present.
    pub fn prepare(&self, counts: &CountMatrix) -> Result<Cells> {
        self.preprocessing.transform(counts)
    }

    /// As [`prepare`](Self::prepare), of counts that need not fit in memory.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and those of the source.
    pub fn prepare_source(&self, source: Arc<dyn CountSource>) -> Result<Cells> {
        self.preprocessing.transform_source(source)
    }

    /// How the covariates of its cells are encoded, if it was fitted with some.
    pub fn covariate_design(&self) -> Option<&CovariateDesign> {
        self.covariates.as_ref()
    }

    /// Gives prepared cells the covariates that the model was fitted with.
    ///
    /// # Errors
    /// As [`CovariateDesign::encode`]; [`Error::Covariate`] when the model was fitted without.
    pub fn with_covariates(&self, cells: Cells, covariates: &Covariates) -> Result<Cells> {
        match &self.covariates {
            Some(design) => cells.with_covariates_as(covariates, design.clone()),
            None => Err(Error::Covariate {
                name: covariates.names().join(", "),
                reason: "the model was fitted without covariates".into(),
            }),
        }
    }

    /// Embeds cells `[cells, latent]`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the cells have another number of genes than the model; cells
    /// from [`prepare`](Self::prepare) fit. [`Error::Covariate`] when the model was fitted with
    /// covariates and the cells have none, or others; [`Error::NonFiniteValue`] when the network
    /// computes NaN; those of the source, when counts are read from one.
    pub fn embed(&self, cells: &Cells) -> Result<Array2<f32>> {
        self.check(cells)?;
        let batches = Batches::new(cells, &self.device);
        let embedding = evaluate(&self.network.encoder, None, &batches)?.embedding;
        check_finite("the embedding", &embedding)?;
        Ok(embedding)
    }

    /// Assigns cells to clusters.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn assign(&self, cells: &Cells) -> Result<Assignment> {
        Assignment::from_soft(self.evaluate(cells)?.soft_assignments)
    }

    /// Embeds and assigns cells in one pass.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn evaluate(&self, cells: &Cells) -> Result<Evaluation> {
        self.check(cells)?;
        let batches = Batches::new(cells, &self.device);
        let evaluation = evaluate(
            &self.network.encoder,
            Some(&self.network.clustering),
            &batches,
        )?;
        check_finite("the embedding", &evaluation.embedding)?;
        check_finite("the soft assignment", &evaluation.soft_assignments)?;
        Ok(evaluation)
    }

    /// Denoised expression `[cells, genes]`: the decoder's expectation times each cell's size
    /// factor, on the scale of the counts (for an [`MseHead`] on the scale of its input).
    ///
    /// The result is dense, `4 · cells · genes` bytes; [`denoise_blocks`](Self::denoise_blocks) has some
    /// of the cells in memory at a time.
    ///
    /// # Errors
    /// As [`embed`](Self::embed), and [`Error::NoDecoder`] when it was removed (DESC).
    pub fn denoise(&self, cells: &Cells) -> Result<Array2<f32>> {
        self.decoder_for(cells)?;
        let mut denoised = Array2::zeros((cells.cells(), cells.genes()));
        self.denoise_blocks(cells, |rows, values| {
            denoised.slice_mut(s![rows, ..]).assign(&values);
            Ok(())
        })?;
        Ok(denoised)
    }

    /// Hands [denoised expression](Self::denoise) over in blocks of cells `[cells of the block, genes]`,
    /// in their order, with the positions of the cells.
    ///
    /// ```
    /// use celldec::prelude::*;
    ///
    /// let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
    /// let cells = Preprocess::scdcc().fit(&counts)?;
    /// let fit = Plan::scdcc(3).with_epochs(1, 1).trainer(&Device::default())?.fit(&cells)?;
    /// let mut largest = 0f32;
    /// fit.model().denoise_blocks(&cells, |_rows, values| {
    ///     largest = values.iter().copied().fold(largest, f32::max);
    ///     Ok(())
    /// })?;
    /// assert!(largest > 0.0);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`denoise`](Self::denoise), and the first of `visit`.
    pub fn denoise_blocks(
        &self,
        cells: &Cells,
        mut visit: impl FnMut(Range<usize>, ArrayView2<'_, f32>) -> Result<()>,
    ) -> Result<()> {
        let part = self.decoder_for(cells)?;
        let batches = Batches::new(cells, &self.device);
        batches.for_each_block(1024, |block, batches| {
            let input = batches.network_input(block)?;
            let covariates = input.covariates.clone();
            let output = part.forward(self.network.encode(input), covariates.as_ref());
            let mut values = read_matrix(part.head.expectation(&output))?;
            if part.head.scales_with_size_factor() {
                for (mut row, &cell) in values.rows_mut().into_iter().zip(block) {
                    row *= cells.size_factors()[cell];
                }
            }
            check_finite("the denoised expression", &values)?;
            visit(block[0]..block[0] + block.len(), values.view())
        })
    }

    /// The decoder, for cells that fit the model.
    fn decoder_for(&self, cells: &Cells) -> Result<&Reconstruction<H>> {
        self.check(cells)?;
        self.network.reconstruction.as_ref().ok_or(Error::NoDecoder)
    }

    fn check(&self, cells: &Cells) -> Result<()> {
        if cells.genes() != self.architecture.encoder.genes {
            return Err(Error::LengthMismatch {
                what: "the list of genes of the cells given to a fitted model".into(),
                expected: self.architecture.encoder.genes,
                found: cells.genes(),
            });
        }
        let told = self.architecture.covariate_columns() > 0;
        if told && cells.covariate_design() != self.covariates.as_ref() {
            return Err(Error::Covariate {
                name: self
                    .covariates
                    .iter()
                    .flat_map(|design| design.names())
                    .collect::<Vec<_>>()
                    .join(", "),
                reason: "the model was fitted with it; give the cells theirs with \
                         `FittedModel::with_covariates`"
                    .into(),
            });
        }
        Ok(())
    }
}

/// Whether every parameter of a module outside automatic differentiation is finite.
///
/// # Errors
/// [`Error::Device`] when the device failed.
pub(crate) fn is_finite<M: Module>(module: &M) -> Result<bool> {
    struct Parameters(FiniteCheck);
    impl burn::module::ModuleVisitor for Parameters {
        fn visit_float<const D: usize>(&mut self, param: &Param<burn::tensor::Tensor<D>>) {
            self.0.add(&param.val());
        }
    }
    let mut visitor = Parameters(FiniteCheck::new());
    module.visit(&mut visitor);
    let passes = visitor.0.passes();
    passes.map_err(|reason| Error::Device { reason })
}
