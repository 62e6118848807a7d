//! What readers allocate, at most 64 MB and four times what a file honestly holds, whatever it claims;
//! and what fits allocate, as their plans say before.
//!
//! An allocator counts every byte that lives at a time. Hostile files of up to 300 KB are made here;
//! the test prints a table of the most that each of them took. Honest files must be read, in at most
//! the same multiple of what comes out of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use celldec::io::{
    MtxOptions, TableOptions, read_10x_mtx, read_labels, read_table, write_10x_mtx,
    write_matrix_csv,
};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::train::DataSize;
use flate2::Compression;
use flate2::write::GzEncoder;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grew(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may live beside each other while one is copied to the other.
        grew(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FREE_BYTES: usize = 64 << 20;
const FACTOR: usize = 4;

/// The most that lived at a time beyond what lived before.
fn peak_of<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = read();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// What is measured, one line of the table for every file.
struct Measured {
    folder: tempfile::TempDir,
    worst: Vec<(&'static str, Worst)>,
}

/// The file of a format that took most.
struct Worst {
    bytes: usize,
    peak: usize,
}

impl Measured {
    fn new() -> Self {
        println!(
            "{:<44} {:>9} {:>10} {:>8}",
            "file", "bytes", "peak", "x file"
        );
        Self {
            folder: tempfile::tempdir().unwrap(),
            worst: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads a hostile file, which may succeed or be refused.
    fn hostile<T>(
        &mut self,
        format: &'static str,
        what: &str,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, Error>,
    ) {
        let bytes = size_of_all(path);
        assert!(bytes < 400_000, "{what}: {bytes} bytes are not small");
        let (result, peak) = peak_of(|| read(path).map(|_| ()));
        let factor = peak as f64 / bytes as f64;
        let outcome = match &result {
            Ok(()) => "read".to_string(),
            Err(error) => error
                .to_string()
                .chars()
                .skip_while(|&c| c != ',' && c != ':')
                .collect(),
        };
        println!(
            "{:<44} {bytes:>9} {peak:>10} {factor:>8.1}  {}",
            format!("{format}: {what}"),
            outcome.chars().take(120).collect::<String>()
        );
        assert!(
            peak <= FREE_BYTES + FACTOR * bytes,
            "{format}, {what}: {peak} bytes for a file of {bytes}"
        );
        if let Err(error) = &result {
            assert!(error.to_string().len() < 2000, "{what}: a message too long");
        }
        match self.worst.iter_mut().find(|(name, _)| *name == format) {
            Some((_, worst)) if worst.peak >= peak => {}
            Some((_, worst)) => *worst = Worst { bytes, peak },
            None => self.worst.push((format, Worst { bytes, peak })),
        }
    }

    /// Reads an honest file, which must succeed.
    fn honest(&self, format: &str, path: &Path, read: impl FnOnce(&Path) -> CountMatrix) {
        let bytes = size_of_all(path);
        let (counts, peak) = peak_of(|| read(path));
        let names: usize = counts
            .cell_names()
            .iter()
            .chain(counts.gene_names())
            .map(|name| size_of::<String>() + name.capacity())
            .sum();
        let result = counts.stored() * 8 + counts.offsets().len() * 8 + names;
        println!(
            "{:<44} {bytes:>9} {peak:>10} {:>8.1}  read, {:.1} x the result",
            format!("{format}: honest"),
            peak as f64 / bytes as f64,
            peak as f64 / result as f64
        );
        assert!(
            peak <= FREE_BYTES + FACTOR * result,
            "{format}: {peak} for a result of {result}"
        );
    }
}

impl Measured {
    /// The table of formats: to the log, also when the test passes.
    fn print(&self) {
        let mut output = std::io::stdout().lock();
        let mut line = |text: String| writeln!(output, "{text}").unwrap();
        line(String::new());
        line("the most that hostile files of up to 400 KB took".into());
        line(format!(
            "{:<16} {:>8} {:>10} {:>10} {:>12}",
            "format", "bytes", "peak", "x file", "of allowed"
        ));
        for (format, Worst { bytes, peak }) in &self.worst {
            line(format!(
                "{format:<16} {bytes:>8} {peak:>10} {:>10.0} {:>11.0}%",
                *peak as f64 / *bytes as f64,
                100.0 * *peak as f64 / (FREE_BYTES + FACTOR * bytes) as f64
            ));
        }
    }
}

fn size_of_all(path: &Path) -> usize {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries
            .map(|entry| size_of_all(&entry.unwrap().path()))
            .sum();
    }
    fs::metadata(path).unwrap().len() as usize
}

/// Writes a gzip file of `start`, then `block` again and again up to so many bytes, then `end`.
fn gzip(path: &Path, start: &str, block: &str, bytes: usize, end: &str) {
    let mut encoder = GzEncoder::new(fs::File::create(path).unwrap(), Compression::best());
    encoder.write_all(start.as_bytes()).unwrap();
    let many = block.repeat((1 << 16) / block.len() + 1);
    let mut left = bytes / many.len();
    while left > 0 {
        encoder.write_all(many.as_bytes()).unwrap();
        left -= 1;
    }
    encoder.write_all(end.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

/// What text may grow to before it is refused as such, so that memory is what is at stake.
const MOST_TEXT: usize = 60 << 20;

fn tables(measured: &mut Measured) {
    let transposed = |path: &Path| TableOptions::new().with_transposed(true).read(path);
    let path = measured.path("table.csv.gz");
    for (what, start, block) in [
        ("many tiny rows", "x,a\n", ",0\n"),
        ("many tiny rows with counts", "x,a\n", ",1\n"),
        ("many tiny rows without columns", "x\ny\n", "1\n"),
        ("many columns", "", ","),
        ("many columns of one name", "x", ",g"),
        ("many quoted columns", "x", ",\"\""),
        ("one long name", "", "n"),
        ("a long line of counts", "x,a\n", ",1"),
        ("bytes that are no text", "x,a\n", "\u{0}\u{7f}"),
    ] {
        gzip(&path, start, block, MOST_TEXT, "\n");
        measured.hostile("csv.gz", what, &path, |path| read_table(path));
        measured.hostile("csv.gz", what, &path, transposed);
    }
    // As long a line as there is room for.
    gzip(&path, "cell,a,b\n", ",0", 16 << 20, "\n");
    measured.hostile("csv.gz", "a first row of many counts", &path, |path| {
        read_table(path)
    });
    let columns: String = (0..1000).map(|gene| format!(",g{gene}")).collect();
    let row = format!("c{}\n", ",1".repeat(1000));
    gzip(&path, &format!("x{columns}\n"), &row, MOST_TEXT, "");
    measured.hostile("csv.gz", "a full table", &path, |path| read_table(path));
    measured.hostile("csv.gz", "a full table", &path, transposed);
    // Plain text holds what it holds, so only small files can ask for much.
    let plain = measured.path("table.csv");
    for (what, start, block) in [
        ("many tiny rows", "x,a\n", ",1\n"),
        ("many columns", "", ","),
    ] {
        fs::write(&plain, format!("{start}{}", block.repeat(100_000))).unwrap();
        measured.hostile("csv", what, &plain, |path| read_table(path));
        measured.hostile("csv", what, &plain, transposed);
    }
}

fn labels(measured: &mut Measured) {
    let path = measured.path("labels.csv.gz");
    for (what, start, block) in [
        ("many tiny rows", "c,l\n", ",\n"),
        ("many quoted rows", "c,l\n", "\"\",\"\"\n"),
        ("many columns", "", ","),
        ("a row of many columns", "c,l\n", ","),
        ("one long label", "c,l\nx,", "l"),
        ("one long quoted label", "c,l\nx,\"", "\"\""),
    ] {
        gzip(&path, start, block, MOST_TEXT, "\n");
        measured.hostile("labels.gz", what, &path, |path| {
            read_labels(path, Some("l"))
        });
    }
}

fn mtx(measured: &mut Measured) {
    let folder = measured.path("mtx");
    fs::create_dir(&folder).unwrap();
    let banner = "%%MatrixMarket matrix coordinate integer general\n";
    let sound = |name: &str, text: &str| {
        gzip(&folder.join(name), text, "x", 0, "");
    };
    let all_sound = || {
        sound("barcodes.tsv.gz", "c1\nc2\n");
        sound("features.tsv.gz", "g1\ng2\n");
        sound("matrix.mtx.gz", &format!("{banner}2 2 1\n1 1 1\n"));
    };
    for (what, file, start, block) in [
        ("many barcodes", "barcodes.tsv.gz", "", "c\n"),
        ("one long barcode", "barcodes.tsv.gz", "", "c"),
        ("many genes", "features.tsv.gz", "", "g\n"),
        ("many gene types", "features.tsv.gz", "", "g\tg\tt\n"),
        ("one long type", "features.tsv.gz", "g\tg\t", "t"),
        ("a long comment", "matrix.mtx.gz", banner, "%"),
    ] {
        all_sound();
        gzip(&folder.join(file), start, block, MOST_TEXT, "\n");
        measured.hostile("mtx", what, &folder, |path| read_10x_mtx(path));
        measured.hostile("mtx", what, &folder, |path| {
            MtxOptions::new().with_all_feature_types(true).read(path)
        });
    }
    for (what, entry) in [
        ("many entries", "1 1 1\n"),
        ("entries to sort", "2 2 1\n1 1 1\n"),
    ] {
        for claimed in [10_000_000u64, u64::MAX] {
            all_sound();
            let start = format!("{banner}2 2 {claimed}\n");
            gzip(&folder.join("matrix.mtx.gz"), &start, entry, MOST_TEXT, "");
            measured.hostile("mtx", what, &folder, |path| read_10x_mtx(path));
        }
    }
    // The header agrees with the names, and both are many.
    let cells = 1_500_000;
    sound("barcodes.tsv.gz", &"c\n".repeat(cells));
    sound("matrix.mtx.gz", &format!("{banner}2 {cells} 1\n1 1 1\n"));
    measured.hostile("mtx", "cells without counts", &folder, |path| {
        read_10x_mtx(path)
    });
}

/// Models whose description asks for more than their weights are.
fn models(measured: &mut Measured) {
    use celldec::model::ModelInfo;
    use celldec::prelude::*;

    let path = measured.path("model");
    let simulation = SimulationConfig::new(30, 40)
        .with_seed(1)
        .simulate()
        .unwrap();
    let cells = Preprocess::scdcc().fit(&simulation.counts).unwrap();
    let plan = Plan::scdcc(2).with_widths([4, 2]).with_epochs(1, 1);
    let device = Device::default();
    let fit = plan.trainer(&device).unwrap().fit(&cells).unwrap();
    fit.model().save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let read = |path: &Path| {
        ModelInfo::read(path)?;
        ScdccModel::load(path, &Device::default())
    };
    measured.hostile("model", "sound", &path, read);
    // Of the first format, which has no checksum that would hide what follows.
    let text = String::from_utf8_lossy(&whole[8..]).into_owned();
    let start = text.find("{\\\"checksum").unwrap();
    let format = text.find("\\\"format\\\":2").unwrap();
    let header = usize::from_le_bytes(whole[..8].try_into().unwrap());
    for (what, from, to) in [
        (
            "wide layers",
            "\\\"widths\\\":[4,2]",
            "\\\"widths\\\":[4,200000000]",
        ),
        (
            "many clusters",
            "\\\"clusters\\\":2",
            "\\\"clusters\\\":2000000000",
        ),
        ("many genes", "\\\"genes\\\":", "\\\"genes\\\":99999999"),
    ] {
        let members = &text[format..header].replacen("\\\"format\\\":2", "\\\"format\\\":1", 1);
        let changed = format!("{}{{{}", &text[..start], members.replacen(from, to, 1));
        let mut bytes = (changed.len() as u64).to_le_bytes().to_vec();
        bytes.extend(changed.as_bytes());
        bytes.extend(&whole[8 + header..]);
        fs::write(&path, bytes).unwrap();
        measured.hostile("model", what, &path, read);
    }
}

fn honest_counts() -> CountMatrix {
    let (cells, genes) = (3000, 1200);
    let (mut offsets, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for cell in 0..cells {
        for gene in 0..genes {
            let mixed = (cell * 7919 + gene * 104_729) % 1009;
            if mixed < 300 {
                indices.push(gene as u32);
                values.push((1 + mixed % 7) as f32);
            }
        }
        offsets.push(indices.len());
    }
    let names = |count: usize, of: &str| (0..count).map(|i| format!("{of}{i}")).collect();
    CountMatrix::from_csr(cells, genes, offsets, indices, values)
        .unwrap()
        .with_names(names(cells, "AAACCTGAG"), names(genes, "GENE"))
        .unwrap()
}

fn honest(measured: &Measured) {
    let counts = honest_counts();
    let folder = measured.path("honest");
    write_10x_mtx(&folder, &counts).unwrap();
    measured.honest("mtx", &folder, |path| read_10x_mtx(path).unwrap());
    for name in ["honest.csv", "honest.csv.gz"] {
        let path = measured.path(name);
        let dense = counts.to_dense();
        write_matrix_csv(
            &path,
            counts.cell_names(),
            counts.gene_names(),
            dense.view(),
        )
        .unwrap();
        drop(dense);
        measured.honest(name, &path, |path| read_table(path).unwrap());
    }
    // Names that compress best, in a folder of many cells.
    let cells = 1_000_000;
    let path = measured.path("labels.csv.gz");
    let mut encoder = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::best());
    writeln!(encoder, "cell,label").unwrap();
    for cell in 0..cells {
        writeln!(encoder, "cell{cell},0").unwrap();
    }
    encoder.finish().unwrap();
    assert_eq!(read_labels(&path, None).unwrap().len(), cells);
    #[cfg(feature = "h5ad")]
    {
        use celldec::io::{AnnotatedCounts, read_counts, write_h5ad};
        let path = measured.path("honest.h5ad");
        write_h5ad(&path, &AnnotatedCounts::new(counts)).unwrap();
        measured.honest("h5ad", &path, |path| read_counts(path).unwrap());
    }
}

/// Tests wait for each other: allocations of others would be counted, too.
static ALONE: Mutex<()> = Mutex::new(());

/// What a plan says of the memory of its fit, beside what the fit holds at a time: counts and the rest of
/// the prepared cells, and what is allocated while it trains.
fn fit<H: ReconstructionHead>(what: &str, cells: usize, genes: usize, plan: &Plan<H>) {
    let counts = SimulationConfig::new(cells, genes)
        .with_groups(3)
        .with_differential_expression(0.3, 1.0, 0.7)
        .simulate()
        .unwrap()
        .counts;
    let before = LIVE.load(Ordering::Relaxed);
    let cells = Preprocess::scdcc().fit(&counts).unwrap();
    let prepared = LIVE.load(Ordering::Relaxed) - before;
    let trainer = plan.trainer(&Device::default()).unwrap();
    let (_, peak) = peak_of(|| {
        // Before the first phase a block is asked for that is never touched.
        let mut is_first = true;
        let begin = |_: &Event<'_>| {
            if std::mem::take(&mut is_first) {
                PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        trainer.fit_observed(&cells, &mut { begin }).unwrap()
    });
    let held = (prepared + peak) as f64;
    let memory = plan.memory(&DataSize::of(&cells));
    let said = (memory.counts + memory.network + memory.cells) as f64;
    println!(
        "{what:<40} {:>7.1} MB held, {:>7.1} MB said, {:.2}",
        held / 1e6,
        said / 1e6,
        said / held
    );
    assert!(
        said < 1.5 * held && held < 1.5 * said,
        "{what}: {said} of {held}"
    );
    let limited = trainer.with_memory_limit(memory.peak() - 1);
    let error = limited.fit(&cells).unwrap_err().into_parts().0;
    assert!(matches!(error, Error::InsufficientMemory { .. }), "{error}");
}

#[test]
fn fits_hold_what_their_plans_say() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    fit(
        "scDCC, 300 cells × 1000 genes",
        300,
        1000,
        &Plan::scdcc(3).with_epochs(1, 1),
    );
    fit(
        "scDCC as published, 300 cells × 1000 genes",
        300,
        1000,
        &Plan::scdcc_reference(3).with_epochs(1, 1),
    );
    fit(
        "DESC, 300 cells × 1000 genes",
        300,
        1000,
        &Plan::desc().with_epochs(1, 1),
    );
    let small = |plan: Plan<CountHead>| plan.with_widths([16, 16]).with_epochs(1, 1);
    fit(
        "scDCC, 20 000 cells × 60 genes",
        20_000,
        60,
        &small(Plan::scdcc(3)),
    );
    fit(
        "scDCC at a resolution, 20 000 cells × 60 genes",
        20_000,
        60,
        &small(Plan::scdcc_at_resolution(0.5)),
    );
    // Neighbours are found within lists; a start of many restarts would take long.
    let start = CentroidStart::KMeans(KMeansConfig::new(3).with_restarts(2));
    fit(
        "scDCC, 60 000 cells × 40 genes",
        60_000,
        40,
        &small(Plan::scdcc(3)).with_start(start),
    );
}

#[test]
fn readers_stay_within_their_budget() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut measured = Measured::new();
    tables(&mut measured);
    labels(&mut measured);
    mtx(&mut measured);
    #[cfg(feature = "h5ad")]
    hdf5::files(&mut measured);
    models(&mut measured);
    #[cfg(feature = "pytorch")]
    weights::files(&mut measured);
    honest(&measured);
    measured.print();
}

#[cfg(feature = "h5ad")]
mod hdf5 {
    use super::*;
    use celldec::io::{CountFormat, H5adOptions, read_10x_h5, read_h5ad};
    use hdf5_pure::{AttrValue, DatasetBuilder, FileBuilder, GroupBuilder};

    /// What lies in a group.
    enum Item {
        /// A group with an encoding.
        Group(&'static str, Vec<(String, Item)>),
        /// A frame with its columns, of which the first holds the names.
        Frame(Vec<(String, Item)>),
        /// A compressed sparse matrix of this shape.
        Sparse(&'static str, [i64; 2], Vec<(String, Item)>),
        /// Lists of one value, compressed in chunks.
        Bytes(usize),
        Wholes(usize, i32),
        Longs(usize, i64),
        Reals(usize, f32),
        Doubles(usize, f64),
        /// Texts of this many bytes.
        Fixed(usize, usize),
        /// Texts of no bytes.
        Variable(usize),
        /// A matrix of ones, in one chunk or in chunks of rows.
        Matrix(usize, usize, usize),
        /// What is stored as it is.
        Plain(Vec<i64>),
        Texts(&'static [&'static str]),
    }
    use Item::*;

    /// A list that deflate makes small.
    fn packed(dataset: &mut DatasetBuilder, length: usize) {
        dataset
            .with_shape(&[length as u64])
            .with_chunks(&[(1 << 15).min(length) as u64])
            .with_deflate(9);
    }

    fn text(value: &str) -> AttrValue {
        AttrValue::VarLenString(value.into())
    }

    fn list<const N: usize>(items: [(&str, Item); N]) -> Vec<(String, Item)> {
        items
            .into_iter()
            .map(|(name, item)| (name.to_string(), item))
            .collect()
    }

    fn add(parent: &mut GroupBuilder, name: &str, item: Item) {
        if let Group(..) | Frame(..) | Sparse(..) = item {
            let mut group = parent.create_group(name);
            fill(&mut group, item);
            parent.add_group(group.finish());
            return;
        }
        let dataset = parent.create_dataset(name);
        match item {
            Bytes(length) => packed(dataset.with_i8_data(&vec![0; length]), length),
            Wholes(length, value) => packed(dataset.with_i32_data(&vec![value; length]), length),
            Longs(length, value) => packed(dataset.with_i64_data(&vec![value; length]), length),
            Reals(length, value) => packed(dataset.with_f32_data(&vec![value; length]), length),
            Doubles(length, value) => packed(dataset.with_f64_data(&vec![value; length]), length),
            Fixed(length, bytes) => {
                let value = "A".repeat(bytes);
                let values = vec![value.as_str(); length];
                packed(
                    dataset
                        .with_ascii_strings_sized(&values, bytes as u32)
                        .unwrap(),
                    length,
                );
            }
            Variable(length) => {
                dataset.with_vlen_strings(&vec![""; length]);
            }
            Matrix(rows, columns, chunk) => {
                dataset
                    .with_f32_data(&vec![1.0; rows * columns])
                    .with_shape(&[rows as u64, columns as u64])
                    .with_chunks(&[chunk as u64, columns as u64])
                    .with_deflate(9);
            }
            Plain(values) => {
                dataset.with_i64_data(&values);
            }
            Texts(values) => {
                dataset.with_vlen_strings(values);
            }
            Group(..) | Frame(..) | Sparse(..) => unreachable!("a group"),
        }
    }

    fn fill(group: &mut GroupBuilder, item: Item) {
        let (encoding, items) = match item {
            Group(encoding, items) => (encoding, items),
            Frame(items) => {
                let names = items.iter().skip(1).map(|(name, _)| name.clone()).collect();
                group.set_attr("_index", text(&items[0].0));
                group.set_attr("column-order", AttrValue::VarLenStringArray(names));
                ("dataframe", items)
            }
            Sparse(encoding, shape, items) => {
                group.set_attr("shape", AttrValue::I64Array(shape.to_vec()));
                (encoding, items)
            }
            _ => unreachable!("no group"),
        };
        group.set_attr("encoding-type", text(encoding));
        for (name, item) in items {
            add(group, &name, item);
        }
    }

    fn write(path: &Path, items: Vec<(String, Item)>) {
        let mut file = FileBuilder::new();
        for (name, item) in items {
            if let Matrix(rows, columns, chunk) = item {
                file.create_dataset(&name)
                    .with_f32_data(&vec![1.0; rows * columns])
                    .with_shape(&[rows as u64, columns as u64])
                    .with_chunks(&[chunk as u64, columns as u64])
                    .with_deflate(9);
                continue;
            }
            let mut group = file.create_group(&name);
            fill(&mut group, item);
            file.add_group(group.finish());
        }
        file.write(path).unwrap();
    }

    fn names(texts: &'static [&'static str]) -> Vec<(String, Item)> {
        list([("_index", Texts(texts))])
    }

    fn small_matrix() -> Item {
        let items = list([
            ("data", Reals(1, 1.0)),
            ("indices", Wholes(1, 0)),
            ("indptr", Plain(vec![0, 1, 1])),
        ]);
        Sparse("csr_matrix", [2, 1], items)
    }

    /// A file of two cells whose frame has one more column.
    fn with_column(path: &Path, column: Item) {
        let mut obs = names(&["a", "b"]);
        obs.push(("column".into(), column));
        let items = list([
            ("X", small_matrix()),
            ("obs", Frame(obs)),
            ("var", Frame(names(&["g"]))),
        ]);
        write(path, items);
    }

    fn with_names(path: &Path, cells: Item, genes: Item) {
        let items = list([
            ("X", small_matrix()),
            ("obs", Frame(list([("_index", cells)]))),
            ("var", Frame(list([("_index", genes)]))),
        ]);
        write(path, items);
    }

    fn with_matrix(path: &Path, cells: usize, genes: usize, matrix: Item) {
        let items = list([
            ("X", matrix),
            ("obs", Frame(list([("_index", Bytes(cells))]))),
            ("var", Frame(list([("_index", Bytes(genes))]))),
        ]);
        write(path, items);
    }

    /// Lists that make files of some 10 KB: such as ask for too much, and such as hardly do not.
    pub fn files(measured: &mut Measured) {
        for many in [8_000_000, 1_000_000, 400_000] {
            files_of(measured, many);
        }
    }

    fn files_of(measured: &mut Measured, many: usize) {
        let path = measured.path("hostile.h5ad");
        let both = |what: &str, measured: &mut Measured| {
            let outcome = |path: &Path| {
                CountFormat::of(path)?;
                read_h5ad(path)
            };
            measured.hostile("h5ad", what, &path, outcome);
            measured.hostile("h5ad on disk", what, &path, |path| {
                use celldec::counts::CountSource;
                let source = H5adOptions::new().open(path)?;
                let _ = source.cell_annotations();
                let cells = source.cell_names().len();
                let block = source.block();
                for start in (0..cells).step_by(block) {
                    source.read_window(start..cells.min(start + block))?;
                }
                Ok(())
            });
        };
        let path = measured.path("hostile.h5ad");
        for (what, cells, genes) in [
            ("numbers as cell names", Bytes(many), Texts(&["g"])),
            ("numbers as gene names", Texts(&["a", "b"]), Bytes(many)),
            ("short texts as names", Fixed(many, 1), Texts(&["g"])),
            ("long texts as names", Fixed(40, many / 8), Texts(&["g"])),
            ("variable texts as names", Variable(10_000), Texts(&["g"])),
        ] {
            with_names(&path, cells, genes);
            both(what, measured);
        }
        let categorical = |categories: Item, codes: Item| {
            Group(
                "categorical",
                list([("categories", categories), ("codes", codes)]),
            )
        };
        for (what, column) in [
            ("a column of bytes", Bytes(many)),
            ("a column of numbers", Doubles(many, 1.0)),
            ("many codes", categorical(Texts(&["x"]), Bytes(many))),
            (
                "many categories",
                categorical(Doubles(many / 4, f64::MAX), Bytes(2)),
            ),
            (
                "large codes",
                categorical(Texts(&["x"]), Longs(many, 1 << 40)),
            ),
        ] {
            with_column(&path, column);
            both(what, measured);
        }
        // One long category that is the name of every cell.
        let index = categorical(Fixed(1, 1 << 20), Bytes(100_000));
        with_names(&path, index, Texts(&["g"]));
        both("a long category as names", measured);
        let mut columns = names(&["a", "b"]);
        for column in 0..20 {
            columns.push((format!("c{column}"), Bytes(many / 4)));
        }
        let items = list([
            ("X", small_matrix()),
            ("obs", Frame(columns)),
            ("var", Frame(names(&["g"]))),
        ]);
        write(&path, items);
        both("many columns", measured);

        let (cells, genes) = (many / 100, 100);
        for (what, encoding, index) in [
            ("entries of one gene", "csr_matrix", 0),
            ("entries of one cell by genes", "csc_matrix", 0),
            ("indices out of range", "csr_matrix", -1),
        ] {
            let lines = if encoding == "csr_matrix" {
                cells
            } else {
                genes
            };
            let step = (many / lines) as i64;
            let items = list([
                ("data", Reals(many, 1.0)),
                ("indices", Wholes(many, index)),
                (
                    "indptr",
                    Plain((0..=lines as i64).map(|line| line * step).collect()),
                ),
            ]);
            // Plain offsets are honest bytes, so as few as the size allows.
            if lines > 10_000 {
                let few = 100;
                let items = list([
                    ("data", Reals(many, 1.0)),
                    ("indices", Wholes(many, index)),
                    (
                        "indptr",
                        Plain((0..=few).map(|line| line * (many as i64 / few)).collect()),
                    ),
                ]);
                with_matrix(
                    &path,
                    100,
                    genes,
                    Sparse(encoding, [100, genes as i64], items),
                );
            } else {
                let shape = [cells as i64, genes as i64];
                with_matrix(&path, cells, genes, Sparse(encoding, shape, items));
            }
            both(what, measured);
        }
        for (what, rows, columns, chunk) in [
            ("a full matrix", many / 200, 200, 100),
            ("a full matrix in one chunk", many / 200, 200, many / 200),
            ("a matrix of one cell", 1, many, 1),
            ("a matrix of one gene", many, 1, 10_000),
        ] {
            with_matrix(&path, rows, columns, Matrix(rows, columns, chunk));
            both(what, measured);
        }

        let path = measured.path("hostile.h5");
        let features =
            |names: Item, types: Item| Group("", list([("name", names), ("feature_type", types)]));
        let gene = || features(Texts(&["g"]), Texts(&["Gene Expression"]));
        let matrix = |parts: [Item; 5]| {
            let [barcodes, features, data, indices, indptr] = parts;
            list([(
                "matrix",
                Group(
                    "",
                    list([
                        ("barcodes", barcodes),
                        ("features", features),
                        ("data", data),
                        ("indices", indices),
                        ("indptr", indptr),
                        ("shape", Plain(vec![1, 1])),
                    ]),
                ),
            )])
        };
        for (what, items) in [
            (
                "many entries",
                matrix([
                    Texts(&["c"]),
                    gene(),
                    Wholes(many, 1),
                    Longs(many, 0),
                    Plain(vec![0, many as i64]),
                ]),
            ),
            (
                "many barcodes",
                matrix([
                    Fixed(many, 1),
                    gene(),
                    Wholes(1, 1),
                    Longs(1, 0),
                    Plain(vec![0, 1]),
                ]),
            ),
            (
                "many offsets",
                matrix([
                    Texts(&["c"]),
                    gene(),
                    Wholes(1, 1),
                    Longs(1, 0),
                    Longs(many, 0),
                ]),
            ),
            (
                "many types",
                matrix([
                    Texts(&["c"]),
                    features(Fixed(many / 8, 1), Fixed(many / 8, 8)),
                    Wholes(1, 1),
                    Longs(1, 0),
                    Plain(vec![0, 1]),
                ]),
            ),
        ] {
            write(&path, items);
            measured.hostile("10x h5", what, &path, |path| read_10x_h5(path));
        }
    }
}

#[cfg(feature = "pytorch")]
mod weights {
    use super::*;
    use celldec::model::read_scdcc_weights;
    use celldec::prelude::Device;
    use flate2::Crc;
    use flate2::write::DeflateEncoder;

    /// A zip archive of files, packed or stored.
    fn archive(files: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (name, data) in files {
            let mut crc = Crc::new();
            crc.update(data);
            let stored = if packed {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            } else {
                data.clone()
            };
            let mut common = Vec::new();
            for (width, number) in [
                (2, 20),
                (2, 0),
                (2, if packed { 8 } else { 0 }),
                (4, 0),
                (4, crc.sum() as usize),
                (4, stored.len()),
                (4, data.len()),
                (2, name.len()),
                (2, 0),
            ] {
                common.extend(&number.to_le_bytes()[..width]);
            }
            let start = archive.len() as u32;
            archive.extend(b"PK\x03\x04");
            archive.extend(&common);
            archive.extend(name.as_bytes());
            archive.extend(stored);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(start.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let start = archive.len() as u32;
        let count = (files.len() as u16).to_le_bytes();
        archive.extend(&directory);
        archive.extend(b"PK\x05\x06\0\0\0\0");
        archive.extend(count);
        archive.extend(count);
        archive.extend((directory.len() as u32).to_le_bytes());
        archive.extend(start.to_le_bytes());
        archive.extend([0, 0]);
        archive
    }

    /// A pickled dictionary of tensors named `names`, all of `shape` by `stride` over one storage of
    /// `values` numbers.
    fn pickle(names: &[String], values: u32, shape: [u32; 2], stride: [u32; 2]) -> Vec<u8> {
        let text = |value: &str| {
            let mut bytes = vec![b'X'];
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value.as_bytes());
            bytes
        };
        let whole = |value: u32| {
            let mut bytes = vec![b'J'];
            bytes.extend(value.to_le_bytes());
            bytes
        };
        let mut bytes = b"\x80\x02}".to_vec();
        bytes.extend(text("ae_state_dict"));
        bytes.extend(b"}(");
        for name in names {
            bytes.extend(text(name));
            bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            bytes.extend(text("storage"));
            bytes.extend(b"ctorch\nFloatStorage\n");
            bytes.extend(text("0"));
            bytes.extend(text("cpu"));
            bytes.extend(whole(values));
            bytes.extend(b"tQ");
            bytes.extend(whole(0));
            for pair in [shape, stride] {
                bytes.extend(whole(pair[0]));
                bytes.extend(whole(pair[1]));
                bytes.push(0x86);
            }
            bytes.extend(b"\x89}tR");
        }
        bytes.extend(b"us.");
        bytes
    }

    pub fn files(measured: &mut Measured) {
        let path = measured.path("weights.pth.tar");
        let read = |path: &Path| read_scdcc_weights(path, &Device::default());
        let one = vec!["_enc_mu.weight".to_string()];
        let many: Vec<String> = (0..600)
            .map(|number| format!("layer{number}"))
            .chain(one.clone())
            .collect();
        let numbers = vec![0u8; 4 * 50_000];
        for (what, description, packed) in [
            (
                "a tensor that repeats one number",
                pickle(&one, 1, [50_000, 50_000], [0, 0]),
                false,
            ),
            (
                "many tensors of one storage",
                pickle(&many, 50_000, [500, 100], [100, 1]),
                false,
            ),
            ("a long description", vec![b'N'; 90 << 20], true),
            (
                "a long list",
                [b"\x80\x02".to_vec(), vec![b']'; 90 << 20]].concat(),
                true,
            ),
        ] {
            let files = [
                ("weights/data.pkl", description),
                ("weights/version", b"3\n".to_vec()),
                ("weights/data/0", numbers.clone()),
            ];
            fs::write(&path, archive(&files, packed)).unwrap();
            measured.hostile("pth.tar", what, &path, read);
        }
        let fixture = "tests/fixtures/d_tiny_AE_weights.pth.tar";
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture);
        fs::copy(fixture, &path).unwrap();
        assert!(read(&path).is_ok());
    }
}
