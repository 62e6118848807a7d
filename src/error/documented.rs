//! The table of errors in `docs/errors.md`: what the code prints, written by `CELLDEC_WRITE_DOCS=1
//! cargo test documented`.

use std::fmt::Write;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use super::{ConstraintError, Error, ParameterError, Place};
use crate::io::{MtxOptions, TableOptions, read_labels, read_table};

/// Pairs of a variant and an example of it; a variant without an example does not compile.
macro_rules! examples {
    ($of:ident: $($variant:ident => $example:expr,)+) => {{
        let name = |error: &$of| match error {
            $($of::$variant { .. } => stringify!($variant),)+
        };
        let examples: Vec<$of> = vec![$($example),+];
        examples
            .into_iter()
            .map(|example| (name(&example).to_string(), example.to_string()))
            .collect::<Vec<(String, String)>>()
    }};
}

fn of_parameters() -> Vec<(String, String)> {
    examples! { ParameterError:
        TooFewClusters => ParameterError::TooFewClusters { clusters: 1 },
        Clusters => ParameterError::Clusters { clusters: 900, cells: 700 },
        LearningRate => ParameterError::LearningRate { phase: "pretraining", value: -1.0 },
        Schedule => ParameterError::Schedule {
            phase: "self-training",
            reason: "the last rate is above the first".into(),
        },
        BatchSize => ParameterError::BatchSize,
        Epochs => ParameterError::Epochs { name: "the number of epochs of a t-SNE" },
        OutOfRange => ParameterError::OutOfRange {
            name: "the number of cells to cluster",
            requirement: "at least 2",
            value: 1.0,
        },
        LayerWidths => ParameterError::LayerWidths { name: "hidden", value: vec![64, 0] },
        Resolutions => ParameterError::Resolutions { value: vec![0.3, -1.0] },
        Conflict => ParameterError::Conflict {
            reason: "--in-place is about the .h5ad file; add h5ad to --write, or leave --in-place out"
                .into(),
        },
    }
}

fn of_constraints() -> Vec<(String, String)> {
    examples! { ConstraintError:
        OutOfRange => ConstraintError::OutOfRange {
            kind: "must-link",
            pair: 3,
            first: 12,
            second: 900,
            cells: 700,
        },
        SelfPair => ConstraintError::SelfPair { kind: "must-link", pair: 3, cell: 12 },
        Contradiction => ConstraintError::Contradiction {
            first: 3,
            second: 8,
            count: 2,
            pairs: vec![(3, 8), (3, 9)],
        },
        TooFewPairs => ConstraintError::TooFewPairs {
            kind: "cannot-link",
            asked: 500,
            available: 120,
        },
    }
}

fn of_crate() -> Vec<(String, String)> {
    let (cell, gene) = (Place::new(7, "AAAC-1"), Place::new(2, "CD3E"));
    examples! { Error:
        EmptyMatrix => Error::EmptyMatrix { cells: 0, genes: 33_538 },
        AllFiltered => Error::AllFiltered {
            cells: 0,
            genes: 12,
            cells_before: 12,
            genes_before: 700,
        },
        NonFiniteCount => Error::NonFiniteCount {
            cell: cell.clone(),
            gene: gene.clone(),
            count: 4,
        },
        NegativeCount => Error::NegativeCount {
            cell: cell.clone(),
            gene: gene.clone(),
            value: -0.5,
        },
        FractionalCount => Error::FractionalCount {
            cell: cell.clone(),
            gene: gene.clone(),
            value: 1.37,
            count: 9000,
        },
        CountsElsewhere => Error::CountsElsewhere {
            path: "cells.h5ad".into(),
            used: "X".into(),
            value: 1.37,
            counts: "layers/counts".into(),
            option: "--layer counts".into(),
        },
        EmptyCell => Error::EmptyCell { cell: cell.clone(), count: 3 },
        InvalidSparse => Error::InvalidSparse {
            reason: "row 2 ends before it starts".into(),
        },
        CountSource => Error::CountSource { cause: "the server did not answer".into() },
        CountsNotInMemory => Error::CountsNotInMemory { what: "marker genes" },
        LengthMismatch => Error::LengthMismatch {
            what: "the list of cell names".into(),
            expected: 700,
            found: 699,
        },
        EmptyInput => Error::EmptyInput { what: "the list of labels".into() },
        NonFiniteValue => Error::NonFiniteValue {
            what: "the embedding".into(),
            row: 4,
            column: 1,
        },
        DuplicateName => Error::DuplicateName {
            what: "gene",
            name: "CD3E".into(),
            first: 2,
            second: 70,
        },
        NotGenes => Error::NotGenes {
            names: "__no_feature, __ambiguous".into(),
        },
        GeneOverlap => Error::GeneOverlap {
            found: 0,
            expected: 2000,
            examples: "CD3E, LYZ".into(),
            others: "ENSG00000198851, ENSG00000090382".into(),
        },
        VariableGenes => Error::VariableGenes {
            reason: "all genes have the same mean; keep all genes".into(),
        },
        Covariate => Error::Covariate {
            name: "donor".into(),
            reason: "the model was fitted without covariates".into(),
        },
        Parameter => Error::Parameter(ParameterError::BatchSize),
        Constraint => Error::Constraint(ConstraintError::SelfPair {
            kind: "must-link",
            pair: 3,
            cell: 12,
        }),
        SingleCommunity => Error::SingleCommunity { resolution: 0.1, suggestion: 0.4 },
        MarkerCluster => Error::MarkerCluster { cluster: 3, cells: 1, others: 699 },
        Projection => Error::Projection { method: "UMAP", reason: "it returned 0 dimensions".into() },
        Picture => Error::Picture { reason: "there are no cells to draw".into() },
        Diverged => Error::Diverged {
            term: "zinb".into(),
            phase: "pretraining".into(),
            epoch: 3,
            batch: 11,
        },
        Device => Error::Device { reason: "unknown device \"abacus\"; there are: cpu".into() },
        Io => Error::Io {
            path: PathBuf::from("counts.csv"),
            cause: IoError::new(ErrorKind::PermissionDenied, "permission denied"),
        },
        Format => Error::format("counts.csv", 7, "\"NA\" in the column of \"CD3E\" is not a number"),
        NoDecoder => Error::NoDecoder,
        Checkpoint => Error::Checkpoint {
            path: PathBuf::from("run.safetensors"),
            reason: "it ends before its end".into(),
        },
        CheckpointMismatch => Error::CheckpointMismatch {
            path: PathBuf::from("run.safetensors"),
            what: "the seed".into(),
            saved: "1".into(),
            current: "2".into(),
        },
        Model => Error::Model {
            path: PathBuf::from("model.safetensors"),
            reason: "it is of a newer version".into(),
        },
        MemoryLimit => Error::MemoryLimit {
            path: PathBuf::from("counts.csv.gz"),
            place: "line 2".into(),
            needed: 90 << 20,
            limit: 42 << 20,
            file_bytes: 20_000,
        },
        InsufficientMemory => Error::InsufficientMemory {
            cells: 1_000_000,
            genes: 2000,
            needed: 3_100_000_000,
            limit: 2_000_000_000,
            advice: "read counts part by part with `Preprocess::fit_source`, which takes about 1600 MB"
                .into(),
        },
        InexactSum => Error::InexactSum {
            cell,
            gene,
            entries: 2,
            sum: 16_777_217.0,
        },
    }
}

const BANNER: &str = "%%MatrixMarket matrix coordinate integer general\n";

/// Files that are refused, and the message of each.
fn of_files() -> Vec<(String, String)> {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let mut messages = Vec::new();
    let mut add = |what: &str, error: Error| {
        let text = error.to_string();
        let text = text.replace(&format!("{}/", folder.display()), "");
        messages.push((
            what.to_string(),
            text.replace(&folder.display().to_string(), "folder"),
        ));
    };
    let table = |text: &str| {
        let path = folder.join("counts.csv");
        std::fs::write(&path, text).unwrap();
        read_table(&path).unwrap_err()
    };
    for (what, text) in [
        ("nothing in it", ""),
        ("a header alone", "cell,CD3E\n"),
        ("one column", "cell\nc1\n"),
        ("a line that is too short", "cell,CD3E,LYZ\nc1,1,2\nc2,1\n"),
        ("a field that is no number", "cell,CD3E,LYZ\nc1,1,NA\n"),
        ("separators of thousands", "cell,CD3E,LYZ\nc1,\"1,234\",2\n"),
        ("decimal commas", "cell;CD3E;LYZ\nc1;1,5;2\n"),
        ("a quote that does not end", "cell,CD3E\n\"c1,1\n"),
        ("annotations of cells", "cell,nCount_RNA,CD3E\nc1,3,3\n"),
        ("a comment that may be none", "cell,CD3E\nc1,2\n#c2,3\n"),
        (
            "annotations of genes after counts",
            "gene,c1,length\nCD3E,3,1200\n",
        ),
        ("names that say nothing", ",x1,x2\ny1,1,2\ny2,3,4\n"),
        ("names that say the same", ",CD4,CD8A\nCD3E,1,2\nLYZ,3,4\n"),
        ("a first line of numbers", "ab,3,1,7\ncd,4,0,2\n"),
        ("a first column of numbers", "ab,CD3E,LYZ\n7,1,2\n5,3,4\n"),
        ("a negative count", "cell,CD3E\nc1,-2\n"),
        ("an .xlsx file", "PK\u{3}\u{4}"),
        ("a binary file", "\0\0\0\0\0"),
    ] {
        add(&format!("a table: {what}"), table(text));
    }
    let labels = |text: &str, column: Option<&str>| {
        let path = folder.join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read_labels(&path, column).unwrap_err()
    };
    for (what, text, column) in [
        (
            "a column that is not there",
            "cell,type\nx,T\n",
            Some("batch"),
        ),
        ("several columns", "cell,type,batch\nx,T,1\n", None),
        ("one column", "cell\nx\n", None),
        ("a cell that occurs twice", "cell,type\nx,T\nx,B\n", None),
        ("a header that may be none", "a,T\nb,B\nc,T\n", None),
    ] {
        add(&format!("labels: {what}"), labels(text, column));
    }
    let mtx = |files: &[(&str, &str)], options: &MtxOptions| {
        let sample = folder.join("sample");
        std::fs::create_dir(&sample).unwrap();
        for (name, text) in files {
            std::fs::write(sample.join(name), text).unwrap();
        }
        let error = options.read(&sample).unwrap_err();
        std::fs::remove_dir_all(&sample).unwrap();
        error
    };
    let of = |matrix: &str| {
        mtx(
            &[
                ("matrix.mtx", matrix),
                ("genes.tsv", "E1\tA\nE2\tB\n"),
                ("barcodes.tsv", "AAA\n"),
            ],
            &MtxOptions::new(),
        )
    };
    for (what, text) in [
        ("no MatrixMarket file", "1 1 1\n".to_string()),
        ("sizes of other files", format!("{BANNER}3 1 0\n")),
        ("an entry outside", format!("{BANNER}2 1 1\n3 1 1\n")),
        ("cut off", format!("{BANNER}2 1 2\n1 1 1\n")),
        (
            "longer than announced",
            format!("{BANNER}2 1 1\n1 1 1\n2 1 1\n"),
        ),
    ] {
        add(&format!("a matrix: {what}"), of(&text));
    }
    let none = MtxOptions::new();
    let kallisto = [
        ("cells_x_genes.mtx", &*format!("{BANNER}1 2 0\n")),
        ("cells_x_genes.genes.txt", "E1\nE2\n"),
        ("cells_x_genes.genes.names.txt", "B\n"),
        ("cells_x_genes.barcodes.txt", "AAA\n"),
    ];
    add("a matrix: symbols of other genes", mtx(&kallisto, &none));
    add("a folder: no matrix", mtx(&[("notes.md", "x")], &none));
    add(
        "a folder: no features",
        mtx(&[("matrix.mtx", BANNER)], &none),
    );
    add(
        "a folder: several samples",
        mtx(&[("a_matrix.mtx", BANNER), ("b_matrix.mtx", BANNER)], &none),
    );
    add(
        "a folder: several matrices",
        mtx(&[("spliced.mtx", BANNER), ("unspliced.mtx", BANNER)], &none),
    );
    add(
        "a folder: no feature of the type",
        mtx(
            &[
                ("matrix.mtx", &format!("{BANNER}1 1 0\n")),
                ("features.tsv", "P1\tp\tPeaks\n"),
                ("barcodes.tsv", "AAA\n"),
            ],
            &none,
        ),
    );
    add(
        "a table that is a folder",
        TableOptions::new().read(folder).unwrap_err(),
    );
    messages
}

fn table(of: &str, rows: Vec<(String, String)>) -> String {
    let mut text = format!("| {of} | message |\n|---|---|\n");
    for (name, message) in rows {
        assert!(message.lines().count() <= 1, "{name}: {message}");
        assert!(message.len() < 600, "{name}: {message}");
        // Bars would end a cell of the table.
        writeln!(text, "| {name} | {} |", message.replace('|', "\\|")).unwrap();
    }
    text
}

fn document() -> String {
    let code = |rows: Vec<(String, String)>| -> Vec<(String, String)> {
        rows.into_iter()
            .map(|(name, message)| (format!("`{name}`"), message))
            .collect()
    };
    format!(
        "# Errors\n\n\
         Every error with an example of what it says: what is wrong, where, and what to do. The \
         tables are printed by the code; `CELLDEC_WRITE_DOCS=1 cargo test documented` writes them \
         anew.\n\n\
         The program says the same in the names of its options (`--transposed` for \
         `TableOptions::with_transposed(true)`), in at most ten lines, and ends with exit code 2 for \
         options and settings, 1 for files and data.\n\n\
         ## `Error`\n\n{}\n\
         ## `ParameterError`: a setting outside its range\n\n{}\n\
         ## `ConstraintError`: constraint pairs that cannot be used\n\n{}\n\
         ## Files that are refused\n\n\
         What `Error::Format` and its like say of text files.\n\n{}",
        table("variant", code(of_crate())),
        table("variant", code(of_parameters())),
        table("variant", code(of_constraints())),
        table("file", of_files()),
    )
}

#[test]
fn every_error_is_documented_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let text = document();
    if std::env::var_os("CELLDEC_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = written
        .lines()
        .zip(text.lines())
        .find(|(written, text)| written != text);
    assert!(
        written == text,
        "docs/errors.md is not what the code prints, first {differing:?}; write it anew with \
         CELLDEC_WRITE_DOCS=1 cargo test documented"
    );
}
