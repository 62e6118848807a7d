//! Pictures.

use std::path::Path;

use celldec::io::write_matrix_csv;
use celldec::prelude::*;
use celldec::view::plot::{Picture, Scatter, cluster_table, confidence_histogram};
use celldec::view::projection::{Projection, pca};
use ndarray::ArrayView2;

use super::{Output, OutputArguments, PictureFormat, ProjectionMethod};
use crate::console::Console;
use crate::exit;
use crate::input::Input;

/// A known type of every cell, empty where it is not known, and the name of the types.
pub struct Types {
    pub name: String,
    pub labels: Vec<String>,
}

impl Types {
    pub fn of(input: &Input, cells: &Cells) -> Option<Self> {
        let labels = input.types_of(cells.kept_cells())?;
        Some(Self {
            name: input.types.as_ref()?.name.clone(),
            labels: labels.into_iter().map(Option::unwrap_or_default).collect(),
        })
    }
}

/// How to draw cells: the list asked for, or the best of this build.
fn methods(options: &OutputArguments) -> Vec<ProjectionMethod> {
    if !options.projection.is_empty() {
        return options.projection.clone();
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
pub fn project(
    console: &Console,
    options: &OutputArguments,
    embedding: ArrayView2<'_, f32>,
    seed: u64,
) -> Result<Vec<Projection>> {
    let mut drawn = Vec::new();
    for method in methods(options) {
        let projection = match method {
            ProjectionMethod::Pca => pca(embedding),
            ProjectionMethod::Tsne => tsne(embedding),
            ProjectionMethod::Umap => umap(embedding, seed),
        };
        drawn.push(match projection {
            Err(error @ (Error::Projection { .. } | Error::Parameter(_))) => {
                let problem = exit::message(&error);
                console.warn(format_args!(
                    "note: {problem}; drawing principal components"
                ));
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
pub struct Drawer<'a> {
    console: &'a Console,
    options: &'a OutputArguments,
    folder: &'a Path,
    /// The names of the files.
    pub files: Vec<String>,
}

impl<'a> Drawer<'a> {
    pub fn new(console: &'a Console, options: &'a OutputArguments, folder: &'a Path) -> Self {
        Self {
            console,
            options,
            folder,
            files: Vec::new(),
        }
    }

    /// Draws the cells of `projections`, and writes their coordinates where tables are wanted.
    pub fn clustering(
        &mut self,
        cells: &Cells,
        projections: &[Projection],
        clusters: &Assignment,
        types: Option<&Types>,
    ) -> Result<()> {
        if self.options.wants(Output::Csv) {
            self.write_projections(cells, projections)?;
        }
        if self.options.wants(Output::Plots) {
            self.cells(projections, clusters, types)?;
        }
        Ok(())
    }

    /// A picture that cannot be drawn, such as one of a thousand types, is no reason to lose the
    /// others.
    pub fn draw(&mut self, name: &str, picture: Result<Picture>) -> Result<()> {
        match picture {
            Ok(picture) => {
                let extension = match self.options.pictures {
                    PictureFormat::Png => "png",
                    PictureFormat::Svg => "svg",
                };
                let file = format!("{name}.{extension}");
                picture.save(self.folder.join(&file))?;
                self.files.push(file);
                Ok(())
            }
            Err(Error::Picture { reason }) => {
                self.console
                    .warn(format_args!("note: {name} is not drawn: {reason}"));
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
