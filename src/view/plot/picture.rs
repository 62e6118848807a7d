//! A finished picture and its files.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::backend::raster::RasterBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Primitive, Scene};

use super::canvas::Canvas;
use crate::error::{Error, Result};
use crate::io::atomic::write_atomically;

/// Pixels of a PNG file for each unit of the picture.
const SCALE: f32 = 2.0;
/// Above this number of points an SVG holds them as one image: browsers become slow, files large.
const MOST_VECTOR_POINTS: usize = 5000;
/// Pixels of that image for each unit of the picture.
const POINT_SCALE: f32 = 4.0;
/// The most units that a picture may be wide or high.
const LARGEST: f64 = 5000.0;
/// Where the image of the points belongs; the library does not draw images.
const PLACE: &str = r#"id="points""#;
const FONTS: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// A picture, ready to be saved.
///
/// ```
/// use celldec::view::plot::Scatter;
/// use celldec::view::projection::Projection;
/// use ndarray::array;
///
/// let projection = Projection::new("PCA", array![[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]])?;
/// let picture = Scatter::new(&projection).by_label(&["B cell", "T cell", "T cell"])?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("cells.png");
/// picture.save(&path)?; // or .svg
/// assert!(std::fs::read(&path).unwrap().starts_with(b"\x89PNG"));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug)]
pub struct Picture {
    width: f64,
    height: f64,
    /// Beneath the points.
    below: Vec<Primitive>,
    points: Option<Points>,
    /// Over the points.
    above: Vec<Primitive>,
}

/// Points in their own coordinates, from the top left corner of their area.
#[derive(Debug)]
pub(super) struct Points {
    pub corner: (f64, f64),
    pub size: (f64, f64),
    /// How many there are.
    pub count: usize,
    pub batches: Vec<Primitive>,
}

impl Picture {
    /// A picture without points.
    pub(super) fn new(width: f64, height: f64, canvas: Canvas) -> Result<Self> {
        Self::with_points(width, height, canvas, None, Canvas::default())
    }

    pub(super) fn with_points(
        width: f64,
        height: f64,
        below: Canvas,
        points: Option<Points>,
        above: Canvas,
    ) -> Result<Self> {
        if width > LARGEST || height > LARGEST {
            return Err(Error::Picture {
                reason: format!(
                    "it would be {width:.0} × {height:.0} units large, at most {LARGEST} are \
                     possible; show fewer groups"
                ),
            });
        }
        Ok(Self {
            width: width.ceil(),
            height: height.ceil(),
            below: below.elements,
            points,
            above: above.elements,
        })
    }

    /// Width and height in units; a PNG has two pixels for each.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Saves the picture as PNG or SVG, by the extension of the path; the file appears only when
    /// it is complete.
    ///
    /// # Errors
    /// [`Error::Picture`] for another extension or when drawing fails, [`Error::Io`] when the file
    /// cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path
            .extension()
            .map(|extension| extension.to_ascii_lowercase());
        let bytes = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("png") => self.to_png()?,
            Some("svg") => self.to_svg()?.into_bytes(),
            _ => {
                return Err(Error::Picture {
                    reason: format!(
                        "the extension of {} names no format; use .png or .svg",
                        path.display()
                    ),
                });
            }
        };
        write_atomically(path, |out| out.write_all(&bytes))
    }

    /// The picture as a PNG file, two pixels for each unit.
    ///
    /// # Errors
    /// [`Error::Picture`] when drawing fails.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut scene = self.scene();
        scene.elements.extend(self.below.iter().cloned());
        if let Some(points) = &self.points {
            scene.elements.push(group(Some(points.corner), None));
            scene.elements.extend(points.batches.iter().cloned());
            scene.elements.push(Primitive::GroupEnd);
        }
        scene.elements.extend(self.above.iter().cloned());
        raster(&scene, SCALE)
    }

    /// The picture as an SVG document. It needs no other file; more than 5000 points are one image
    /// within it.
    ///
    /// # Errors
    /// [`Error::Picture`] when drawing fails.
    pub fn to_svg(&self) -> Result<String> {
        let mut scene = self.scene();
        scene.font_family = Some(FONTS.into());
        scene.elements.extend(self.below.iter().cloned());
        let mut image = None;
        if let Some(points) = &self.points {
            if points.count > MOST_VECTOR_POINTS {
                scene.elements.push(group(None, Some(PLACE)));
                image = Some(points.image()?);
            } else {
                scene.elements.push(group(Some(points.corner), None));
                scene.elements.extend(points.batches.iter().cloned());
            }
            scene.elements.push(Primitive::GroupEnd);
        }
        scene.elements.extend(self.above.iter().cloned());
        let mut svg = SvgBackend::new().render_scene(&scene);
        // A view box lets the picture grow and shrink with the page that shows it.
        let size = format!(r#"width="{0}" height="{1}""#, self.width, self.height);
        let sized = format!(r#"{size} viewBox="0 0 {} {}""#, self.width, self.height);
        put(&mut svg, &size, &sized)?;
        if let Some(image) = image {
            let place = format!("<g {PLACE}>");
            put(&mut svg, &place, &format!("{place}{image}"))?;
        }
        Ok(svg)
    }

    fn scene(&self) -> Scene {
        Scene::new(self.width, self.height)
    }
}

impl Points {
    /// An SVG image element with all points.
    fn image(&self) -> Result<String> {
        let mut scene = Scene::new(self.size.0, self.size.1);
        scene.elements.extend(self.batches.iter().cloned());
        let ((x, y), (width, height)) = (self.corner, self.size);
        Ok(format!(
            r#"<image x="{x}" y="{y}" width="{width}" height="{height}" href="{}" />"#,
            data_uri("image/png", &raster(&scene, POINT_SCALE)?)
        ))
    }
}

/// A file's content as an address.
pub(in crate::view) fn data_uri(kind: &str, content: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(content))
}

fn raster(scene: &Scene, scale: f32) -> Result<Vec<u8>> {
    RasterBackend::new()
        .with_scale(scale)
        .render_scene(scene)
        .map_err(|reason| Error::Picture { reason })
}

fn group(corner: Option<(f64, f64)>, attributes: Option<&str>) -> Primitive {
    Primitive::GroupStart {
        transform: corner.map(|(x, y)| format!("translate({x},{y})")),
        title: None,
        extra_attrs: attributes.map(str::to_owned),
    }
}

/// Replaces the first occurrence of a part of a document.
fn put(document: &mut String, part: &str, replacement: &str) -> Result<()> {
    let Some(start) = document.find(part) else {
        return Err(Error::Picture {
            reason: format!("the drawing library did not write {part}; use PNG"),
        });
    };
    document.replace_range(start..start + part.len(), replacement);
    Ok(())
}
