//! Saved models.

use std::path::Path;

use celldec::model::{DescModel, ModelInfo, ScdccModel};
use celldec::prelude::{Device, Plan, Preprocess};

use super::mtx::folder_choice;
use super::table::only_file;
use super::training::{cells, counts, covariates, plan};
use super::{MOST, Target, fixture, outcome};
use crate::input::Input;
use crate::random::Random;
use crate::tensor_file;

/// A file of weights with a description.
pub struct Model;

impl Target for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    fn seeds(&self) -> Vec<Input> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model");
        let device = Device::default();
        let mut seeds = Vec::new();
        let mut saved = || {
            let data = std::fs::read(&path).expect("a model");
            seeds.push(Input::file("model.safetensors", data));
        };
        let fit = |cells: &_| {
            let trainer = plan().trainer(&device).expect("sound settings");
            trainer.fit(cells).expect("a fit")
        };
        let plain = cells();
        fit(&plain).model().save(&path).expect("room");
        saved();
        let covariates = covariates(plain.cells());
        let told = plain.with_covariates(&covariates).expect("covariates");
        fit(&told).model().save(&path).expect("room");
        saved();
        let cells = Preprocess::desc().fit(&counts()).expect("sound counts");
        let plan = Plan::desc()
            .with_widths([4, 2])
            .with_epochs(1, 1)
            .with_layerwise(None);
        let trainer = plan
            .with_resolutions([2.0])
            .trainer(&device)
            .expect("sound settings");
        if let Ok(fit) = trainer.fit(&cells) {
            fit.model().save(&path).expect("room");
            saved();
        }
        seeds.push(Input::file(
            "model.safetensors",
            fixture!("models/desc.safetensors"),
        ));
        seeds
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        let donor = other.files.first().map_or(&[][..], |(_, data)| data);
        for (_, data) in &mut input.files {
            for _ in 0..times {
                tensor_file::change(random, data, donor, MOST);
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        let path = only_file(folder);
        let device = Device::default();
        let info = ModelInfo::read(&path);
        let desc = info.as_ref().is_ok_and(|info| info.method == "desc");
        if desc || folder_choice(folder).is_multiple_of(16) {
            let model = DescModel::load(&path, &device);
            if let Ok(model) = &model {
                let assigned = model
                    .prepare(&counts())
                    .and_then(|cells| model.assign(&cells));
                return outcome(assigned);
            }
            return outcome(model);
        }
        let model = ScdccModel::load(&path, &device);
        let Ok(model) = &model else {
            return outcome(model);
        };
        assert!(info.is_ok(), "a model without an origin");
        let cells = model
            .prepare(&counts())
            .and_then(|cells| match model.covariate_design() {
                Some(_) => {
                    let covariates = covariates(counts().cells()).select(cells.kept_cells());
                    model.with_covariates(cells, &covariates)
                }
                None => Ok(cells),
            });
        let assigned = cells.and_then(|cells| {
            model.denoise(&cells)?;
            model.assign(&cells)
        });
        if let Ok(assigned) = &assigned {
            assert_eq!(assigned.sizes().len(), model.clusters());
            assert!(assigned.confidence().iter().all(|q| q.is_finite()));
            let copy = folder.join("copy");
            model.save(&copy).expect("room");
            let again = ScdccModel::load(&copy, &device).expect("what was just saved");
            assert_eq!(again.info(), model.info(), "saved and loaded again");
        }
        outcome(assigned)
    }
}
