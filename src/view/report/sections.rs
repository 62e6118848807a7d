//! The sections of a report, each from what it shows.

use serde_json::Value;

use super::html::{Table, definitions, escaped, figure, paragraph, section};
use super::{Annotation, MARKERS};
use crate::error::Result;
use crate::markers::ClusterMarkers;
use crate::metrics::{
    adjusted_mutual_information, adjusted_rand_index, encode_labels, normalized_mutual_information,
};
use crate::model::{Assignment, Fit, ModelInfo, StopReason};
use crate::nn::ReconstructionHead;
use crate::preprocess::Cells;
use crate::view::plot::{Scatter, cluster_table, confidence_histogram, training_curves};
use crate::view::projection::Projection;

/// How training ended, in a sentence, and what to know about it.
pub(super) fn outcome<H: ReconstructionHead>(fit: &Fit<H>) -> String {
    let (status, info) = (fit.status(), fit.model().info());
    let ending = match status.stop_reason {
        StopReason::LabelsStable { changed } => format!(
            "It converged: at the last update {:.2} % of the cells changed cluster.",
            100.0 * changed
        ),
        StopReason::MaximumEpochs { changed } => format!(
            "It reached the maximum number of epochs before labels were stable: at the last update \
             {:.2} % of the cells changed cluster. More epochs may help.",
            100.0 * changed
        ),
        StopReason::Diverged => {
            "Training diverged: what is shown is the last good state.".to_string()
        }
        StopReason::Interrupted => {
            "Training was interrupted: what is shown is what had been reached.".to_string()
        }
        StopReason::Finished => "It came to its end.".to_string(),
    };
    let resolution = match fit.resolution() {
        Some(resolution) => format!(" at resolution {resolution}"),
        None => String::new(),
    };
    let seconds: f64 = fit.history().iter().map(|epoch| epoch.seconds).sum();
    let summary = format!(
        "{} found {} clusters in {} cells{resolution}, after {} epochs of pretraining and {} of \
         self-training ({seconds:.1} s, seed {}, celldec {}). {ending}",
        method_name(info),
        status.cluster_sizes.len() - status.empty_clusters.len(),
        fit.clusters().labels().len(),
        status.pretraining_epochs,
        status.self_training_epochs,
        info.seed,
        info.version,
    );
    let mut html = paragraph(&summary);
    for warning in &status.warnings {
        html.push_str(&format!(
            "<p class=\"warning\">Warning: {}</p>\n",
            escaped(warning)
        ));
    }
    html
}

/// The resolutions among which one was chosen; nothing where none was.
pub(super) fn alternatives<H: ReconstructionHead>(fit: &Fit<H>) -> String {
    if fit.resolution_candidates().is_empty() {
        return String::new();
    }
    let header = ["resolution", "communities", "stability", "silhouette", ""];
    let mut table = Table::new(&header, &[4]);
    for candidate in fit.resolution_candidates() {
        table.row(&[
            candidate.resolution.to_string(),
            candidate.clusters.to_string(),
            format!("{:.2}", candidate.stability),
            match candidate.silhouette {
                Some(silhouette) => format!("{silhouette:.2}"),
                None => "–".to_string(),
            },
            match candidate.chosen {
                true => "chosen".to_string(),
                false => String::new(),
            },
        ]);
    }
    let explanation = paragraph(
        "Of the resolutions whose communities are about as stable as the most stable ones (mean \
         adjusted Rand index with communities of subsamples), the one with the highest silhouette \
         was chosen. Others that are stable are worth a look where clusters look merged or split.",
    );
    section("Resolutions", &format!("{explanation}{}", table.finish()))
}

/// The clusters: sizes, confidence, most frequent label.
pub(super) fn clusters(clusters: &Assignment, annotation: Option<&Annotation>) -> String {
    let confidence = clusters.confidence();
    let cells = clusters.labels().len();
    let header = ["cluster", "cells", "% of cells", "mean confidence"];
    let mut header: Vec<&str> = header.to_vec();
    let heading;
    if let Some(annotation) = annotation {
        heading = format!("most frequent {}", annotation.name);
        header.extend([heading.as_str(), "% of cluster"]);
    }
    let mut table = Table::new(&header, &[4]);
    for (cluster, &size) in clusters.sizes().iter().enumerate() {
        let members: Vec<usize> = (0..cells)
            .filter(|&cell| clusters.labels()[cell] == cluster)
            .collect();
        let sum: f64 = members
            .iter()
            .map(|&cell| f64::from(confidence[cell]))
            .sum();
        let mut row = vec![
            cluster.to_string(),
            size.to_string(),
            format!("{:.1}", 100.0 * size as f64 / cells as f64),
            match size {
                0 => "–".to_string(),
                size => format!("{:.2}", sum / size as f64),
            },
        ];
        if let Some(annotation) = annotation {
            let labels: Vec<&str> = members
                .iter()
                .map(|&cell| annotation.labels[cell].as_str())
                .collect();
            row.extend(match most_frequent(&labels) {
                Some((label, count)) => [
                    shown(label).to_string(),
                    format!("{:.0}", 100.0 * count as f64 / size as f64),
                ],
                None => ["–".to_string(), "–".to_string()],
            });
        }
        table.row(&row);
    }
    section("Clusters", &table.finish())
}

/// The cells in two dimensions.
pub(super) fn projections<H: ReconstructionHead>(
    projections: &[&Projection],
    fit: &Fit<H>,
    annotation: Option<&Annotation>,
) -> Result<String> {
    let mut html = paragraph(
        "The embedding in two dimensions. Near cells are alike; distances between groups and their \
         sizes mean little.",
    );
    for projection in projections {
        let method = projection.method();
        let scatter = Scatter::new(projection);
        let picture = scatter.by_cluster(fit.clusters())?;
        html.push_str(&figure(
            &picture,
            &format!("{method} of the cells by cluster"),
        )?);
        if let Some(annotation) = annotation {
            let title = format!("{method} by {}", annotation.name);
            let scatter = scatter.clone().with_title(&title);
            html.push_str(&figure(&scatter.by_label(&annotation.labels)?, &title)?);
        }
        let picture = scatter.by_confidence(fit.clusters())?;
        html.push_str(&figure(
            &picture,
            &format!("{method} of the cells by confidence"),
        )?);
    }
    Ok(section("Cells", &html))
}

/// How sure the assignments are.
pub(super) fn confidence<H: ReconstructionHead>(fit: &Fit<H>) -> Result<String> {
    let confidence = fit.clusters().confidence();
    let unsure = confidence.iter().filter(|&&value| value < 0.5).count();
    let mut html = paragraph(&format!(
        "A cell's confidence is its largest soft assignment. It is below 0.5 for {unsure} of {} \
         cells. Self-training sharpens assignments, so high values say that a cell lies near one \
         centroid, not that a cluster exists.",
        confidence.len()
    ));
    html.push_str(&figure(
        &confidence_histogram(fit.clusters())?,
        "Histogram of the largest soft assignments",
    )?);
    Ok(section("Confidence", &html))
}

/// Agreement with an annotation; nothing without one.
pub(super) fn agreement<H: ReconstructionHead>(
    fit: &Fit<H>,
    annotation: Option<&Annotation>,
) -> Result<String> {
    let Some(annotation) = annotation else {
        return Ok(String::new());
    };
    let known: Vec<usize> = (0..annotation.labels.len())
        .filter(|&cell| !annotation.labels[cell].is_empty())
        .collect();
    let heading = format!("Agreement with {}", annotation.name);
    if known.is_empty() {
        return Ok(section(&heading, &paragraph("No cell has a label.")));
    }
    let labels: Vec<&str> = known
        .iter()
        .map(|&cell| annotation.labels[cell].as_str())
        .collect();
    let (truth, names) = encode_labels(&labels);
    let mut table = Table::new(&["", "at the end", "at the start of self-training"], &[0]);
    let labels_of = |all: &[usize]| known.iter().map(|&cell| all[cell]).collect::<Vec<_>>();
    let end = labels_of(fit.clusters().labels());
    let start = labels_of(fit.initial_labels());
    type Measure = fn(&[usize], &[usize]) -> Result<f64>;
    let measures: [(&str, Measure); 3] = [
        ("adjusted Rand index", adjusted_rand_index),
        (
            "normalised mutual information",
            normalized_mutual_information,
        ),
        ("adjusted mutual information", adjusted_mutual_information),
    ];
    for (name, measure) in measures {
        let value =
            |found: &[usize]| -> Result<String> { Ok(format!("{:.3}", measure(&truth, found)?)) };
        table.row(&[name.to_string(), value(&end)?, value(&start)?]);
    }
    let mut html = paragraph(&format!(
        "{} of {} cells have one of {} labels. 1 is perfect agreement; the adjusted measures are 0 \
         for random clusters.",
        known.len(),
        annotation.labels.len(),
        names.len()
    ));
    html.push_str(&table.finish());
    html.push_str(&figure(
        &cluster_table(&end, &labels)?,
        &format!("Cells by cluster and {}", annotation.name),
    )?);
    Ok(section(&heading, &html))
}

/// The first marker genes of every cluster.
pub(super) fn markers(markers: &[ClusterMarkers]) -> String {
    let mut html = paragraph(
        "Genes that tell the cells of a cluster from all others, best first. Clusters were drawn \
         where expression differs, so small p-values do not show that a cluster exists.",
    );
    html.push_str("<div class=\"markers\">\n");
    for found in markers {
        html.push_str(&format!(
            "<div>\n<h3>Cluster {} ({} cells)</h3>\n",
            found.cluster, found.cells
        ));
        let header = [
            "gene",
            "score",
            "log2 fold change",
            "adjusted p",
            "% in",
            "% out",
        ];
        let mut table = Table::new(&header, &[0]);
        for gene in found.genes.iter().take(MARKERS) {
            table.row(&[
                gene.name.clone(),
                format!("{:.1}", gene.score),
                format!("{:.1}", gene.log2_fold_change),
                probability(gene.adjusted_p_value),
                format!("{:.0}", 100.0 * gene.fraction_in),
                format!("{:.0}", 100.0 * gene.fraction_out),
            ]);
        }
        html.push_str(&table.finish());
        html.push_str("</div>\n");
    }
    html.push_str("</div>\n");
    if markers.is_empty() {
        html = paragraph("No two clusters are large enough to be compared.");
    }
    section("Marker genes", &html)
}

/// A small probability; one that is too small for a number says so.
fn probability(value: f64) -> String {
    const SMALLEST: f64 = 1e-300;
    if value < SMALLEST {
        format!("< {SMALLEST:e}")
    } else {
        format!("{value:.1e}")
    }
}

/// The curves of training.
pub(super) fn training<H: ReconstructionHead>(fit: &Fit<H>) -> Result<String> {
    // A fit that was stopped before its first epoch has nothing to show.
    if fit.history().is_empty() {
        return Ok(String::new());
    }
    let picture = training_curves(fit.history())?;
    let description = "Terms of the loss and label changes by epoch";
    Ok(section("Training", &figure(&picture, description)?))
}

/// What went in and what was dropped.
pub(super) fn input(cells: &Cells) -> String {
    let report = cells.report();
    let mut entries = vec![
        ("cells in the input", report.cells_before),
        ("genes in the input", report.genes_before),
        (
            "genes dropped: too few counts",
            report.genes_with_few_counts,
        ),
        ("genes dropped: in too few cells", report.genes_in_few_cells),
        (
            "genes dropped: not variable enough",
            report.genes_not_variable,
        ),
        ("genes dropped: not in the model", report.genes_not_in_model),
        (
            "genes missing, filled with zeros",
            report.missing_genes.len(),
        ),
        (
            "cells dropped: too few counts",
            report.cells_with_few_counts,
        ),
        ("cells dropped: too few genes", report.cells_with_few_genes),
    ];
    // Of the reasons only those that applied.
    entries.retain(|&(name, count)| name.ends_with("in the input") || count > 0);
    entries.push(("cells clustered", cells.cells()));
    entries.push(("genes used", cells.genes()));
    if !cells.batch_names().is_empty() {
        entries.push(("batches", cells.batch_names().len()));
    }
    let stored = cells.stored() as f64;
    let mut entries: Vec<(String, String)> = entries
        .into_iter()
        .map(|(name, count)| (name.to_string(), count.to_string()))
        .collect();
    entries.push((
        "entries that are not zero".to_string(),
        format!(
            "{:.1} %",
            100.0 * stored / (cells.cells() as f64 * cells.genes() as f64)
        ),
    ));
    section("Input", &definitions(&entries))
}

/// Preprocessing and training, so that the fit can be repeated.
pub(super) fn settings(info: &ModelInfo, cells: &Cells) -> String {
    let mut entries = vec![
        ("method".to_string(), method_name(info)),
        ("seed".to_string(), info.seed.to_string()),
        ("celldec".to_string(), info.version.clone()),
        (
            "fingerprint of the cells".to_string(),
            format!("{:016x}", info.data_fingerprint),
        ),
    ];
    flatten("", &info.settings, &mut entries);
    let mut html = String::from("<h3>Training</h3>\n");
    html.push_str(&definitions(&entries));
    if let Ok(settings) = serde_json::to_value(cells.preprocessing().settings()) {
        let mut entries = Vec::new();
        flatten("", &settings, &mut entries);
        html.push_str("<h3>Preprocessing</h3>\n");
        html.push_str(&definitions(&entries));
    }
    section("Settings", &html)
}

/// Names and values of a setting and those within it.
fn flatten(name: &str, value: &Value, entries: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let field = field.replace('_', " ");
                let name = match name {
                    "" => field,
                    name => format!("{name}: {field}"),
                };
                // The seed has a line of its own.
                if name != "seed" {
                    flatten(&name, value, entries);
                }
            }
        }
        Value::Null => entries.push((name.to_string(), "none".to_string())),
        Value::Bool(value) => {
            entries.push((
                name.to_string(),
                if *value { "yes" } else { "no" }.to_string(),
            ));
        }
        Value::String(text) => entries.push((name.to_string(), text.replace('_', " "))),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            entries.push((name.to_string(), values.join(", ")));
        }
        other => entries.push((name.to_string(), other.to_string())),
    }
}

fn method_name(info: &ModelInfo) -> String {
    match info.method.as_str() {
        "scdcc" => "scDCC".to_string(),
        "desc" => "DESC".to_string(),
        other => other.to_string(),
    }
}

/// The most frequent label and how often it occurs; of equals, the first by name.
fn most_frequent<'l>(labels: &[&'l str]) -> Option<(&'l str, usize)> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.map(|run| (run[0], run.len()))
        .reduce(|best, run| if run.1 > best.1 { run } else { best })
}

fn shown(label: &str) -> &str {
    if label.is_empty() { "(none)" } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_flattened() {
        let mut entries = Vec::new();
        let settings = json!({
            "seed": 3,
            "widths": [64, 32],
            "clip": null,
            "scaling": { "unit_variance": true, "target_sum": "median" },
        });
        flatten("", &settings, &mut entries);
        entries.sort();
        let expected = [
            ("clip", "none"),
            ("scaling: target sum", "median"),
            ("scaling: unit variance", "yes"),
            ("widths", "64, 32"),
        ];
        assert_eq!(entries, expected.map(|(a, b)| (a.into(), b.into())));
    }

    #[test]
    fn probabilities_are_never_zero() {
        assert_eq!(probability(0.0), "< 1e-300");
        assert_eq!(probability(0.0512), "5.1e-2");
    }

    #[test]
    fn the_first_of_equally_frequent_labels_is_taken() {
        assert_eq!(most_frequent(&["b", "a", "b", "a", "c"]), Some(("a", 2)));
        assert_eq!(most_frequent(&[]), None);
    }
}
