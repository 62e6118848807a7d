//! Reading 10x `.h5` matrices of every age; `fixtures/tenx/generate.py` wrote the files.
#![cfg(feature = "h5ad")]

use std::path::PathBuf;

use celldec::Error;
use celldec::counts::CountSource;
use celldec::io::{GeneNames, TenxH5Options, read_10x_h5, read_counts};
use ndarray::{Array2, array, s};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tenx")
        .join(name)
}

fn counts() -> Array2<f32> {
    array![
        [0., 2., 0., 1.],
        [3., 0., 0., 0.],
        [0., 0., 0., 7.],
        [1., 1., 1., 0.],
        [0., 0., 5., 0.]
    ]
}

fn refusal(options: TenxH5Options, name: &str) -> String {
    options.read(fixture(name)).unwrap_err().to_string()
}

#[test]
fn versions_2_and_3_give_the_same_counts() {
    let version_2 = read_10x_h5(fixture("version_2.h5")).unwrap();
    assert_eq!(version_2.to_dense(), counts());
    assert_eq!(version_2.gene_names(), ["A", "B", "A-1", "C"]);
    assert_eq!(version_2.cell_names()[4], "CELL4-1");
    assert_eq!(read_10x_h5(fixture("version_3.h5")).unwrap(), version_2);
    assert_eq!(read_counts(fixture("version_3.h5")).unwrap(), version_2);
    for name in ["version_2.h5", "version_3.h5"] {
        let ids = TenxH5Options::new()
            .with_gene_names(GeneNames::Ids)
            .read(fixture(name))
            .unwrap();
        assert_eq!(ids.gene_names(), ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]);
        assert_eq!(ids.to_dense(), counts());
    }
}

#[test]
fn features_are_chosen_by_type_and_genome() {
    let path = fixture("version_3.h5");
    let antibodies = TenxH5Options::new().with_feature_type("Antibody Capture");
    let found = antibodies.read(&path).unwrap();
    assert_eq!(found.to_dense(), array![[9.], [0.], [8.], [0.], [7.]]);
    let all = TenxH5Options::new().with_all_feature_types(true);
    assert_eq!(all.read(&path).unwrap().genes(), 5);
    let mouse = TenxH5Options::new()
        .with_genome("mm10")
        .read(&path)
        .unwrap();
    assert_eq!(mouse.gene_names(), ["A-1", "C"]);
    assert_eq!(mouse.to_dense(), counts().slice(s![.., 2..]));

    let message = refusal(
        TenxH5Options::new().with_feature_type("Peaks"),
        "version_3.h5",
    );
    assert!(
        message.contains("\"Antibody Capture\" (1), \"Gene Expression\" (4)"),
        "{message}"
    );
    let message = refusal(TenxH5Options::new().with_genome("hg18"), "version_3.h5");
    assert!(message.contains("GRCh38, mm10"), "{message}");
    let message = refusal(antibodies, "version_2.h5");
    assert!(message.contains("hold genes only"), "{message}");
}

#[test]
fn several_genomes_of_version_2_are_refused_until_one_is_chosen() {
    let message = refusal(TenxH5Options::new(), "two_genomes.h5");
    assert!(message.contains("hg19, mm10"), "{message}");
    assert!(message.contains("with_genome"), "{message}");
    let mouse = TenxH5Options::new()
        .with_genome("mm10")
        .read(fixture("two_genomes.h5"))
        .unwrap();
    assert_eq!(mouse.to_dense(), counts() * 2.0);
    let message = refusal(TenxH5Options::new().with_genome("hg18"), "two_genomes.h5");
    assert!(message.contains("there are: hg19, mm10"), "{message}");
}

#[test]
fn other_and_damaged_files_are_errors() {
    let h5ad = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5ad/matrices.h5ad");
    let message = read_10x_h5(h5ad).unwrap_err().to_string();
    assert!(message.contains("not a 10x matrix"), "{message}");
    let message = refusal(TenxH5Options::new(), "hostile.h5");
    assert!(message.contains("at /hg19/barcodes"), "{message}");
    assert!(message.contains("more than a file of"), "{message}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5");
    assert!(matches!(read_10x_h5(&path), Err(Error::Io { .. })));
    for name in ["version_2.h5", "version_3.h5"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for part in 1..16 {
            std::fs::write(&path, &whole[..whole.len() * part / 16]).unwrap();
            assert!(read_10x_h5(&path).is_err(), "{name} cut at {part}/16");
        }
        // A changed byte may go unnoticed, but must never panic or exhaust memory.
        for position in (0..whole.len()).step_by(61) {
            for mask in [0xff, 0x01] {
                let mut changed = whole.clone();
                changed[position] ^= mask;
                std::fs::write(&path, &changed).unwrap();
                let _ = read_10x_h5(&path);
            }
        }
    }
}

/// Whatever is read of a file, part by part it is the same.
#[test]
fn a_file_on_disk_gives_what_one_in_memory_does() {
    let options = || {
        [
            TenxH5Options::new(),
            TenxH5Options::new().with_gene_names(GeneNames::Ids),
            TenxH5Options::new().with_all_feature_types(true),
            TenxH5Options::new().with_feature_type("Antibody Capture"),
            TenxH5Options::new().with_genome("mm10"),
        ]
    };
    let files = [
        ("version_3.h5", &options()[..]),
        ("version_2.h5", &options()[..2]),
    ];
    for (name, options) in files {
        for options in options {
            let whole = options.read(fixture(name)).unwrap();
            let source = options.open(fixture(name)).unwrap();
            assert_eq!(source.cell_names(), whole.cell_names());
            assert_eq!(source.gene_names(), whole.gene_names());
            for window in [0..5, 0..0, 1..4, 4..5] {
                let rows = source.read_window(window.clone()).unwrap();
                assert_eq!((rows.cells(), rows.genes()), (window.len(), whole.genes()));
                for cell in window.clone() {
                    assert_eq!(rows.row(cell - window.start), whole.row(cell), "{name}");
                }
            }
            assert!(source.read_window(4..6).is_err());
        }
    }
    let refused = TenxH5Options::new().with_genome("hg19");
    let message = refused
        .open(fixture("version_3.h5"))
        .unwrap_err()
        .to_string();
    assert_eq!(message, refusal(refused, "version_3.h5"));
}
