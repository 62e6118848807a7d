//! Files as people have them: the same twelve cells in the forms of many programs, and the files of a
//! folder of such cases where there is one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use celldec::counts::CountMatrix;
use celldec::io::{CountFormat, GeneNames, MtxOptions, TableOptions, read_counts};
use flate2::Compression;
use flate2::write::GzEncoder;

const GENES: [&str; 6] = ["GAPDH", "ACTB", "CD3E", "LYZ", "MS4A1", "MT-CO1"];
const CELLS: usize = 12;

/// Counts of two groups of cells `[cells, genes]`.
fn count(cell: usize, gene: usize) -> usize {
    let of_group = (cell < CELLS / 2) == (gene < GENES.len() / 2);
    let noise = (cell * 7 + gene * 5 + cell * gene) % 5;
    if of_group { 4 + noise } else { noise / 3 }
}

fn cell_names() -> Vec<String> {
    let bases = ["A", "C", "G", "T"];
    (0..CELLS)
        .map(|cell| format!("ACGTACGTACGTACG{}{}-1", bases[cell % 4], bases[cell / 4]))
        .collect()
}

fn identifiers() -> Vec<String> {
    (0..GENES.len())
        .map(|gene| format!("ENSG{gene:011}"))
        .collect()
}

/// A delimited table of rows.
fn table(separator: &str, rows: &[Vec<String>]) -> String {
    rows.iter()
        .map(|row| format!("{}\n", row.join(separator)))
        .collect()
}

/// Lines of a name and its counts, of cells or of genes, without a header.
fn lines(of_genes: bool) -> Vec<Vec<String>> {
    let cells = cell_names();
    let (rows, columns) = if of_genes {
        (GENES.len(), CELLS)
    } else {
        (CELLS, GENES.len())
    };
    (0..rows)
        .map(|row| {
            let name = if of_genes {
                GENES[row].to_string()
            } else {
                cells[row].clone()
            };
            let counts = (0..columns).map(|column| {
                let (cell, gene) = if of_genes {
                    (column, row)
                } else {
                    (row, column)
                };
                count(cell, gene).to_string()
            });
            std::iter::once(name).chain(counts).collect()
        })
        .collect()
}

fn with_header(corner: &str, of_genes: bool) -> Vec<Vec<String>> {
    let names = if of_genes {
        cell_names()
    } else {
        GENES.map(String::from).to_vec()
    };
    let header = std::iter::once(corner.to_string()).chain(names).collect();
    std::iter::once(header).chain(lines(of_genes)).collect()
}

/// A MatrixMarket file.
fn matrix(cells_first: bool) -> String {
    let mut entries = Vec::new();
    for cell in 0..CELLS {
        for gene in 0..GENES.len() {
            let (row, column) = if cells_first {
                (cell, gene)
            } else {
                (gene, cell)
            };
            if count(cell, gene) > 0 {
                entries.push(format!("{} {} {}", row + 1, column + 1, count(cell, gene)));
            }
        }
    }
    let (rows, columns) = if cells_first {
        (CELLS, GENES.len())
    } else {
        (GENES.len(), CELLS)
    };
    format!(
        "%%MatrixMarket matrix coordinate integer general\n%\n{rows} {columns} {}\n{}\n",
        entries.len(),
        entries.join("\n")
    )
}

fn features(line: impl Fn(usize, &str, &str) -> String) -> String {
    let lines = identifiers().into_iter().zip(GENES).enumerate();
    lines
        .map(|(gene, (id, symbol))| format!("{}\n", line(gene, &id, symbol)))
        .collect()
}

fn usual_features() -> String {
    features(|_, id, symbol| format!("{id}\t{symbol}\tGene Expression"))
}

fn barcodes() -> String {
    cell_names()
        .iter()
        .map(|name| format!("{name}\n"))
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

struct Case {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// One file.
fn file(name: &str, content: impl AsRef<[u8]>) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    Case {
        _folder: folder,
        path,
    }
}

/// A folder of files.
fn folder(files: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let path = folder.path().to_path_buf();
    Case {
        _folder: folder,
        path,
    }
}

fn counted(counts: &CountMatrix) -> Vec<usize> {
    counts
        .to_dense()
        .iter()
        .map(|&count| count as usize)
        .collect()
}

fn expected_counts() -> Vec<usize> {
    (0..CELLS)
        .flat_map(|cell| (0..GENES.len()).map(move |gene| count(cell, gene)))
        .collect()
}

/// What is read has the twelve cells and their counts, and these names.
fn assert_read<S: AsRef<str>>(what: &str, counts: &CountMatrix, cells: &[S], genes: &[S]) {
    let texts = |names: &[S]| -> Vec<String> {
        names.iter().map(|name| name.as_ref().to_string()).collect()
    };
    assert_eq!(counts.cell_names(), texts(cells), "{what}");
    assert_eq!(counts.gene_names(), texts(genes), "{what}");
    assert_eq!(counted(counts), expected_counts(), "{what}");
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn tables_are_read_in_every_form() {
    let (cells, genes) = (cell_names(), GENES.map(String::from));
    let by_cells = table(",", &with_header("cell", false));
    let quoted = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
        let quote = |field: String| match field.parse::<usize>() {
            Ok(_) => field,
            Err(_) => format!("\"{field}\""),
        };
        rows.into_iter()
            .map(|row| row.into_iter().map(quote).collect())
            .collect()
    };
    let mut of_r = quoted(with_header("", false));
    of_r[0].remove(0);
    let feature_counts = {
        let mut rows = with_header("Geneid", true);
        for (row, fields) in rows.iter_mut().enumerate() {
            let about = match row {
                0 => ["Chr", "Start", "End", "Strand", "Length"],
                _ => ["chr1;chr1", "100;200", "150;250", "+;+", "102"],
            };
            fields.splice(1..1, about.map(String::from));
        }
        format!("# Program:featureCounts v2.0.3\n{}", table("\t", &rows))
    };
    let with_symbols = {
        let mut rows = with_header("gene_id", true);
        for (row, fields) in rows.iter_mut().enumerate() {
            let symbol = fields[0].clone();
            if row > 0 {
                fields[0] = identifiers()[row - 1].clone();
            }
            fields.insert(1, if row == 0 { "gene_name".into() } else { symbol });
        }
        table("\t", &rows)
    };
    let utf16: Vec<u8> = format!("\u{feff}{by_cells}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let trailing = by_cells.replace('\n', ",\n");
    for (name, content) in [
        ("cells_by_genes.csv", by_cells.clone().into_bytes()),
        (
            "genes_by_cells.csv",
            table(",", &with_header("", true)).into(),
        ),
        ("utf16.csv", utf16),
        ("utf8_mark.csv", format!("\u{feff}{by_cells}").into()),
        ("text_named.csv.gz", by_cells.clone().into()),
        ("gzip_named.csv", gzip(&by_cells)),
        ("crlf.csv", by_cells.replace('\n', "\r\n").into()),
        ("semicolons.csv", by_cells.replace(',', ";").into()),
        (
            "dge_comment.txt",
            format!(
                "#DGE\tVERSION:1.1\tEXPRESSION_FORMAT:raw\n{}",
                table("\t", &with_header("GENE", true))
            )
            .into(),
        ),
        (
            "rhapsody.csv",
            format!(
                "##version 1\n##run x\n{}",
                table(",", &with_header("Cell_Index", false))
            )
            .into(),
        ),
        ("write_table.txt", table(" ", &of_r).into()),
        (
            "quoted.csv",
            table(",", &quoted(with_header("", false))).into(),
        ),
        ("feature_counts.txt", feature_counts.into()),
        ("with_symbols.tsv", with_symbols.into()),
        (
            "aligned.txt",
            table("    ", &with_header("cell", false)).into(),
        ),
        ("trailing.csv", trailing.into()),
        ("blank_lines.csv", format!("{by_cells},,,,,,\n\n \n").into()),
        ("no_extension", by_cells.into()),
    ] {
        let case = file(name, content);
        assert_eq!(
            CountFormat::of(&case.path).unwrap(),
            CountFormat::Table,
            "{name}"
        );
        let counts = read_counts(&case.path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_read(name, &counts, &cells[..], &genes[..]);
    }
}

#[test]
fn tables_without_header_or_names_lose_nothing() {
    let no_header = file("no_header.csv", table(",", &lines(false)));
    let counts = read_counts(&no_header.path).unwrap();
    assert_read("no_header", &counts, &cell_names(), &numbers(GENES.len()));
    let rows: Vec<Vec<String>> = with_header("cell", false)
        .into_iter()
        .map(|row| row[1..].to_vec())
        .collect();
    let no_names = file("no_cell_names.csv", table(",", &rows));
    let counts = read_counts(&no_names.path).unwrap();
    assert_read(
        "no_cell_names",
        &counts,
        &numbers(CELLS),
        &GENES.map(String::from),
    );
}

#[test]
fn a_table_that_says_nothing_is_refused_with_the_option() {
    let rows: Vec<Vec<String>> = with_header("", false)
        .into_iter()
        .enumerate()
        .map(|(line, mut row)| {
            match line {
                0 => {
                    row = std::iter::once(String::new())
                        .chain(numbers(6).iter().map(|n| format!("x{n}")))
                        .collect()
                }
                _ => row[0] = format!("y{line}"),
            }
            row
        })
        .collect();
    let case = file("unknown.csv", table(",", &rows));
    let message = read_counts(&case.path).unwrap_err().to_string();
    assert!(
        message.contains("are its lines cells or genes?"),
        "{message}"
    );
    assert!(
        message.contains("`TableOptions::with_transposed(true)`"),
        "{message}"
    );
    let told = TableOptions::new()
        .with_transposed(false)
        .read(&case.path)
        .unwrap();
    assert_eq!(counted(&told), expected_counts());
}

#[test]
fn folders_are_read_in_every_form() {
    let (genes, cells) = (usual_features(), barcodes());
    let (by_genes, by_cells) = (matrix(false), matrix(true));
    let quoted_features = features(|_, id, symbol| format!("\"{id}\"\t\"{symbol}\""));
    let quoted_cells: String = cell_names()
        .iter()
        .map(|name| format!("\"{name}\"\n"))
        .collect();
    let third = features(|gene, id, symbol| format!("{id}\t{symbol}\t{}", gene + 1));
    let empty_type = features(|_, id, symbol| format!("{id}\t{symbol}\t"));
    let header = format!("gene_id\tgene_symbol\tfeature_type\n{genes}");
    let numbered = features(|gene, id, symbol| format!("{}\t{id}\t{symbol}", gene + 1));
    let blank = format!("{genes}\n\n");
    let all_genes = format!(
        "gene_id,gene_name,genome\n{}",
        features(|_, id, symbol| format!("{id},{symbol},hg38"))
    );
    let metadata: String = std::iter::once("bc_wells,sample\n".to_string())
        .chain(cell_names().iter().map(|name| format!("{name},s1\n")))
        .collect();
    let ids: String = identifiers().iter().map(|id| format!("{id}\n")).collect();
    let symbols: String = GENES.iter().map(|name| format!("{name}\n")).collect();
    for (what, files) in [
        (
            "usual",
            vec![
                ("matrix.mtx", &by_genes),
                ("features.tsv", &genes),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "not gzip",
            vec![
                ("matrix.mtx.gz", &by_genes),
                ("features.tsv.gz", &genes),
                ("barcodes.tsv.gz", &cells),
            ],
        ),
        (
            "quoted",
            vec![
                ("matrix.mtx", &by_genes),
                ("features.tsv", &quoted_features),
                ("barcodes.tsv", &quoted_cells),
            ],
        ),
        (
            "third column",
            vec![
                ("matrix.mtx", &by_genes),
                ("genes.tsv", &third),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "empty type",
            vec![
                ("matrix.mtx", &by_genes),
                ("features.tsv", &empty_type),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "header",
            vec![
                ("matrix.mtx", &by_genes),
                ("features.tsv", &header),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "row numbers",
            vec![
                ("matrix.mtx", &by_genes),
                ("genes.tsv", &numbered),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "blank lines",
            vec![
                ("matrix.mtx", &by_genes),
                ("features.tsv", &blank),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "sample before",
            vec![
                ("GSM1_a_matrix.mtx", &by_genes),
                ("GSM1_a_features.tsv", &genes),
                ("GSM1_a_barcodes.tsv", &cells),
            ],
        ),
        (
            "sample after",
            vec![
                ("matrix_a.mtx", &by_genes),
                ("features_a.tsv", &genes),
                ("barcodes_a.tsv", &cells),
            ],
        ),
        (
            "of a Mac",
            vec![
                ("GSM1_matrix.mtx", &by_genes),
                ("GSM1_features.tsv", &genes),
                ("GSM1_barcodes.tsv", &cells),
                ("._GSM1_matrix.mtx", &genes),
            ],
        ),
        (
            "a run",
            vec![
                ("outs/filtered_feature_bc_matrix/matrix.mtx", &by_genes),
                ("outs/filtered_feature_bc_matrix/features.tsv", &genes),
                ("outs/filtered_feature_bc_matrix/barcodes.tsv", &cells),
                ("outs/raw_feature_bc_matrix/matrix.mtx", &genes),
                ("outs/raw_feature_bc_matrix/features.tsv", &genes),
                ("outs/raw_feature_bc_matrix/barcodes.tsv", &cells),
            ],
        ),
        (
            "Velocyto, one matrix",
            vec![
                ("spliced.mtx", &by_genes),
                ("features.tsv", &genes),
                ("barcodes.tsv", &cells),
            ],
        ),
        (
            "Parse",
            vec![
                ("DGE.mtx", &by_cells),
                ("all_genes.csv", &all_genes),
                ("cell_metadata.csv", &metadata),
            ],
        ),
        (
            "kallisto",
            vec![
                ("cells_x_genes.mtx", &by_cells),
                ("cells_x_genes.genes.txt", &ids),
                ("cells_x_genes.genes.names.txt", &symbols),
                ("cells_x_genes.barcodes.txt", &cells),
            ],
        ),
        (
            "alevin-fry",
            vec![
                ("quants_mat.mtx", &by_cells),
                ("quants_mat_cols.txt", &symbols),
                ("quants_mat_rows.txt", &cells),
            ],
        ),
        (
            "cells × genes",
            vec![
                ("matrix.mtx", &by_cells),
                ("features.tsv", &genes),
                ("barcodes.tsv", &cells),
            ],
        ),
    ] {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let case = folder(&files);
        let counts = read_counts(&case.path).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_read(what, &counts, &cell_names(), &GENES.map(String::from));
    }
}

#[test]
fn an_empty_symbol_is_replaced_by_its_identifier() {
    let features = features(|gene, id, symbol| match gene {
        2 => format!("{id}\t\tGene Expression"),
        _ => format!("{id}\t{symbol}\tGene Expression"),
    });
    let case = folder(&[
        ("matrix.mtx", &matrix(false)),
        ("features.tsv", &features),
        ("barcodes.tsv", &barcodes()),
    ]);
    let counts = read_counts(&case.path).unwrap();
    let mut genes = GENES.map(String::from);
    genes[2] = identifiers()[2].clone();
    assert_read("empty symbol", &counts, &cell_names(), &genes);
}

#[test]
fn one_of_several_matrices_is_asked_for() {
    let (genes, cells) = (usual_features(), barcodes());
    let case = folder(&[
        ("spliced.mtx", &matrix(false)),
        (
            "unspliced.mtx",
            "%%MatrixMarket matrix coordinate integer general\n6 12 0\n",
        ),
        (
            "ambiguous.mtx",
            "%%MatrixMarket matrix coordinate integer general\n6 12 0\n",
        ),
        ("features.tsv", &genes),
        ("barcodes.tsv", &cells),
    ]);
    let message = read_counts(&case.path).unwrap_err().to_string();
    assert!(
        message.contains("`MtxOptions::with_matrix`: ambiguous, spliced, unspliced"),
        "{message}"
    );
    let counts = MtxOptions::new()
        .with_matrix("spliced")
        .read(&case.path)
        .unwrap();
    assert_read("spliced", &counts, &cell_names(), &GENES.map(String::from));
}

/// The text files of a folder of cases hold the same cells, whose counts the plain table has.
#[test]
fn a_folder_of_cases_is_read() {
    let Some(cases) = std::env::var_os("CELLDEC_CASES").map(PathBuf::from) else {
        eprintln!("skipped: CELLDEC_CASES names no folder of cases");
        return;
    };
    let plain = read_counts(cases.join("cells_by_genes.csv")).unwrap();
    let symbols = plain.gene_names().to_vec();
    let cells = plain.cell_names().to_vec();
    let mut read = 0;
    let mut check = |name: &str, counts: &CountMatrix, cells: &[String], genes: &[String]| {
        assert_eq!(counts.to_dense(), plain.to_dense(), "{name}");
        assert_eq!(counts.cell_names(), cells, "{name}");
        assert_eq!(counts.gene_names(), genes, "{name}");
        read += 1;
    };
    let open = |name: &str| {
        let path: &Path = &cases.join(name);
        read_counts(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for name in [
        "genes_by_cells.csv",
        "utf16.csv",
        "text_named.csv.gz",
        "dge_comment.txt",
        "mtx_appledouble",
        "mtx_blank_last_line",
        "mtx_empty_type",
        "mtx_gz_not_gzip",
        "mtx_header_line",
        "mtx_quoted",
        "mtx_run_folder",
        "mtx_third_column",
        "mtx_velocyto",
    ] {
        check(name, &open(name), &cells, &symbols);
    }
    check(
        "no_header.csv",
        &open("no_header.csv"),
        &cells,
        &numbers(symbols.len()),
    );
    check(
        "no_cell_names.csv",
        &open("no_cell_names.csv"),
        &numbers(cells.len()),
        &symbols,
    );
    let ids = MtxOptions::new().with_gene_names(GeneNames::Ids);
    let ids = ids
        .read(cases.join("mtx_quoted"))
        .unwrap()
        .gene_names()
        .to_vec();
    check("mtx_kallisto", &open("mtx_kallisto"), &cells, &ids);
    let empty = open("mtx_empty_symbol");
    let stand_in = empty
        .gene_names()
        .iter()
        .zip(&symbols)
        .filter(|(a, b)| a != b);
    let stand_in: Vec<&String> = stand_in.map(|(found, _)| found).collect();
    assert!(
        stand_in.len() == 1 && ids.contains(stand_in[0]),
        "{stand_in:?}"
    );
    check("mtx_empty_symbol", &empty, &cells, empty.gene_names());
    assert_eq!(read, 17);
}
