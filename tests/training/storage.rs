//! Saved models: loading gives the same bits, damaged files give typed errors and stay untouched.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use celldec::metrics;
use celldec::model::{FittedModel, ModelInfo};
use celldec::nn::{Dispersion, NbHead, NbHeadConfig, ReconstructionHead};
use celldec::prelude::*;
use flate2::Crc;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

use crate::{cpu, desc, fitted, scdcc, simulated};

fn saved_scdcc(folder: &TempDir) -> (PathBuf, ScdccModel, Cells) {
    let (cells, _) = simulated(40, 20, 1);
    let model = fitted(&scdcc(3).with_epochs(2, 1), &cells).into_model();
    let path = folder.path().join("model.celldec");
    model.save(&path).unwrap();
    (path, model, cells)
}

fn check_round_trip<H: ReconstructionHead>(model: &FittedModel<H>, cells: &Cells) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.celldec");
    model.save(&path).unwrap();
    let loaded = FittedModel::<H>::load(&path, &cpu()).unwrap();
    assert_eq!(loaded.embed(cells).unwrap(), model.embed(cells).unwrap());
    assert_eq!(loaded.assign(cells).unwrap(), model.assign(cells).unwrap());
    assert_eq!(loaded.denoise(cells).ok(), model.denoise(cells).ok());
    assert_eq!(loaded.info(), model.info());
    assert_eq!(loaded.preprocessing(), model.preprocessing());
    assert_eq!(loaded.centroids(), model.centroids());
    // A name that says gzip changes nothing.
    let compressed = folder.path().join("model.gz");
    model.save(&compressed).unwrap();
    FittedModel::<H>::load(&compressed, &cpu()).unwrap();
    fs::remove_file(compressed).unwrap();
    // A second save replaces the file by equal bytes; nothing else is left in the folder.
    let before = fs::read(&path).unwrap();
    loaded.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    FittedModel::<H>::load(&path, &cpu()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn loading_gives_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let (_, model, cells) = saved_scdcc(&folder);
    check_round_trip(&model, &cells);
    check_round_trip(fitted(&desc(), &cells).model(), &cells);
    for dispersion in [Dispersion::PerGene, Dispersion::PerCellAndGene] {
        let head = NbHeadConfig::new().with_dispersion(dispersion);
        let plan = scdcc(3)
            .with_epochs(8, 1)
            .with_reconstruction(NbLoss::new(), head);
        check_round_trip(fitted(&plan, &cells).model(), &cells);
    }
}

fn load_error(path: &Path) -> Error {
    let before = fs::read(path).ok();
    let error = ScdccModel::load(path, &cpu()).expect_err("a damaged file");
    assert_eq!(fs::read(path).ok(), before, "the file is not touched");
    error
}

#[test]
fn a_missing_file_is_an_io_error_with_its_path() {
    let error = load_error(Path::new("/nowhere/model.celldec"));
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/model.celldec"));
}

/// Fault 29: a file cut anywhere.
#[test]
fn truncated_files_are_refused() {
    let folder = TempDir::new().unwrap();
    let (path, ..) = saved_scdcc(&folder);
    let whole = fs::read(&path).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    for length in [
        0,
        1,
        7,
        8,
        9,
        header / 2,
        header - 1,
        header,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = load_error(&path);
        assert!(matches!(error, Error::Model { .. }), "{length}: {error}");
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.celldec");
    let garbage: Vec<u8> = (0..4096u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let tensors =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/g_tiny_desc.safetensors");
    for content in [
        garbage,
        b"{}".to_vec(),
        vec![0xff; 64],
        fs::read(tensors).unwrap(),
    ] {
        fs::write(&path, content).unwrap();
        let error = load_error(&path);
        assert!(matches!(error, Error::Model { .. }), "{error}");
    }
}

/// Replaces text of the file's header by text of the same length.
fn replace(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let place = bytes
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .unwrap_or_else(|| panic!("no {old} in the file"));
    let mut changed = bytes.to_vec();
    changed[place..place + old.len()].copy_from_slice(new.as_bytes());
    changed
}

/// The metadata of a model's file, which is its description.
fn description(bytes: &[u8]) -> String {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    header.metadata().as_ref().unwrap()["celldec"].clone()
}

const CHECKSUM: &str = "{\"checksum\":\"";

/// A changed file with the checksum of its new content, as one that was written so.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let text = description(bytes);
    let (checksum, members) = text
        .strip_prefix(CHECKSUM)
        .and_then(|rest| rest.split_once("\","))
        .expect("a checksum");
    let mut crc = Crc::new();
    crc.update(format!("{{{members}").as_bytes());
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    for (name, tensor) in &tensors {
        crc.update(name.as_bytes());
        crc.update(tensor.data());
    }
    replace(bytes, checksum, &format!("{:08x}", crc.sum()))
}

/// Whoever changed the description also made its checksum anew, as another program might.
#[test]
fn descriptions_that_cannot_be_used_are_refused() {
    let folder = TempDir::new().unwrap();
    let (path, ..) = saved_scdcc(&folder);
    let whole = fs::read(&path).unwrap();
    let q = "\\\"";
    for (old, new, reason) in [
        (
            format!("{q}format{q}:2"),
            format!("{q}format{q}:7"),
            "newer version",
        ),
        (format!("{q}counts{q}"), format!("{q}zonked{q}"), "zonked"),
        (
            format!("{q}clusters{q}:3"),
            format!("{q}clusters{q}:0"),
            "impossible network",
        ),
        (
            format!("{q}clusters{q}:3"),
            format!("{q}clusters{q}:4"),
            "clustering.centroids",
        ),
        (
            format!("{q}widths{q}:[16,6]"),
            format!("{q}widths{q}:[16,0]"),
            "impossible network",
        ),
        (
            format!("{q}widths{q}:[16,6]"),
            format!("{q}widths{q}:[16,7]"),
            "impossible decoder",
        ),
        (
            format!("{q}widths{q}:[16,6]"),
            format!("{q}widths{q}:[99,6]"),
            "encoder.layers.0",
        ),
        (
            format!("{q}genes{q}:20"),
            format!("{q}genes{q}:21"),
            "its preprocessing returns 20",
        ),
        (
            format!("{q}architecture{q}"),
            format!("{q}architectura{q}"),
            "architecture",
        ),
        (
            "centroids".into(),
            "centroidz".into(),
            "clustering.centroids",
        ),
    ] {
        let changed = replace(&whole, &old, &new);
        fs::write(&path, &changed).unwrap();
        let error = load_error(&path);
        assert!(matches!(error, Error::Model { .. }), "{new}: {error}");
        fs::write(&path, resealed(&changed)).unwrap();
        let error = load_error(&path);
        assert!(matches!(error, Error::Model { .. }), "{new}: {error}");
        assert!(error.to_string().contains(reason), "{new}: {error}");
    }
}

/// The default network has a linear skip and one output a gene.
#[test]
fn a_model_with_the_default_network_survives() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model");
    let (cells, groups) = simulated(150, 60, 9);
    let fit = fitted(&Plan::scdcc(3).with_seed(2), &cells);
    let agreement = metrics::adjusted_rand_index(&groups, fit.clusters().labels()).unwrap();
    assert!(agreement > 0.9, "{agreement}");
    fit.model().save(&path).unwrap();
    let model = ScdccModel::load(&path, &cpu()).unwrap();
    assert_eq!(model.assign(&cells).unwrap(), *fit.clusters());
    assert_eq!(model.embed(&cells).unwrap(), *fit.embedding());
    assert_eq!(
        model.denoise(&cells).unwrap(),
        fit.model().denoise(&cells).unwrap()
    );
}

#[test]
fn a_model_of_another_head_is_refused() {
    let folder = TempDir::new().unwrap();
    let (path, ..) = saved_scdcc(&folder);
    let error = FittedModel::<NbHead>::load(&path, &cpu()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Model { .. }), "{text}");
    assert!(text.contains("counts") && text.contains("nb"), "{text}");
    DescModel::load(&path, &cpu()).expect_err("a DESC model has another head");
}

#[test]
fn weights_that_are_not_numbers_are_refused() {
    let folder = TempDir::new().unwrap();
    let (path, ..) = saved_scdcc(&folder);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = load_error(&path);
    assert!(error.to_string().contains("checksum"), "{error}");
    fs::write(&path, resealed(&bytes)).unwrap();
    let error = load_error(&path);
    assert!(error.to_string().contains("NaN"), "{error}");
}

/// One flipped bit anywhere in a file: it is refused with a typed error, or the model computes what
/// it did before. Never a panic, never another model.
#[test]
fn damaged_files_are_refused_or_harmless() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(30, 12, 1);
    let plan = scdcc(2).with_widths([4, 2]).with_epochs(1, 1);
    let path = folder.path().join("model.celldec");
    let model = fitted(&plan, &cells).into_model();
    model.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let evaluation = model.evaluate(&cells).unwrap();
    let denoised = model.denoise(&cells).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    // Places next to each other have different bits of theirs flipped.
    let in_header = (0..header).step_by(5);
    let in_tensors = (header..whole.len()).step_by(11);
    let places = in_header.chain(in_tensors);
    let (mut damaged, mut harmless) = (0, 0);
    for place in places {
        damaged += 1;
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, bytes).unwrap();
        match ScdccModel::load(&path, &cpu()) {
            Ok(loaded) => {
                let found = loaded.evaluate(&cells).unwrap();
                assert_eq!(found.embedding, evaluation.embedding, "{place}");
                assert_eq!(found.soft_assignments, evaluation.soft_assignments);
                assert_eq!(loaded.denoise(&cells).unwrap(), denoised, "{place}");
                harmless += 1;
            }
            Err(error) => assert!(matches!(error, Error::Model { .. }), "{place}: {error}"),
        }
    }
    // Nearly everything is under the checksum.
    assert!(
        damaged > 500 && harmless * 50 < damaged,
        "{harmless} of {damaged}"
    );
}

/// A file of the first format, which has no checksum, is read; one of a later format that has lost
/// its own is not.
#[test]
fn only_files_of_the_first_format_have_no_checksum() {
    let folder = TempDir::new().unwrap();
    let (path, model, cells) = saved_scdcc(&folder);
    let whole = fs::read(&path).unwrap();
    let text = description(&whole);
    let members = text
        .strip_prefix(CHECKSUM)
        .and_then(|rest| rest.split_once("\","))
        .map(|(_, members)| members.to_string())
        .expect("a checksum");
    let file = SafeTensors::deserialize(&whole).unwrap();
    let write = |description: String| {
        let metadata = HashMap::from([("celldec".to_string(), description)]);
        let bytes = safetensors::serialize(file.tensors(), Some(metadata)).unwrap();
        fs::write(&path, bytes).unwrap();
    };

    // What covariates brought to the description is not in the first format.
    let first = format!("{{{members}")
        .replace("\"format\":2", "\"format\":1")
        .replace(",\"covariates\":0", "");
    assert_ne!(first, format!("{{{members}"));
    write(first);
    let loaded = ScdccModel::load(&path, &cpu()).unwrap();
    assert_eq!(loaded.embed(&cells).unwrap(), model.embed(&cells).unwrap());
    assert_eq!(
        loaded.assign(&cells).unwrap(),
        model.assign(&cells).unwrap()
    );
    assert_eq!(
        loaded.denoise(&cells).unwrap(),
        model.denoise(&cells).unwrap()
    );
    assert_eq!(ModelInfo::read(&path).unwrap(), *model.info());

    write(format!("{{{members}"));
    let error = load_error(&path);
    assert!(matches!(error, Error::Model { .. }), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
}

/// Two saves of one model, and the saves of two equal fits, are equal files.
#[test]
fn equal_models_are_equal_files() {
    let folder = TempDir::new().unwrap();
    let (path, model, cells) = saved_scdcc(&folder);
    let again = folder.path().join("again");
    model.save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    let fit = fitted(&scdcc(3).with_epochs(2, 1), &cells);
    fit.model().save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    let other = fitted(&scdcc(3).with_epochs(2, 1).with_seed(4), &cells);
    other.model().save(&again).unwrap();
    assert_ne!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
}

/// Fault 32 where a test can make it: no folder to write to. The old file stays.
#[test]
fn saving_where_one_cannot_is_an_io_error() {
    let folder = TempDir::new().unwrap();
    let (path, model, _) = saved_scdcc(&folder);
    let before = fs::read(&path).unwrap();
    let error = model
        .save(folder.path().join("missing/model.celldec"))
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let error = model.save(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Weight files of the original, cut or damaged anywhere: an error with the path, never a panic.
#[cfg(feature = "pytorch")]
#[test]
fn damaged_weight_files_of_the_original_are_refused() {
    use celldec::model::read_scdcc_weights;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.pth.tar");
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/d_tiny_FTcheckpoint_1.pth.tar");
    let whole = fs::read(source).unwrap();
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read_scdcc_weights(&path, &cpu()).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{length}: {error}");
    }
    for place in (0..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        if let Err(error) = read_scdcc_weights(&path, &cpu()) {
            assert!(matches!(error, Error::Format { .. }), "{place}: {error}");
        }
    }
    let error = read_scdcc_weights(folder.path(), &cpu()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
