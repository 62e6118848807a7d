//! Projections, pictures and the report, through the public interface.
#![cfg(any(feature = "plot", feature = "tsne", feature = "umap"))]

use ndarray::Array2;

/// Three groups of points, far from each other.
fn groups(cells: usize) -> (Array2<f32>, Vec<usize>) {
    use rand::RngExt;
    let mut random = celldec::random::stream(5, celldec::random::Purpose::Simulation, 0, 0);
    let labels: Vec<usize> = (0..cells).map(|cell| cell % 3).collect();
    let embedding = Array2::from_shape_fn((cells, 5), |(cell, dimension)| {
        let centre = if dimension == labels[cell] { 8.0 } else { 0.0 };
        centre + random.random::<f32>() + random.random::<f32>()
    });
    (embedding, labels)
}

#[cfg(any(feature = "tsne", feature = "umap"))]
mod projections {
    use super::groups;
    use celldec::Error;
    use celldec::graph::nearest_neighbors;
    use celldec::view::projection::Projection;
    use ndarray::{Array2, ArrayView2};

    type Project = fn(ArrayView2<'_, f32>) -> celldec::Result<Projection>;

    fn methods() -> Vec<(&'static str, Project)> {
        vec![
            #[cfg(feature = "tsne")]
            ("t-SNE", |embedding| {
                let settings = celldec::view::projection::TsneConfig::new();
                settings.with_epochs(300).project(embedding)
            }),
            #[cfg(feature = "umap")]
            ("UMAP", |embedding| {
                let settings = celldec::view::projection::UmapConfig::new();
                settings.with_epochs(150).with_seed(3).project(embedding)
            }),
        ]
    }

    fn with_threads(threads: usize, project: Project, embedding: &Array2<f32>) -> Projection {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| project(embedding.view()).unwrap())
    }

    #[test]
    fn groups_stay_together() {
        let (embedding, labels) = groups(240);
        for (name, project) in methods() {
            let projection = project(embedding.view()).unwrap();
            assert_eq!(projection.method(), name);
            let found = nearest_neighbors(projection.coordinates(), 5).unwrap();
            let pairs = found.indices.rows().into_iter().enumerate();
            let kept: usize = pairs
                .map(|(cell, row)| {
                    let same = |&&other: &&u32| labels[other as usize] == labels[cell];
                    row.iter().filter(same).count()
                })
                .sum();
            assert_eq!(kept, 240 * 5, "{name}");
        }
    }

    #[test]
    fn threads_and_repetition_do_not_change_a_bit() {
        let (embedding, _) = groups(1500);
        for (name, project) in methods() {
            let first = with_threads(1, project, &embedding);
            for threads in [1, 3, 4] {
                let again = with_threads(threads, project, &embedding);
                assert!(first == again, "{name} with {threads} threads");
            }
        }
    }

    /// Above 5000 cells t-SNE takes another path.
    #[test]
    fn many_cells_are_projected_by_any_number_of_threads() {
        let (embedding, labels) = groups(5100);
        for (name, project) in methods() {
            let first = with_threads(1, project, &embedding);
            assert!(first == with_threads(3, project, &embedding), "{name}");
            let found = nearest_neighbors(first.coordinates(), 1).unwrap();
            let nearest = found.indices.column(0).into_iter().enumerate();
            let kept = nearest.filter(|&(cell, &other)| labels[cell] == labels[other as usize]);
            assert_eq!(kept.count(), 5100, "{name}");
        }
    }

    #[test]
    fn few_and_equal_cells_are_projected() {
        for (name, project) in methods() {
            for cells in [4, 5, 17] {
                let (embedding, _) = groups(cells);
                let found = project(embedding.view());
                assert_eq!(found.unwrap().cells(), cells, "{name}");
            }
            let same = Array2::from_elem((40, 3), 1.5);
            let found = project(same.view());
            assert_eq!(found.unwrap().cells(), 40, "{name}");
            let two = Array2::from_shape_fn((80, 3), |(cell, _)| (cell % 2) as f32);
            let found = project(two.view());
            assert_eq!(found.unwrap().cells(), 80, "{name}");
            let outlier = Array2::from_shape_fn((80, 3), |(cell, d)| {
                if cell == 7 {
                    1e6
                } else {
                    ((cell * 5 + d) % 11) as f32
                }
            });
            let found = project(outlier.view());
            assert_eq!(found.unwrap().cells(), 80, "{name}");
        }
    }

    #[test]
    fn unusable_input_is_refused() {
        for (name, project) in methods() {
            let few = project(Array2::zeros((3, 2)).view());
            assert!(matches!(few, Err(Error::Parameter(_))), "{name}");
            let mut embedding = Array2::zeros((9, 2));
            embedding[[4, 1]] = f32::NAN;
            let nan = project(embedding.view());
            assert!(
                matches!(nan, Err(Error::NonFiniteValue { row: 4, .. })),
                "{name}"
            );
            let empty = project(Array2::zeros((9, 0)).view());
            assert!(matches!(empty, Err(Error::EmptyInput { .. })), "{name}");
        }
    }

    #[test]
    #[cfg(feature = "umap")]
    fn seeds_differ() {
        let (embedding, _) = groups(60);
        let settings = celldec::view::projection::UmapConfig::new().with_epochs(20);
        let run = |seed| settings.clone().with_seed(seed).project(embedding.view());
        assert_ne!(run(1).unwrap(), run(2).unwrap());
        assert_eq!(run(2).unwrap(), run(2).unwrap());
    }
}

#[cfg(feature = "plot")]
mod pictures {
    use super::groups;
    use celldec::Error;
    use celldec::model::Assignment;
    use celldec::view::plot::{Scatter, cluster_table, confidence_histogram};
    use celldec::view::projection::{Projection, pca};
    use ndarray::Array2;

    fn projection(cells: usize) -> (Projection, Vec<usize>) {
        let (embedding, labels) = groups(cells);
        (pca(embedding.view()).unwrap(), labels)
    }

    fn occurrences(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    /// Width and height of a PNG file, from its header.
    fn png_size(png: &[u8]) -> (u32, u32) {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        (number(16), number(20))
    }

    /// Every start tag of an SVG has its end.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            match tag {
                tag if tag.starts_with('!') || tag.ends_with('/') => {}
                tag if tag.starts_with('/') => assert_eq!(open.pop(), Some(name)),
                _ => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn few_points_are_vectors_and_many_one_image() {
        let (few, labels) = projection(300);
        let names: Vec<String> = labels.iter().map(|label| format!("type {label}")).collect();
        let svg = Scatter::new(&few)
            .by_label(&names)
            .unwrap()
            .to_svg()
            .unwrap();
        assert_well_formed(&svg);
        // The points and three of the legend.
        assert_eq!(occurrences(&svg, "<circle"), 303);
        assert_eq!(occurrences(&svg, "type 1 (100)"), 1);

        let (many, labels) = projection(6000);
        let names: Vec<String> = labels.iter().map(usize::to_string).collect();
        let picture = Scatter::new(&many).by_label(&names).unwrap();
        let svg = picture.to_svg().unwrap();
        assert_well_formed(&svg);
        assert_eq!(occurrences(&svg, "<circle"), 3);
        assert_eq!(occurrences(&svg, "<image"), 1);
        let (width, height) = picture.size();
        let expected = (2 * width as u32, 2 * height as u32);
        assert_eq!(png_size(&picture.to_png().unwrap()), expected);
    }

    /// Positions of the circles of a colour, those of the legend included.
    fn circles(svg: &str) -> Vec<(f64, f64)> {
        let number = |tag: &str, name: &str| -> f64 {
            let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap();
            value.split('"').next().unwrap().parse().unwrap()
        };
        let tags = svg.split("<circle").skip(1);
        tags.map(|tag| (number(tag, "cx"), number(tag, "cy")))
            .collect()
    }

    #[test]
    fn axes_have_one_scale_and_the_legend_stands_apart() {
        // Corners of a rectangle that is twice as wide as high.
        let corners = ndarray::array![[0.0, 0.0], [8.0, 0.0], [0.0, 4.0], [8.0, 4.0]];
        let projection = Projection::new("x", corners).unwrap();
        let scatter = Scatter::new(&projection);
        let svg = scatter.by_label(&["a"; 4]).unwrap().to_svg().unwrap();
        let places = circles(&svg);
        assert_eq!(places.len(), 5);
        let (points, legend) = places.split_at(4);
        let extent = |of: fn(&(f64, f64)) -> f64| {
            let values = || points.iter().map(of);
            values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)
        };
        let (width, height) = (extent(|p| p.0), extent(|p| p.1));
        assert!((width / height - 2.0).abs() < 1e-3, "{width} × {height}");
        // Points count from the corner of their area, the legend from that of the picture.
        let rightmost = points.iter().map(|p| p.0).fold(f64::MIN, f64::max);
        assert!(legend[0].0 > rightmost + 50.0);
    }

    #[test]
    fn names_are_text_whatever_they_hold() {
        let (projection, _) = projection(3);
        let names = ["<b>&\"'", "$x^2$ $y$", "\u{7}"];
        let picture = Scatter::new(&projection).by_label(&names).unwrap();
        let svg = picture.to_svg().unwrap();
        assert_well_formed(&svg);
        assert!(svg.contains("&lt;b&gt;&amp;") && svg.contains("$x^2$ $y$ (1)"));
        assert!(!svg.contains("<b>") && !svg.contains('\u{7}'));
        picture.to_png().unwrap();
    }

    #[test]
    fn cells_of_another_projection_are_refused() {
        let (projection, _) = projection(30);
        let scatter = Scatter::new(&projection);
        let few = scatter.by_label(&["a"; 29]);
        assert!(matches!(
            few,
            Err(Error::LengthMismatch {
                expected: 30,
                found: 29,
                ..
            })
        ));
        let nan = scatter.by_value("v", &[f64::NAN; 30]);
        assert!(matches!(nan, Err(Error::NonFiniteValue { row: 0, .. })));
        let clusters = Assignment::from_soft(Array2::zeros((31, 2))).unwrap();
        let more = scatter.by_confidence(&clusters);
        assert!(matches!(more, Err(Error::LengthMismatch { found: 31, .. })));
        let table = cluster_table(&[0, 1], &["a"]);
        assert!(matches!(table, Err(Error::LengthMismatch { .. })));
        let empty = Assignment::from_soft(Array2::zeros((0, 2))).unwrap();
        assert!(matches!(
            confidence_histogram(&empty),
            Err(Error::EmptyInput { .. })
        ));
    }

    #[test]
    fn pictures_are_saved_by_their_extension() {
        let (projection, _) = projection(30);
        let picture = Scatter::new(&projection).by_value("v", &[1.0; 30]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        picture.save(path("a.PNG")).unwrap();
        picture.save(path("b.svg")).unwrap();
        png_size(&std::fs::read(path("a.PNG")).unwrap());
        assert!(
            std::fs::read_to_string(path("b.svg"))
                .unwrap()
                .starts_with("<svg")
        );
        for name in ["c.pdf", "d"] {
            let error = picture.save(path(name)).unwrap_err();
            assert!(error.to_string().contains(".png or .svg"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn tables_too_large_to_draw_are_refused() {
        let cells: Vec<usize> = (0..300).collect();
        let names: Vec<String> = cells.iter().map(usize::to_string).collect();
        let error = cluster_table(&cells, &names).unwrap_err();
        assert!(matches!(error, Error::Picture { .. }), "{error}");
    }
}

#[cfg(feature = "plot")]
mod reports {
    use celldec::Error;
    use celldec::nn::CountHead;
    use celldec::prelude::*;
    use celldec::view::projection::pca;
    use celldec::view::report::Report;

    fn fitted() -> (Cells, Fit<CountHead>, Vec<String>) {
        let simulation = SimulationConfig::new(150, 80)
            .with_groups(3)
            .with_differential_expression(0.3, 0.8, 0.4)
            .with_seed(1)
            .simulate()
            .unwrap();
        let cells = Preprocess::scdcc().fit(&simulation.counts).unwrap();
        let fit = Plan::scdcc(3)
            .with_widths([32, 8])
            .with_epochs(4, 3)
            .with_seed(11)
            .trainer(&Device::default())
            .unwrap()
            .fit(&cells)
            .unwrap();
        let groups = cells.kept_cells().iter();
        let groups = groups.map(|&cell| format!("<i>type {}", simulation.groups[cell]));
        let groups = groups.collect();
        (cells, fit, groups)
    }

    #[test]
    fn a_report_stands_alone_and_tells_everything() {
        let (cells, fit, groups) = fitted();
        let report = Report::new(&fit, &cells)
            .with_title("<Three> groups")
            .with_annotation("known & \"type\"", &groups);
        let html = report.to_html().unwrap();
        for part in [
            "<title>&lt;Three&gt; groups</title>",
            "seed 11",
            "known &amp; &quot;type&quot;",
            "&lt;i&gt;type 1",
            "adjusted Rand index",
            "<h2>Marker genes</h2>",
            "Cluster 2 (",
            "150",
            "Preprocessing",
        ] {
            assert!(html.contains(part), "{part}");
        }
        // Nothing of the input became markup, nothing is loaded, nothing runs.
        assert!(!html.contains("<i>") && !html.contains("<Three>"));
        assert!(!html.contains("<script") && !html.contains("<link"));
        let sources = html.matches("src=\"").count();
        assert_eq!(
            sources,
            html.matches("src=\"data:image/svg+xml;base64,").count()
        );
        assert_eq!(sources, 6);
        for address in ["http://", "https://", "url("] {
            assert!(!html.contains(address), "{address}");
        }
        assert_eq!(html, report.to_html().unwrap());

        let plain = Report::new(&fit, &cells).to_html().unwrap();
        assert!(!plain.contains("Rand index"));
    }

    #[test]
    fn unknown_labels_do_not_count() {
        let (cells, fit, mut groups) = fitted();
        groups[..100].fill(String::new());
        let report = Report::new(&fit, &cells).with_annotation("type", &groups);
        assert!(
            report
                .to_html()
                .unwrap()
                .contains("50 of 150 cells have one of 3 labels")
        );
        groups.fill(String::new());
        let report = Report::new(&fit, &cells).with_annotation("type", &groups);
        assert!(report.to_html().unwrap().contains("No cell has a label."));
    }

    #[test]
    fn parts_of_other_cells_are_refused() {
        let (cells, fit, groups) = fitted();
        let report = Report::new(&fit, &cells).with_annotation("type", &groups[1..]);
        let error = report.to_html().unwrap_err();
        assert!(matches!(
            error,
            Error::LengthMismatch {
                expected: 150,
                found: 149,
                ..
            }
        ));
        let other = pca(fit.embedding().slice(ndarray::s![..20, ..])).unwrap();
        let report = Report::new(&fit, &cells).with_projection(&other);
        let error = report.to_html().unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { found: 20, .. }));
    }
}
