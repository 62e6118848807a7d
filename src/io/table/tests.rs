use super::*;
use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

fn read(name: &str, text: &str, options: &TableOptions) -> Result<CountMatrix> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    options.read(path)
}

#[test]
fn headers_with_and_without_a_corner_are_read() {
    let expected = array![[0.0, 2.0], [1.5, 0.0]];
    for (name, text) in [
        ("a.csv", "\u{feff}cell,g1,g2\nc1,0,2\nc2,1.5,0\n"),
        (
            "a.csv",
            "\"\",\"g1\",\"g2\"\r\n\"c1\",\"0\",\"2\"\r\n\"c2\",1.5,0.0\r\n",
        ),
        ("a.tsv", "g1\tg2\nc1\t0\t2\nc2\t1.5\t0\n"),
        ("a.csv", "cell;g1;g2\nc1;0;2\nc2;1.5;0"),
        ("a.txt", "g1 g2\nc1 0 2\nc2 1.5 0\n\n"),
        ("a.csv", "cell, g1,g2 \nc1 , 0, 2\n c2,1.5 ,0\n"),
        (
            "a.csv",
            "gene, symbol,\"c1\", c2\nx, g1,0, 1.5\ny,g2 ,2,0\n",
        ),
    ] {
        let counts = read(name, text, &TableOptions::new()).unwrap();
        assert_eq!(counts.to_dense(), expected, "{text:?}");
        assert_eq!(counts.cell_names(), ["c1", "c2"], "{text:?}");
        assert_eq!(counts.gene_names(), ["g1", "g2"], "{text:?}");
    }
}

#[test]
fn malformed_tables_are_refused_with_file_and_line() {
    for (text, expected) in [
        ("", "counts.csv, line 1: expected a header"),
        ("\n\n#only\n", "line 4: expected a header"),
        ("cell,g1\n", "the table has no rows"),
        (
            "cell,g1,g2\nc1,1,2\nc2,1\n",
            "line 3: found a name and 1 values",
        ),
        (
            "cell,g1,g2\nc1,1,2\nc2,1,2,3\n",
            "line 3: found a name and 3",
        ),
        ("cell,g1,g2\nc1,1,2,3,4\n", "line 2: found a name and 4"),
        (
            "cell,g1,g2\nc1,1,NA\n",
            "line 2: \"NA\" in the column of \"g2\"",
        ),
        (
            "cell,g1,g2\nc1,,1\n",
            "line 2: \"\" in the column of \"g1\"",
        ),
        ("cell,g1\n\"c1,1\n", "line 2: a quoted field"),
        (
            "gene,c1\ng1,1\n__no_feature,9\n__ambiguous,2\n",
            "counters of reads without a gene, as HTSeq, STAR, featureCounts and CITE-seq-Count write them: __no_feature, __ambiguous; remove",
        ),
        (
            "cell,g1,g2\nc1,\"1,234\",2\n",
            "line 2: \"1,234\" in the column of \"g1\" has separators of thousands",
        ),
        (
            "cell;g1;g2\nc1;1,5;2\n",
            "line 2: \"1,5\" in the column of \"g1\" has a comma; write numbers with a decimal point",
        ),
        (
            "cell,nCount_RNA,g1\nc1,3,3\n",
            "line 1: the column \"nCount_RNA\"",
        ),
        (
            "cell,g1,g2\nc1,1,2\n#c2,3,4\n",
            "line 3: is this line a comment? It starts with \"#c2,3,4\"",
        ),
        ("cell,g1,g2\n#c1,1,2\n", "line 2: is this line a comment?"),
        ("cell,CD3E,age\nc1,3,30\n", "line 1: the column \"age\""),
        (
            "patient,CD3E,LYZ\n1,3,3\n1,0,2\n2,4,0\n",
            "line 2: the column \"patient\" is something known of cells",
        ),
        (
            "gene,cell1,cell2\nCD3E,3,0\nage,30,41\n",
            "the line \"age\" is something known of cells and no gene; leave such lines out",
        ),
        (
            "gene,cell1,cell2,exon_length\nCD3E,3,0,1200\n",
            "line 1: the column \"exon_length\" is by its name neither a gene nor a cell",
        ),
        (
            "gene,cell1,entrezgene\nCD3E,3,916\n",
            "line 1: the column \"entrezgene\"",
        ),
        (
            "cell,size,CD3E,LYZ\nc1,31,3,3\n",
            "line 1: the column \"size\"",
        ),
        (
            ",Unnamed: 0,CD3E\nc1,0,3\n",
            "line 1: the column \"Unnamed: 0\"",
        ),
        (
            "cell\nc1\n",
            "no separator divides its lines, such as \"cell\"",
        ),
        (
            "gene_id,gene_name\nENSG1,A\n",
            "names but no columns of counts",
        ),
        (
            ",x1,x2\ny1,1,2\ny2,3,4\n",
            "are its lines cells or genes? Its 2 lines",
        ),
        (
            ",x1,x2\ny1,1,2\ny2,3,4\n",
            "`TableOptions::with_transposed(true)`",
        ),
        (
            "ab,3,1,7\ncd,4,0,2\n",
            "line 1: is this line a header or the first counts?",
        ),
        ("c1,5,NA\nc2,4,1\n", "line 1: is this line a header"),
        (
            "ab,g1,g2\n7,1,2\n5,3,4\n",
            "line 2: are the numbers in its first column names",
        ),
        ("cell,g1,g2\nc1,1,-2\n", "cell 0 (\"c1\"), gene 1 (\"g2\")"),
        ("cell,g1,g2\nc1,inf,2\n", "cell 0 (\"c1\"), gene 0 (\"g1\")"),
    ] {
        let message = read("counts.csv", text, &TableOptions::new())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn repeated_gene_names_become_unique_in_both_orientations() {
    let counts = read("a.csv", "cell,g,g\nx,1,2\n", &TableOptions::new()).unwrap();
    assert_eq!(counts.gene_names(), ["g", "g-1"]);
    let transposed = TableOptions::new().with_transposed(true);
    let counts = read("a.csv", "c,x\ng,1\ng,2\n", &transposed).unwrap();
    assert_eq!(counts.gene_names(), ["g", "g-1"]);
    assert_eq!(counts.row(0), (&[0u32, 1][..], &[1.0f32, 2.0][..]));
}

#[test]
fn lengths_are_checked_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let names = ["a".to_string()];
    let two = ["b".to_string(), "c".to_string()];
    let matrix = array![[1.0f32]];
    assert!(matches!(
        write_matrix_csv(&path, &two, &names, matrix.view()),
        Err(Error::LengthMismatch { .. })
    ));
    assert!(matches!(
        write_columns_csv(&path, &[("x", &names), ("y", &two)]),
        Err(Error::LengthMismatch { .. })
    ));
    assert!(!path.exists());
}

#[test]
fn blocks_make_the_file_of_the_matrix_or_leave_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, path) = (folder.path().join("whole.csv"), folder.path().join("a.csv"));
    let rows = ["a", "b", "c"].map(String::from);
    let columns = ["x", "y"].map(String::from);
    let matrix = array![[1.0f32, 2.5], [-0.5, 0.0], [3.0, 1e-3]];
    write_matrix_csv(&whole, &rows, &columns, matrix.view()).unwrap();
    let (first, rest) = matrix.view().split_at(ndarray::Axis(0), 1);
    write_blocks_csv(&path, &rows, &columns, |write| {
        write(first)?;
        write(rest.slice(ndarray::s![..0, ..]))?;
        write(rest)
    })
    .unwrap();
    let text = std::fs::read(&path).unwrap();
    assert_eq!(text, std::fs::read(&whole).unwrap());

    let refused = |blocks: &[ArrayView2<'_, f32>]| {
        let written = write_blocks_csv(&path, &rows, &columns, |write| {
            blocks.iter().try_for_each(|&block| write(block))
        });
        assert!(matches!(written, Err(Error::LengthMismatch { .. })));
    };
    refused(&[first]);
    refused(&[]);
    refused(&[matrix.view(), first]);
    refused(&[matrix.t()]);
    let ignored = write_blocks_csv(&path, &rows, &columns, |write| {
        let _ = write(matrix.t());
        let _ = write(matrix.view());
        Ok(())
    });
    assert!(matches!(ignored, Err(Error::LengthMismatch { .. })));
    let stopped = write_blocks_csv(&path, &rows, &columns, |write| {
        write(first)?;
        Err(Error::NoDecoder)
    });
    assert!(matches!(stopped, Err(Error::NoDecoder)));
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

fn table() -> impl Strategy<Value = (Array2<f32>, Vec<String>, Vec<String>)> {
    (1usize..6, 1usize..6).prop_flat_map(|(rows, columns)| {
        let value = prop_oneof![
            3 => Just(0.0f32),
            2 => (1u32..100_000_000).prop_map(|v| v as f32),
            1 => (1u32..0x7f80_0000).prop_map(f32::from_bits),
        ];
        let names = |count: usize| {
            prop::collection::vec("[a-z,\"\t ;]{0,3}", count).prop_map(|names| {
                names
                    .into_iter()
                    .enumerate()
                    .map(|(position, name)| format!("{position}{name}"))
                    .collect::<Vec<_>>()
            })
        };
        (
            prop::collection::vec(value, rows * columns)
                .prop_map(move |values| Array2::from_shape_vec((rows, columns), values).unwrap()),
            names(rows),
            names(columns),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn writing_and_reading_gives_the_same_matrix(
        (dense, rows, columns) in table(),
        name in prop::sample::select(vec!["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write_matrix_csv(&path, &rows, &columns, dense.view()).unwrap();
        let told = TableOptions::new().with_header(true).with_row_names(true);
        let counts = told.clone().with_transposed(false).read(&path).unwrap();
        prop_assert_eq!(counts.to_dense(), dense.clone());
        prop_assert_eq!(counts.cell_names(), &rows[..]);
        prop_assert_eq!(counts.gene_names(), &columns[..]);
        let transposed = told.with_transposed(true).read(&path).unwrap();
        prop_assert_eq!(transposed.to_dense(), dense.t());
        prop_assert_eq!(transposed.cell_names(), &columns[..]);
    }
}

/// Two cells and three genes as every table below has them.
fn expected() -> (Array2<f32>, [&'static str; 2], [&'static str; 3]) {
    (
        array![[8.0, 0.0, 3.0], [0.0, 11.0, 1.0]],
        ["ACGTACGTACGT-1", "TTGTACGTACGT-1"],
        ["GAPDH", "CD3E", "LYZ"],
    )
}

#[test]
fn tables_of_many_programs_are_read_whichever_way_they_lie() {
    let (dense, cells, genes) = expected();
    for (name, text) in [
        (
            "cells.csv",
            "cell,GAPDH,CD3E,LYZ\nACGTACGTACGT-1,8,0,3\nTTGTACGTACGT-1,0,11,1\n",
        ),
        (
            "genes.csv",
            ",ACGTACGTACGT-1,TTGTACGTACGT-1\nGAPDH,8,0\nCD3E,0,11\nLYZ,3,1\n",
        ),
        // Drop-seq, with and without its first line.
        (
            "dge.txt",
            "#DGE\tVERSION:1.1\tEXPRESSION_FORMAT:raw\nGENE\tACGTACGTACGT-1\tTTGTACGTACGT-1\n\
             GAPDH\t8\t0\nCD3E\t0\t11\nLYZ\t3\t1\n",
        ),
        // R: write.table, quoted, a header of one field less.
        (
            "r.txt",
            "\"GAPDH\" \"CD3E\" \"LYZ\"\n\"ACGTACGTACGT-1\" 8 0 3\n\"TTGTACGTACGT-1\" 0 11 1\n",
        ),
        // Aligned for reading.
        (
            "aligned.txt",
            "                GAPDH CD3E  LYZ\nACGTACGTACGT-1      8    0    3\n\
             TTGTACGTACGT-1      0   11    1\n",
        ),
        // An identifier and a symbol.
        (
            "both.tsv",
            "gene_id\tgene_name\tACGTACGTACGT-1\tTTGTACGTACGT-1\nENSG00000111640\tGAPDH\t8\t0\n\
             ENSG00000198851\tCD3E\t0\t11\nLYZ\t\t3\t1\n",
        ),
        (
            "entrez.csv",
            "Geneid,entrezgene,width,ACGTACGTACGT-1,TTGTACGTACGT-1\nGAPDH,2597,1310,8,0\n\
             CD3E,916,1361,0,11\nLYZ,4069,1476,3,1\n",
        ),
        // Headers that are marked as comments, comments between lines.
        (
            "marked.txt",
            "#\tACGTACGTACGT-1\tTTGTACGTACGT-1\nGAPDH\t8\t0\n# T cells\nCD3E\t0\t11\nLYZ\t3\t1\n",
        ),
        (
            "marked_r.csv",
            "#ACGTACGTACGT-1,TTGTACGTACGT-1\nGAPDH,8,0\n#CD3E\nCD3E,0,11\nLYZ,3,1\n",
        ),
        // Cells, whose size a program measured.
        (
            "size.csv",
            ",size,GAPDH,CD3E,LYZ\nACGTACGTACGT-1,31,8,0,3\nTTGTACGTACGT-1,40,0,11,1\n",
        ),
        // featureCounts.
        (
            "feature_counts.txt",
            "# Program:featureCounts v2.0.1; Command:\"featureCounts\" \"-a\" \"x.gtf\"\n\
             Geneid\tChr\tStart\tEnd\tStrand\tLength\tACGTACGTACGT-1\tTTGTACGTACGT-1\n\
             GAPDH\tchr12;chr12\t1;5\t3;9\t+;+\t8\t8\t0\nCD3E\tchr11\t1\t9\t+\t9\t0\t11\n\
             LYZ\tchr12\t1\t9\t-\t9\t3\t1\n",
        ),
        // Separators at ends of lines, blank and empty lines, blanks around numbers.
        (
            "trailing.csv",
            "cell,GAPDH,CD3E,LYZ,\nACGTACGTACGT-1,8,0,3,\nTTGTACGTACGT-1, 0, 11 ,1,\n,,,,\n\n  \n",
        ),
        (
            "trailing_lines.csv",
            "cell,GAPDH,CD3E,LYZ\nACGTACGTACGT-1,8,0,3,\nTTGTACGTACGT-1,0,11,1,\n",
        ),
        (
            "mac.csv",
            "cell,GAPDH,CD3E,LYZ\rACGTACGTACGT-1,8,0,3\rTTGTACGTACGT-1,0,11,1\r",
        ),
    ] {
        let counts = read(name, text, &TableOptions::new()).unwrap();
        assert_eq!(counts.gene_names(), genes, "{name}");
        assert_eq!(counts.cell_names(), cells, "{name}");
        assert_eq!(counts.to_dense(), dense, "{name}");
    }
}

#[test]
fn wells_of_a_plate_are_cells_whichever_way_they_lie() {
    let wells: Vec<String> = (b'A'..=b'H')
        .flat_map(|row| (1..=12).map(move |column| format!("{}{column:02}", char::from(row))))
        .collect();
    let unfamiliar = [
        "Sxl", "Dsx", "Tra2", "Fru", "Vasa", "Nos", "Osk", "Bam", "Eya", "Dpp", "Hh", "Wg",
    ];
    let familiar = ["GAPDH", "ACTB", "CD3E", "LYZ"];
    for genes in [&unfamiliar[..], &familiar[..]] {
        let count = |well: usize, gene: usize| ((well * 7 + gene * 5) % 4).to_string();
        let line = |name: &str, counts: Vec<String>| format!("{name},{}\n", counts.join(","));
        let mut of_cells = format!(",{}\n", genes.join(","));
        for (well, name) in wells.iter().enumerate() {
            let counts = (0..genes.len()).map(|gene| count(well, gene)).collect();
            of_cells.push_str(&line(name, counts));
        }
        let mut of_genes = format!(",{}\n", wells.join(","));
        for (gene, name) in genes.iter().enumerate() {
            let counts = (0..wells.len()).map(|well| count(well, gene)).collect();
            of_genes.push_str(&line(name, counts));
        }
        for text in [of_cells, of_genes] {
            let counts = read("plate.csv", &text, &TableOptions::new()).unwrap();
            assert_eq!(counts.cell_names(), wells);
            assert_eq!(counts.gene_names(), genes);
        }
    }
}

#[test]
fn no_cell_and_no_gene_is_lost_without_header_or_names() {
    let (dense, cells, genes) = expected();
    let numbered = ["0", "1", "2"];
    for (text, cells, genes) in [
        (
            "ACGTACGTACGT-1,8,0,3\nTTGTACGTACGT-1,0,11,1\n",
            &cells[..],
            &numbered[..],
        ),
        ("GAPDH,CD3E,LYZ\n8,0,3\n0,11,1\n", &numbered[..2], &genes),
        // A BD Rhapsody table: numbers that are names.
        (
            "##v1\n##v2\nCell_Index,GAPDH,CD3E,LYZ\n734,8,0,3\n98,0,11,1\n",
            &["734", "98"],
            &genes,
        ),
        // pandas: numbered lines without a heading.
        (
            ",GAPDH,CD3E,LYZ\n0,8,0,3\n1,0,11,1\n",
            &numbered[..2],
            &genes,
        ),
    ] {
        let counts = read("a.csv", text, &TableOptions::new()).unwrap();
        assert_eq!(counts.cell_names(), cells, "{text:?}");
        assert_eq!(counts.gene_names(), genes, "{text:?}");
        assert_eq!(counts.to_dense(), dense, "{text:?}");
    }
    // Numbers alone, in which nothing says what is what.
    let told = TableOptions::new()
        .with_header(false)
        .with_row_names(false)
        .with_transposed(false);
    let counts = read("a.csv", "8,0,3\n0,11,1\n", &told).unwrap();
    assert_eq!(counts.to_dense(), dense);
    assert_eq!(counts.gene_names(), numbered);
}

#[test]
fn what_the_caller_says_counts_more_than_names() {
    let text = "cell,GAPDH,LYZ\nACGTACGTACGT-1,8,3\nTTGTACGTACGT-1,0,1\n";
    let told = TableOptions::new().with_transposed(true);
    assert_eq!(
        read("a.csv", text, &told).unwrap().cell_names(),
        ["GAPDH", "LYZ"]
    );
    // Genes of a model tell where names do not.
    let text = "\tx1\tx2\ny1\t1\t2\n";
    let of_lines = TableOptions::new().with_known_genes(["y1", "y2"]);
    assert_eq!(read("a.tsv", text, &of_lines).unwrap().gene_names(), ["y1"]);
    let of_columns = TableOptions::new().with_known_genes(["x1", "x2"]);
    assert_eq!(
        read("a.tsv", text, &of_columns).unwrap().cell_names(),
        ["y1"]
    );
    let semicolons = TableOptions::new().with_separator(b';');
    let counts = read("a.csv", "cell;g,1;g,2\nc1;1;2\n", &semicolons).unwrap();
    assert_eq!(counts.gene_names(), ["g,1", "g,2"]);
}

#[test]
fn encodings_do_not_matter() {
    let text = "cell,GAPDH,LYZ\nZelle_1ß,8,3\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.csv");
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(to_bytes)
            .collect()
    };
    for bytes in [
        text.as_bytes().to_vec(),
        format!("\u{feff}{text}").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let counts = read_table(&path).unwrap();
        assert_eq!(counts.cell_names(), ["Zelle_1ß"]);
        assert_eq!(counts.values(), [8.0, 3.0]);
    }
}
