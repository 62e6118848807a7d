use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::fs;
use std::io::Write;

const HEADER: &str = "%%MatrixMarket matrix coordinate integer general\n";

fn folder_with(matrix: &[u8], matrix_name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(matrix_name), matrix).unwrap();
    fs::write(
        folder.path().join("genes.tsv"),
        "ENSG1\tA\nENSG2\tB\nENSG3\tA\n",
    )
    .unwrap();
    fs::write(folder.path().join("barcodes.tsv"), "AAA-1\r\nCCC-1\r\n").unwrap();
    folder
}

fn read(matrix: &str) -> Result<CountMatrix> {
    read_10x_mtx(folder_with(matrix.as_bytes(), "matrix.mtx").path())
}

fn refusal(matrix: &str) -> String {
    read(matrix).unwrap_err().to_string()
}

/// The text of a matrix of whole numbers: sizes, then entries.
fn integers(lines: &str) -> String {
    format!("{HEADER}{lines}")
}

/// A folder of three genes and two cells with the matrix of these sizes and entries.
fn folder_of(lines: &str) -> tempfile::TempDir {
    folder_with(integers(lines).as_bytes(), "matrix.mtx")
}

/// Reads a folder whose files are called, and look, as told.
fn read_files(files: &[(&str, &str)], options: &MtxOptions) -> Result<CountMatrix> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    options.read(folder.path())
}

/// Reads a 10x folder of such names, whose matrix of three genes and two cells has the entries 5 and 7.
fn read_named(genes: (&str, &str), barcodes: &str, options: &MtxOptions) -> Result<CountMatrix> {
    let matrix = integers("3 2 2\n1 1 5\n3 2 7\n");
    let files = [
        ("matrix.mtx", matrix.as_str()),
        genes,
        ("barcodes.tsv", barcodes),
    ];
    read_files(&files, options)
}

#[test]
fn a_plain_cell_ranger_2_folder_is_read() {
    let folder = folder_of("%metadata_json: {}\n3 2 4\n3 1 5\n1 1 2\n2 2 7\n1 2 1\n");
    let counts = read_10x_mtx(folder.path()).unwrap();
    assert_eq!(counts.row(0), (&[0u32, 2][..], &[2.0f32, 5.0][..]));
    assert_eq!(counts.row(1), (&[0u32, 1][..], &[1.0f32, 7.0][..]));
    assert_eq!(counts.cell_names(), ["AAA-1", "CCC-1"]);
    assert_eq!(counts.gene_names(), ["A", "B", "A-1"]);
    let ids = MtxOptions::new()
        .with_gene_names(GeneNames::Ids)
        .read(folder.path())
        .unwrap();
    assert_eq!(ids.gene_names(), ["ENSG1", "ENSG2", "ENSG3"]);
}

#[test]
fn a_carriage_return_within_a_line_of_names_is_refused() {
    let folder = folder_of("3 2 1\n1 1 2\n");
    fs::write(folder.path().join("barcodes.tsv"), "AAA-1\rCCC-1\nGGG-1\n").unwrap();
    let message = read_10x_mtx(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("line 1") && message.contains("carriage return"),
        "{message}"
    );
}

#[test]
fn a_size_that_no_list_of_names_can_have_is_refused() {
    let most = u64::MAX;
    for size in [format!("{most} 2 1"), format!("3 {most} 1")] {
        let message = refusal(&format!("{HEADER}{size}\n1 1 2\n"));
        assert!(message.contains(&most.to_string()), "{message}");
    }
}

#[test]
fn entries_in_any_order_and_duplicates_are_read() {
    let sorted = read(&integers("3 2 3\n1 1 2\n3 1 5\n2 2 7\n")).unwrap();
    let shuffled = read(&integers("3 2 4\n2 2 3\n3 1 5\n1 1 2\n2 2 4\n")).unwrap();
    assert_eq!(sorted, shuffled);
}

#[test]
fn blanks_comments_and_line_ends_do_not_matter() {
    let plain = read(&integers("3 2 3\n1 1 2\n3 1 12345678\n2 2 7\n")).unwrap();
    for text in [
        "3 2 3\r\n1 1 2\r\n3 1 12345678\r\n2 2 7\r\n",
        "3 2 3\n 1\t1  2 \n%note\n3 1 12345678\n\n2 2 7",
        "3 2 3\n1 1 2.0\n3 1 12345678.0\n02 0002 7e0\n",
    ] {
        assert_eq!(read(&integers(text)).unwrap(), plain, "{text:?}");
    }
}

#[test]
fn entries_cross_blocks_of_any_length() {
    // Lines of several lengths, several blocks of the reader in all; sums below 2^24 are exact.
    let text: String = (0..40_000u32)
        .map(|entry| {
            format!(
                "{} {} {}\n",
                entry % 3 + 1,
                entry % 2 + 1,
                entry * 997 % 401 + 1
            )
        })
        .collect();
    let counts = read(&format!("{HEADER}3 2 40000\n{text}")).unwrap();
    let sum: f64 = (0..40_000u64)
        .map(|entry| (entry * 997 % 401 + 1) as f64)
        .sum();
    assert_eq!(counts.cell_totals().iter().sum::<f64>(), sum);
}

#[test]
fn pattern_and_real_fields_are_read() {
    let pattern = read("%%MatrixMarket matrix coordinate pattern general\n3 2 1\n2 1\n").unwrap();
    assert_eq!(pattern.row(0), (&[1u32][..], &[1.0f32][..]));
    let real = read("%%matrixmarket MATRIX coordinate real general\n3 2 1\n2 1 2.5e0\n").unwrap();
    assert_eq!(real.values(), [2.5]);
}

#[test]
fn only_gene_expression_is_kept_unless_asked() {
    let folder = folder_of("3 2 3\n1 1 2\n2 1 5\n3 2 7\n");
    fs::remove_file(folder.path().join("genes.tsv")).unwrap();
    let features = "E1\tA\tGene Expression\nP1\tCD3\tAntibody Capture\nE3\tA\tGene Expression\n";
    fs::write(folder.path().join("features.tsv"), features).unwrap();
    let counts = read_10x_mtx(folder.path()).unwrap();
    assert_eq!(counts.gene_names(), ["A", "A-1"]);
    assert_eq!(counts.values(), [2.0, 7.0]);
    let options = MtxOptions::new().with_all_feature_types(true);
    assert_eq!(options.read(folder.path()).unwrap().genes(), 3);
    let options = MtxOptions::new().with_feature_type("Antibody Capture");
    let antibodies = options.read(folder.path()).unwrap();
    assert_eq!(antibodies.gene_names(), ["CD3"]);
    assert_eq!(antibodies.to_dense(), ndarray::array![[5.0], [0.0]]);
    fs::write(
        folder.path().join("features.tsv"),
        "P1\tp\tPeaks\nP2\tq\tPeaks\nP3\tr\tPeaks\n",
    )
    .unwrap();
    let message = read_10x_mtx(folder.path()).unwrap_err().to_string();
    assert!(message.contains("with_all_feature_types"), "{message}");
    assert!(message.contains("there are: \"Peaks\" (3)"), "{message}");
}

#[test]
fn a_genome_folder_and_a_prefix_are_found() {
    let folder = folder_of("3 2 1\n3 1 5\n");
    let plain = read_10x_mtx(folder.path()).unwrap();
    let outer = tempfile::tempdir().unwrap();
    let genome = outer.path().join("hg19");
    fs::create_dir(&genome).unwrap();
    for name in ["matrix.mtx", "genes.tsv", "barcodes.tsv"] {
        fs::copy(folder.path().join(name), genome.join(name)).unwrap();
        fs::rename(
            folder.path().join(name),
            folder.path().join(format!("GSM1_{name}")),
        )
        .unwrap();
    }
    assert_eq!(read_10x_mtx(outer.path()).unwrap(), plain);
    assert_eq!(read_10x_mtx(folder.path()).unwrap(), plain);
}

#[test]
fn malformed_files_are_refused_with_file_and_line() {
    let long = "9".repeat(30);
    for (text, expected) in [
        (String::new(), "line 1: the file is empty"),
        ("1 1 1\n".into(), "line 1: not a MatrixMarket file"),
        (
            "%%MatrixMarket matrix array real general\n3 2\n".into(),
            "\"matrix array real general\"",
        ),
        (
            "%%MatrixMarket matrix coordinate complex general\n".into(),
            "line 1: unsupported",
        ),
        (
            "%%MatrixMarket matrix coordinate integer symmetric\n".into(),
            "line 1: unsupported",
        ),
        (HEADER.into(), "line 2: expected the size line"),
        (integers("% c\n3 2\n"), "line 3: expected the size line"),
        (
            format!("{HEADER}3 2 {long}\n"),
            "line 2: expected the size line",
        ),
        (integers("4 2 0\n"), "genes.tsv names 3"),
        (integers("3 5 0\n"), "barcodes.tsv names 2"),
        (integers("3 2 1\n0 1 1\n"), "line 3: the entry names row 0"),
        (integers("3 2 1\n1 3 1\n"), "outside 1..=3 and 1..=2"),
        (integers("3 2 1\n1 1\n"), "line 3: malformed entry \"1 1\""),
        (integers("3 2 1\n1 1 1 1\n"), "line 3: malformed"),
        (integers("3 2 1\n1 1 x\n"), "line 3: malformed"),
        (integers("3 2 1\n-1 1 2\n"), "line 3: malformed"),
        (integers("3 2 2\n1 1 1\n"), "ends after 1 of the 2"),
        (
            integers("3 2 1\n1 1 1\n2 1 1\n"),
            "line 4: the file holds more",
        ),
        (
            integers("3 2 1\n1 1 -4\n"),
            "negative count -4 at cell 0 (\"AAA-1\"), gene 0 (\"A\")",
        ),
        (
            integers("3 2 1\n3 2 nan\n"),
            "cell 1 (\"CCC-1\"), gene 2 (\"A-1\")",
        ),
    ] {
        let message = refusal(&text);
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn headers_that_lie_reserve_no_memory() {
    // 2^60 entries would be 12 EiB: reaching the message proves that they were not reserved.
    let message = refusal(&integers("3 2 1152921504606846976\n1 1 1\n"));
    assert!(message.contains("ends after 1 of"), "{message}");
    let message = refusal(&integers("1152921504606846976 2 1\n1 1 1\n"));
    assert!(message.contains("names 3"), "{message}");
}

#[test]
fn truncated_and_damaged_gzip_is_refused() {
    let mut text = integers("3 2 6000\n").into_bytes();
    for entry in 0..6000u32 {
        text.extend(format!("{} {} {}\n", entry % 3 + 1, entry % 2 + 1, entry).bytes());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&text).unwrap();
    let whole = encoder.finish().unwrap();
    assert!(read_10x_mtx(folder_with(&whole, "matrix.mtx.gz").path()).is_ok());
    for cut in [0, 5, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        let folder = folder_with(&whole[..cut], "matrix.mtx.gz");
        let message = read_10x_mtx(folder.path()).unwrap_err().to_string();
        assert!(message.contains("matrix.mtx.gz, line"), "{cut}: {message}");
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x55;
    assert!(read_10x_mtx(folder_with(&damaged, "matrix.mtx.gz").path()).is_err());
}

#[test]
fn a_stream_with_more_entries_than_announced_is_stopped() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(integers("3 2 2\n").as_bytes()).unwrap();
    let endless = "1 1 1\n".repeat(1 << 16);
    for _ in 0..64 {
        encoder.write_all(endless.as_bytes()).unwrap();
    }
    let folder = folder_with(&encoder.finish().unwrap(), "matrix.mtx.gz");
    let message = read_10x_mtx(folder.path()).unwrap_err().to_string();
    assert!(message.contains("line 5: the file holds more"), "{message}");
}

#[test]
fn missing_files_are_named() {
    let folder = folder_with(b"", "matrix.mtx");
    fs::remove_file(folder.path().join("barcodes.tsv")).unwrap();
    let message = read_10x_mtx(folder.path()).unwrap_err().to_string();
    assert!(message.contains("barcodes.tsv.gz"), "{message}");
    let message = MtxOptions::new()
        .with_prefix("GSM1_")
        .read(folder.path())
        .unwrap_err()
        .to_string();
    assert!(message.contains("GSM1_matrix.mtx.gz"), "{message}");
}

#[test]
fn features_of_many_forms_are_read() {
    let (names, identifiers) = (["A", "B", "C"], ["E1", "E2", "E3"]);
    for (name, features, symbols, ids) in [
        ("genes.tsv", "A\nB\nC\n", names, names),
        (
            "features.tsv",
            "E1\tA\tGene Expression\nE2\tB\tGene Expression\nE3\tC\tGene Expression\n\n \n",
            names,
            identifiers,
        ),
        // Cell Ranger ARC: where the genes lie.
        (
            "features.tsv",
            "E1\tA\tGene Expression\tchr1\t1\t9\t+\nE2\tB\tGene Expression\tchr1\t1\t9\t+\n\
             E3\tC\tGene Expression\tchr1\t1\t9\t+\n",
            names,
            identifiers,
        ),
        // A third column that is no type, or empty.
        (
            "genes.tsv",
            "E1\tA\t1\nE2\tB\t2\nE3\tC\t3\n",
            names,
            identifiers,
        ),
        (
            "features.tsv",
            "E1\tA\t\nE2\tB\t\nE3\tC\t\n",
            names,
            identifiers,
        ),
        // Symbols that are missing, by which the identifiers stand in.
        (
            "features.tsv",
            "E1\tA\nE2\t\nE3\tC\n",
            ["A", "E2", "C"],
            identifiers,
        ),
        (
            "features.tsv",
            "E1\tA\nE2\nE3\tC\n",
            ["A", "E2", "C"],
            identifiers,
        ),
        (
            "features.tsv",
            "E1\nE2\nE3\tC\n",
            ["E1", "E2", "C"],
            identifiers,
        ),
        (
            "features.tsv",
            "E1\tA\nE2\nE3\n",
            ["A", "E2", "E3"],
            identifiers,
        ),
        (
            "genes.csv",
            "E1,A\nE2\nE3,C\n",
            ["A", "E2", "C"],
            identifiers,
        ),
        (
            "genes.tsv",
            "ENSG00000000001\nENSG00000000002\nENSG00000000003 C\n",
            ["ENSG00000000001", "ENSG00000000002", "C"],
            ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"],
        ),
        // Quotes, row numbers, headers.
        (
            "features.tsv",
            "\"E1\"\t\"A\"\n\"E2\"\t\"B\"\n\"E3\"\t\"C\"\n",
            names,
            identifiers,
        ),
        (
            "genes.tsv",
            "1\tE1\tA\n2\tE2\tB\n3\tE3\tC\n",
            names,
            identifiers,
        ),
        (
            "features.tsv",
            "gene_id\tgene_symbol\tfeature_type\nE1\tA\tGene Expression\nE2\tB\tGene Expression\n\
             E3\tC\tGene Expression\n",
            names,
            identifiers,
        ),
        (
            "genes.csv",
            "\"\",\"gene_name\",\"gene_id\"\n\"1\",\"A\",\"E1\"\n\"2\",\"B\",\"E2\"\n\
             \"3\",\"C\",\"E3\"\n",
            names,
            identifiers,
        ),
        (
            "genes.csv",
            "\"\",\"x\"\n\"1\",\"A\"\n\"2\",\"B\"\n\"3\",\"C\"\n",
            names,
            names,
        ),
        // Blanks between an identifier and a symbol, not within names.
        (
            "genes.tsv",
            "ENSG00000000001 A\nENSG00000000002 B\nENSG00000000003 C\n",
            names,
            ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"],
        ),
        (
            "genes.tsv",
            "gene a\ngene b\ngene c\n",
            ["gene a", "gene b", "gene c"],
            ["gene a", "gene b", "gene c"],
        ),
    ] {
        let read =
            |options: &MtxOptions| read_named((name, features), "AAA-1\nCCC-1\n", options).unwrap();
        let counts = read(&MtxOptions::new());
        assert_eq!(counts.gene_names(), symbols, "{features:?}");
        assert_eq!(counts.row(1), (&[2u32][..], &[7.0f32][..]), "{features:?}");
        let by_id = read(&MtxOptions::new().with_gene_names(GeneNames::Ids));
        assert_eq!(by_id.gene_names(), ids, "{features:?}");
    }
}

#[test]
fn barcodes_of_many_forms_are_read() {
    let genes = ("genes.tsv", "A\nB\nC\n");
    for barcodes in [
        "AAA-1\nCCC-1\n\n\n",
        "\"AAA-1\"\n\"CCC-1\"\n",
        "barcode\nAAA-1\nCCC-1\n",
        "x\nAAA-1\nCCC-1\n",
        "\"x\"\n\"1\"\t\"AAA-1\"\n\"2\"\t\"CCC-1\"\n",
        "1\tAAA-1\n2\tCCC-1\n",
        "AAA-1\tsample 1\nCCC-1\tsample 1\n",
    ] {
        let counts = read_named(genes, barcodes, &MtxOptions::new()).unwrap();
        assert_eq!(counts.cell_names(), ["AAA-1", "CCC-1"], "{barcodes:?}");
    }
}

#[test]
fn a_line_too_many_that_is_no_header_is_named() {
    let genes = ("genes.tsv", "A\nB\nC\n");
    let refused = read_named(genes, "first\nAAA-1\nCCC-1\n", &MtxOptions::new());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("barcodes.tsv names 3"), "{message}");
    assert!(
        message.contains("is its line 1, \"first\", a header?"),
        "{message}"
    );
}

#[test]
fn matrices_of_cells_by_genes_are_read() {
    let expected = ndarray::array![[5.0, 0.0, 0.0], [0.0, 0.0, 7.0]];
    let matrix = integers("2 3 2\n1 1 5\n2 3 7\n");
    let parse = [
        ("DGE.mtx", matrix.as_str()),
        (
            "all_genes.csv",
            "gene_id,gene_name,genome\nE1,A,hg38\nE2,B,hg38\nE3,,hg38\n",
        ),
        (
            "cell_metadata.csv",
            "bc_wells,sample\n01_01_01,x\n01_01_02,x\n",
        ),
    ];
    let counts = read_files(&parse, &MtxOptions::new()).unwrap();
    assert_eq!(counts.to_dense(), expected);
    assert_eq!(counts.gene_names(), ["A", "B", "E3"]);
    assert_eq!(counts.cell_names(), ["01_01_01", "01_01_02"]);
    let kallisto = [
        ("cells_x_genes.mtx", matrix.as_str()),
        ("cells_x_genes.genes.txt", "E1\nE2\nE3\n"),
        ("cells_x_genes.genes.names.txt", "A\n\nC\n"),
        ("cells_x_genes.barcodes.txt", "AAA\nCCC\n"),
    ];
    let counts = read_files(&kallisto, &MtxOptions::new()).unwrap();
    assert_eq!(counts.to_dense(), expected);
    assert_eq!(counts.gene_names(), ["A", "E2", "C"]);
    let ids = MtxOptions::new().with_gene_names(GeneNames::Ids);
    assert_eq!(
        read_files(&kallisto, &ids).unwrap().gene_names(),
        ["E1", "E2", "E3"]
    );
    // As many genes as cells: the program that writes such names decides.
    let square = integers("2 2 1\n1 2 5\n");
    for (files, row) in [
        (
            [
                ("cells_x_genes.mtx", square.as_str()),
                ("cells_x_genes.genes.txt", "E1\nE2\n"),
                ("cells_x_genes.barcodes.txt", "AAA\nCCC\n"),
            ],
            0,
        ),
        (
            [
                ("matrix.mtx", square.as_str()),
                ("genes.tsv", "E1\nE2\n"),
                ("barcodes.tsv", "AAA\nCCC\n"),
            ],
            1,
        ),
    ] {
        let counts = read_files(&files, &MtxOptions::new()).unwrap();
        assert_eq!(counts.row(row).1, [5.0], "{files:?}");
    }
}

#[test]
fn symbols_beside_identifiers_are_those_of_every_gene() {
    let matrix = integers("2 4 1\n1 2 5\n");
    let read = |symbols: &str, options: &MtxOptions| {
        let files = [
            ("cells_x_genes.mtx", matrix.as_str()),
            ("cells_x_genes.genes.txt", "E1\nE2\nE3\nE4\n"),
            ("cells_x_genes.genes.names.txt", symbols),
            ("cells_x_genes.barcodes.txt", "AAA\nCCC\n"),
        ];
        read_files(&files, options)
    };
    for (symbols, expected) in [
        ("A\nB\nC\nD\n", ["A", "B", "C", "D"]),
        ("A\nB\nC\nD\n\n\n", ["A", "B", "C", "D"]),
        // Symbols that are missing: of the first, of the last genes.
        ("\nB\nC\nD\n", ["E1", "B", "C", "D"]),
        ("A\nB\n\n\n", ["A", "B", "E3", "E4"]),
        // With a header.
        ("gene_name\nA\nB\nC\nD\n", ["A", "B", "C", "D"]),
        ("gene_name\nA\nB\nC\n\n", ["A", "B", "C", "E4"]),
        ("gene_name\nA\nB\nC\nD\n\n", ["A", "B", "C", "D"]),
    ] {
        let counts = read(symbols, &MtxOptions::new()).unwrap();
        assert_eq!(counts.gene_names(), expected, "{symbols:?}");
    }
    for (symbols, expected) in [
        ("B\nC\nD\n", "its symbols are 3, but"),
        ("A\nB\n\n", "its symbols are 2, but"),
        ("", "its symbols are 0, but"),
        ("gene_name\nA\nB\nC\n", "its symbols are 3, but"),
        (
            "first\nA\nB\nC\nD\n",
            "its symbols are 5 (is its line 1, \"first\", a header? then remove it), but",
        ),
        ("A\nB\nC\nD\nE\nF\n", "its symbols are 6, but"),
    ] {
        let message = read(symbols, &MtxOptions::new()).unwrap_err().to_string();
        assert!(message.contains(expected), "{symbols:?}: {message}");
        let ids = MtxOptions::new().with_gene_names(GeneNames::Ids);
        let counts = read(symbols, &ids).unwrap();
        assert_eq!(counts.gene_names(), ["E1", "E2", "E3", "E4"]);
    }
}

#[test]
fn one_of_several_matrices_is_chosen() {
    let matrix = |value: u32| format!("{HEADER}3 2 1\n1 1 {value}\n");
    let (spliced, unspliced) = (matrix(5), matrix(7));
    let files = [
        ("spliced.mtx", spliced.as_str()),
        ("unspliced.mtx", unspliced.as_str()),
        ("features.tsv", "A\nB\nC\n"),
        ("barcodes.tsv", "AAA\nCCC\n"),
    ];
    let message = read_files(&files, &MtxOptions::new())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`MtxOptions::with_matrix`: spliced, unspliced"),
        "{message}"
    );
    let options = MtxOptions::new().with_matrix("unspliced");
    assert_eq!(read_files(&files, &options).unwrap().values(), [7.0]);
    let options = MtxOptions::new().with_matrix("velocity");
    let message = read_files(&files, &options).unwrap_err().to_string();
    assert!(message.contains("expected velocity.mtx.gz"), "{message}");
}

#[test]
fn names_the_format_cannot_express_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    for name in ["a\tb", "a\nb", "\"", "\"a\"", ""] {
        let counts = CountMatrix::from_csr(1, 1, vec![0, 0], vec![], vec![])
            .unwrap()
            .with_names(vec!["c".into()], vec![name.into()])
            .unwrap();
        assert!(write_10x_mtx(&target, &counts).is_err(), "{name:?}");
        assert!(!target.exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn writing_and_reading_gives_the_same_matrix(
        (cells, genes, entries) in (1usize..7, 1usize..7).prop_flat_map(|(cells, genes)| {
            let value = prop_oneof![
                (1u32..2_000_000).prop_map(|v| v as f32),
                (1u32..u32::MAX).prop_map(|bits| f32::from_bits(bits % 0x7f80_0000).max(1e-40)),
            ];
            let entry = (0..cells as u32, 0..genes as u32, value);
            (Just(cells), Just(genes), prop::collection::vec(entry, 0..30))
        }),
    ) {
        let mut unique: std::collections::BTreeMap<(u32, u32), f32> = Default::default();
        unique.extend(entries.into_iter().map(|(cell, gene, value)| ((cell, gene), value)));
        let mut dense = ndarray::Array2::zeros((cells, genes));
        for (&(cell, gene), &value) in &unique {
            dense[[cell as usize, gene as usize]] = value;
        }
        let counts = CountMatrix::from_dense(dense.view())
            .unwrap()
            .with_names(
                (0..cells).map(|cell| format!("cell {cell}")).collect(),
                (0..genes).map(|gene| format!("gene\"{gene},")).collect(),
            )
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_10x_mtx(folder.path(), &counts).unwrap();
        prop_assert_eq!(read_10x_mtx(folder.path()).unwrap(), counts);
    }
}

/// alevin-fry in its mode that tells spliced, unspliced and ambiguous molecules apart.
#[test]
fn unspliced_molecules_are_left_out() {
    let matrix = integers("2 6 5\n1 1 1\n1 3 9\n1 5 2\n2 4 7\n2 6 3\n");
    let files = [
        ("quants_mat.mtx", matrix.as_str()),
        (
            "quants_mat_cols.txt",
            "LYZ\nCD3E\nLYZ-U\nCD3E-U\nLYZ-A\nCD3E-A\n",
        ),
        ("quants_mat_rows.txt", "AAACCTGA\nAAACCTGC\n"),
    ];
    let counts = read_files(&files, &MtxOptions::new()).unwrap();
    assert_eq!(counts.gene_names(), ["LYZ", "CD3E"]);
    assert_eq!(counts.to_dense(), ndarray::array![[3.0, 0.0], [0.0, 3.0]]);
}
