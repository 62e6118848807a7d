//! Results of a fit in the plain pieces that file formats take.

use ndarray::Array2;
use serde_json::{Map, Value, json};

use super::assignment::Assignment;
use super::evaluate::Evaluation;
use super::fitted::FittedModel;
use super::history::{EpochRecord, loss_names};
use super::results::{Fit, StopReason};
use crate::error::{Error, Result};
use crate::io::CellResults;
use crate::nn::ReconstructionHead;
use crate::preprocess::Cells;

impl<H: ReconstructionHead> Fit<H> {
    /// Labels, confidence, embedding, soft assignments and the run's settings and history, for
    /// [`H5adResults`](crate::io::H5adResults). `cells` are the training cells; they say which cells
    /// of the file were kept.
    ///
    /// Denoised expression is large and left out; add it with
    /// [`CellResults::with_denoised`].
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when `cells` are not as many as the fit's.
    pub fn results(&self, cells: &Cells) -> Result<CellResults> {
        let clusters = self.clusters();
        let results = pieces(
            "the list of cells given to `Fit::results`",
            cells,
            clusters,
            self.embedding().to_owned(),
        )?;
        Ok(results.with_details(self.details()))
    }

    fn details(&self) -> Value {
        let info = self.model().info();
        let status = self.status();
        let (stop_reason, changed) = match status.stop_reason {
            StopReason::LabelsStable { changed } => ("labels stable", Some(changed)),
            StopReason::MaximumEpochs { changed } => ("maximum epochs", Some(changed)),
            StopReason::Diverged => ("diverged", None),
            StopReason::Interrupted => ("interrupted", None),
            StopReason::Finished => ("finished", None),
        };
        json!({
            "method": info.method,
            "seed": info.seed,
            "celldec_version": info.version,
            "settings": info.settings,
            "converged": status.converged,
            "stop_reason": stop_reason,
            "changed": changed,
            "pretraining_epochs": status.pretraining_epochs,
            "self_training_epochs": status.self_training_epochs,
            "cluster_sizes": status.cluster_sizes,
            "empty_clusters": status.empty_clusters,
            "warnings": status.warnings,
            "history": history(self.history()),
        })
    }
}

impl<H: ReconstructionHead> FittedModel<H> {
    /// What the model says about new cells, for [`H5adResults`](crate::io::H5adResults): labels,
    /// confidence, embedding, soft assignments, and where the model comes from. `cells` come from
    /// [`prepare`](FittedModel::prepare), `evaluation` from [`evaluate`](FittedModel::evaluate).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the evaluation is of another number of cells.
    ///
    /// ```
    /// use celldec::io::{H5adOptions, H5adResults, read_counts};
    /// use celldec::prelude::*;
    /// # use celldec::io::{AnnotatedCounts, write_h5ad};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("new.h5ad");
    /// # let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
    /// # write_h5ad(&path, &AnnotatedCounts::new(counts.clone()))?;
    /// # let cells = Preprocess::scdcc().fit(&counts)?;
    /// # let plan = Plan::scdcc(3).with_epochs(1, 1);
    /// # let model = plan.trainer(&Device::default())?.fit(&cells)?.into_model();
    ///
    /// let cells = model.prepare(&read_counts(&path)?)?;
    /// let evaluation = model.evaluate(&cells)?;
    /// H5adResults::new()
    ///     .with("scdcc", model.results(&cells, &evaluation)?)
    ///     .write(&path, &path)?;
    /// assert!(H5adOptions::new().read(&path)?.cell_annotations.get("scdcc").is_some());
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn results(&self, cells: &Cells, evaluation: &Evaluation) -> Result<CellResults> {
        let clusters = Assignment::from_soft(evaluation.soft_assignments.clone())?;
        let results = pieces(
            "the list of cells given to `FittedModel::results`",
            cells,
            &clusters,
            evaluation.embedding.clone(),
        )?;
        let (info, report) = (self.info(), cells.report());
        Ok(results.with_details(json!({
            "method": info.method,
            "seed": info.seed,
            "celldec_version": info.version,
            "settings": info.settings,
            "assigned_by_model": true,
            "missing_genes": report.missing_genes,
            "cluster_sizes": clusters.sizes(),
        })))
    }
}

/// What is known of every cell.
fn pieces(
    what: &str,
    cells: &Cells,
    clusters: &Assignment,
    embedding: Array2<f32>,
) -> Result<CellResults> {
    if cells.cells() != clusters.labels().len() {
        return Err(Error::LengthMismatch {
            what: what.into(),
            expected: clusters.labels().len(),
            found: cells.cells(),
        });
    }
    Ok(CellResults::new(clusters.labels().to_vec())
        .with_kept_cells(cells.kept_cells().to_vec())
        .with_cell_names(cells.cell_names().to_vec())
        .with_confidence(clusters.confidence())
        .with_embedding(embedding)
        .with_soft_assignments(clusters.soft().to_owned()))
}

/// One list for every quantity, with a value for every epoch.
fn history(records: &[EpochRecord]) -> Value {
    let list =
        |value: &dyn Fn(&EpochRecord) -> Value| Value::Array(records.iter().map(value).collect());
    let mut columns = Map::new();
    columns.insert(
        "phase".into(),
        list(&|record| record.phase.to_string().into()),
    );
    columns.insert("epoch".into(), list(&|record| record.epoch.into()));
    columns.insert("loss".into(), list(&|record| record.total_loss().into()));
    for term in loss_names(records) {
        let name = format!("loss_{}", term.replace('/', "_"));
        if !columns.contains_key(&name) {
            columns.insert(name, list(&|record| record.loss(&term).into()));
        }
    }
    columns.insert("changed".into(), list(&|record| record.changed.into()));
    columns.insert("seconds".into(), list(&|record| record.seconds.into()));
    Value::Object(columns)
}
