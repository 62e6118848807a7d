//! Pictures and the report.

use std::path::Path;

use celldec::io::write_matrix_csv;
use celldec::markers::ClusterMarkers;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::view::plot::{Picture, Scatter, cluster_table, confidence_histogram, training_curves};
use celldec::view::projection::{Projection, pca};
use celldec::view::report::Report;
use ndarray::ArrayView2;

use crate::arguments::{Arguments, Output, PictureFormat, ProjectionMethod};
use crate::checks::outputs;
use crate::input::Input;

/// A known type of every cell, empty where it is not known, and the name of the types.
struct Types {
    name: String,
    labels: Vec<String>,
}

impl Types {
    fn of(input: &Input, cells: &Cells) -> Option<Self> {
        let labels = input.types_of(cells.kept_cells())?;
        Some(Self {
            name: input.types.as_ref()?.name.clone(),
            labels: labels.into_iter().map(Option::unwrap_or_default).collect(),
        })
    }
}

/// Draws a fit and writes its report; gives the names of the files.
pub fn of_fit<H: ReconstructionHead>(
    arguments: &Arguments,
    folder: &Path,
    input: &Input,
    cells: &Cells,
    fit: &Fit<H>,
    markers: &[ClusterMarkers],
) -> Result<Vec<String>> {
    let outputs = outputs(arguments);
    if !outputs.contains(&Output::Plots) && !outputs.contains(&Output::Report) {
        return Ok(Vec::new());
    }
    let types = Types::of(input, cells);
    let projections = project(arguments, fit.embedding())?;
    let mut drawer = Drawer::new(arguments, folder);
    if outputs.contains(&Output::Csv) {
        drawer.write_projections(cells, &projections)?;
    }
    if outputs.contains(&Output::Plots) {
        drawer.cells(&projections, fit.clusters(), types.as_ref())?;
        drawer.draw("training", training_curves(fit.history()))?;
    }
    if outputs.contains(&Output::Report) {
        let name = arguments.input.file_name().unwrap_or_default();
        let report = || {
            let report = Report::new(fit, cells)
                .with_title(format!("Clusters of {}", name.to_string_lossy()))
                .with_markers(markers);
            projections.iter().fold(report, Report::with_projection)
        };
        let path = folder.join("report.html");
        let saved = match &types {
            Some(types) => report()
                .with_annotation(&types.name, &types.labels)
                .save(&path),
            None => report().save(&path),
        };
        match saved {
            Err(Error::Picture { reason }) if types.is_some() => {
                eprintln!("note: the report leaves out the known types: {reason}");
                report().save(&path)?;
            }
            other => other?,
        }
        drawer.files.push("report.html".to_string());
    }
    Ok(drawer.files)
}

/// Draws new cells in the clusters of a model; gives the names of the files.
pub fn of_new_cells(
    arguments: &Arguments,
    input: &Input,
    cells: &Cells,
    clusters: &Assignment,
    embedding: ArrayView2<'_, f32>,
) -> Result<Vec<String>> {
    let outputs = outputs(arguments);
    if !outputs.contains(&Output::Plots) {
        return Ok(Vec::new());
    }
    let types = Types::of(input, cells);
    let projections = project(arguments, embedding)?;
    let mut drawer = Drawer::new(arguments, &arguments.output);
    if outputs.contains(&Output::Csv) {
        drawer.write_projections(cells, &projections)?;
    }
    drawer.cells(&projections, clusters, types.as_ref())?;
    Ok(drawer.files)
}

/// How to draw cells: the list asked for, or the best of this build.
fn projections(arguments: &Arguments) -> Vec<ProjectionMethod> {
    if !arguments.projection.is_empty() {
        return arguments.projection.clone();
    }
    vec![if cfg!(feature = "umap") {
        ProjectionMethod::Umap
    } else if cfg!(feature = "tsne") {
        ProjectionMethod::Tsne
    } else {
        ProjectionMethod::Pca
    }]
}

/// The embedding in two dimensions, in every way asked for; principal components where another way
/// fails.
fn project(arguments: &Arguments, embedding: ArrayView2<'_, f32>) -> Result<Vec<Projection>> {
    let mut drawn = Vec::new();
    for method in projections(arguments) {
        let projection = match method {
            ProjectionMethod::Pca => pca(embedding),
            ProjectionMethod::Tsne => tsne(embedding),
            ProjectionMethod::Umap => umap(embedding, arguments.seed),
        };
        drawn.push(match projection {
            Err(error @ (Error::Projection { .. } | Error::Parameter(_))) => {
                eprintln!("note: {error}; drawing principal components");
                pca(embedding)?
            }
            other => other?,
        });
    }
    Ok(drawn)
}

#[cfg(feature = "tsne")]
fn tsne(embedding: ArrayView2<'_, f32>) -> Result<Projection> {
    celldec::view::projection::TsneConfig::new().project(embedding)
}

#[cfg(not(feature = "tsne"))]
fn tsne(embedding: ArrayView2<'_, f32>) -> Result<Projection> {
    pca(embedding)
}

#[cfg(feature = "umap")]
fn umap(embedding: ArrayView2<'_, f32>, seed: u64) -> Result<Projection> {
    let settings = celldec::view::projection::UmapConfig::new();
    settings.with_seed(seed).project(embedding)
}

#[cfg(not(feature = "umap"))]
fn umap(embedding: ArrayView2<'_, f32>, _seed: u64) -> Result<Projection> {
    pca(embedding)
}

/// Saves pictures into a folder.
struct Drawer<'a> {
    folder: &'a Path,
    extension: &'static str,
    files: Vec<String>,
}

impl<'a> Drawer<'a> {
    fn new(arguments: &Arguments, folder: &'a Path) -> Self {
        Self {
            folder,
            extension: match arguments.pictures {
                PictureFormat::Png => "png",
                PictureFormat::Svg => "svg",
            },
            files: Vec::new(),
        }
    }

    /// A picture that cannot be drawn, such as one of a thousand types, is no reason to lose the
    /// others.
    fn draw(&mut self, name: &str, picture: Result<Picture>) -> Result<()> {
        match picture {
            Ok(picture) => {
                let file = format!("{name}.{}", self.extension);
                picture.save(self.folder.join(&file))?;
                self.files.push(file);
                Ok(())
            }
            Err(Error::Picture { reason }) => {
                eprintln!("note: {name} is not drawn: {reason}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn cells(
        &mut self,
        projections: &[Projection],
        clusters: &Assignment,
        types: Option<&Types>,
    ) -> Result<()> {
        for projection in projections {
            let name = file_name(projection);
            let scatter = Scatter::new(projection);
            self.draw(&format!("{name}_clusters"), scatter.by_cluster(clusters))?;
            self.draw(
                &format!("{name}_confidence"),
                scatter.by_confidence(clusters),
            )?;
            if let Some(types) = types {
                let scatter = scatter.with_title(&types.name);
                self.draw(&format!("{name}_labels"), scatter.by_label(&types.labels))?;
            }
        }
        if let Some(types) = types {
            let table = cluster_table(clusters.labels(), &types.labels);
            self.draw("clusters_and_labels", table)?;
        }
        self.draw("confidence", confidence_histogram(clusters))
    }

    fn write_projections(&mut self, cells: &Cells, projections: &[Projection]) -> Result<()> {
        for projection in projections {
            let name = file_name(projection);
            let file = format!("{name}.csv");
            write_matrix_csv(
                self.folder.join(&file),
                cells.cell_names(),
                &[format!("{name}_1"), format!("{name}_2")],
                projection.coordinates(),
            )?;
            self.files.push(file);
        }
        Ok(())
    }
}

/// "t-SNE" gives "tsne".
fn file_name(projection: &Projection) -> String {
    projection
        .method()
        .chars()
        .filter(|character| character.is_alphanumeric())
        .collect::<String>()
        .to_lowercase()
}
