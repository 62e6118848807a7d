//! HDF5 files: checksums that are made right after a change, and files of made-up content.

use std::collections::HashMap;

use hdf5_pure::{AttrValue, DatasetBuilder, FileBuilder, GroupBuilder};

use crate::bytes;
use crate::random::Random;

/// A stretch of a file that a checksum follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summed {
    start: usize,
    length: usize,
}

/// What is known of files that are changed again and again.
#[derive(Debug, Default)]
pub struct Checksums(HashMap<u64, Vec<Summed>>);

/// Parts of a file that end in a checksum, beside object headers.
const SIGNATURES: [&[u8; 4]; 11] = [
    b"OCHK", b"BTHD", b"BTIN", b"BTLF", b"FRHP", b"FHIB", b"FAHD", b"FADB", b"EAHD", b"EAIB",
    b"EASB",
];

/// The longest part other than an object header whose checksum is looked for.
const LONGEST: usize = 2048;

impl Checksums {
    /// Changes a file in place, or cuts it off; mostly makes its checksums right again. `name` is that
    /// of the file before.
    pub fn change(&mut self, random: &mut Random, name: u64, data: &mut Vec<u8>, times: usize) {
        let summed = self.0.entry(name).or_insert_with(|| checksums(data));
        for _ in 0..times {
            change_once(random, summed, data);
        }
        if !random.one_in(20) {
            for part in summed {
                let end = part.start + part.length;
                if let Some(field) = data.get(end..end + 4).map(<[u8]>::len) {
                    let sum = lookup3(&data[part.start..end]).to_le_bytes();
                    data[end..end + field].copy_from_slice(&sum);
                }
            }
        }
    }
}

fn change_once(random: &mut Random, summed: &[Summed], data: &mut Vec<u8>) {
    match random.below(60) {
        0 => data.truncate(random.below(data.len() + 1)),
        1 => data.extend((0..random.length(600)).map(|_| random.next() as u8)),
        2 => bytes::change(random, data, &[], 1 << 20),
        _ if !summed.is_empty() && random.one_in(2) => {
            // Structure rather than data.
            let part = *random.pick(summed);
            let end = (part.start + part.length).min(data.len());
            let start = (part.start + 4).min(end);
            bytes::change_in_place(random, &mut data[start..end]);
        }
        _ => bytes::change_in_place(random, data),
    }
}

/// Where a sound file has checksums.
fn checksums(data: &[u8]) -> Vec<Summed> {
    let holds = |start: usize, length: usize| {
        let end = start + length;
        data.get(end..end + 4)
            .is_some_and(|sum| sum == lookup3(&data[start..end]).to_le_bytes())
    };
    let mut found = Vec::new();
    // The superblock of versions 2 and 3 with addresses of 8 bytes.
    if data.starts_with(b"\x89HDF\r\n\x1a\n") && holds(0, 44) {
        found.push(Summed {
            start: 0,
            length: 44,
        });
    }
    for start in 0..data.len().saturating_sub(8) {
        let signature = &data[start..start + 4];
        if signature == b"OHDR" {
            let length = header_length(&data[start..]);
            if let Some(length) = length.filter(|&length| holds(start, length)) {
                found.push(Summed { start, length });
            }
        } else if SIGNATURES.iter().any(|known| *known == signature) {
            let most = LONGEST.min(data.len() - start);
            if let Some(length) = (8..most).find(|&length| holds(start, length)) {
                found.push(Summed { start, length });
            }
        }
    }
    found
}

/// Bytes of an object header of version 2 before its checksum.
fn header_length(data: &[u8]) -> Option<usize> {
    let flags = *data.get(5)?;
    let mut at = 6;
    if flags & 0x20 != 0 {
        at += 16;
    }
    if flags & 0x10 != 0 {
        at += 4;
    }
    let width = 1usize << (flags & 3);
    let size = data.get(at..at + width)?;
    let size = size
        .iter()
        .rev()
        .fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
    usize::try_from(size).ok()?.checked_add(at + width)
}

/// Bob Jenkins' lookup3, the checksum of HDF5's metadata.
fn lookup3(data: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(data.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8]| {
        let bytes = bytes.iter().take(4).rev();
        bytes.fold(0u32, |word, &byte| (word << 8) | u32::from(byte))
    };
    let mut rest = data;
    while rest.len() > 12 {
        a = a.wrapping_add(word(rest));
        b = b.wrapping_add(word(&rest[4..]));
        c = c.wrapping_add(word(&rest[8..]));
        for [x, y, z, turn] in [
            [0, 2, 1, 4],
            [1, 0, 2, 6],
            [2, 1, 0, 8],
            [0, 2, 1, 16],
            [1, 0, 2, 19],
            [2, 1, 0, 4],
        ] {
            let mut all = [a, b, c];
            all[x] = all[x].wrapping_sub(all[y]);
            all[x] ^= all[y].rotate_left(turn as u32);
            all[y] = all[y].wrapping_add(all[z]);
            [a, b, c] = all;
        }
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(rest));
    b = b.wrapping_add(word(rest.get(4..).unwrap_or_default()));
    c = c.wrapping_add(word(rest.get(8..).unwrap_or_default()));
    for [x, y, turn] in [
        [2, 1, 14],
        [0, 2, 11],
        [1, 0, 25],
        [2, 1, 16],
        [0, 2, 4],
        [1, 0, 14],
        [2, 1, 24],
    ] {
        let mut all = [a, b, c];
        all[x] ^= all[y];
        all[x] = all[x].wrapping_sub(all[y].rotate_left(turn as u32));
        [a, b, c] = all;
    }
    c
}

fn text(value: &str) -> AttrValue {
    AttrValue::VarLenString(value.into())
}

/// Draws content that is nearly sound.
struct Maker<'a> {
    random: &'a mut Random,
    /// One in so many parts is not what it should be.
    faults: usize,
}

impl Maker<'_> {
    fn wrong(&mut self) -> bool {
        self.random.one_in(self.faults)
    }

    /// A whole number that should be another.
    fn number(&mut self, sound: i64) -> i64 {
        if !self.wrong() {
            return sound;
        }
        match self.random.below(4) {
            0 => *self.random.pick(&bytes::INTERESTING) as i64,
            1 => -(*self.random.pick(&bytes::INTERESTING) as i64),
            2 => sound.wrapping_add(1),
            _ => sound.wrapping_sub(1),
        }
    }

    fn list(&mut self, sound: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut list: Vec<i64> = sound.into_iter().collect();
        if self.wrong() {
            match self.random.below(5) {
                0 => list.truncate(self.random.below(list.len() + 1)),
                1 => list.extend(list.clone()),
                2 => list.reverse(),
                3 if self.random.one_in(20) => {
                    list = vec![list.first().copied().unwrap_or(0); 40_000]
                }
                _ => {
                    let at = self.random.below(list.len());
                    if let Some(value) = list.get(at).copied() {
                        let faults = std::mem::replace(&mut self.faults, 1);
                        list[at] = self.number(value);
                        self.faults = faults;
                    }
                }
            }
        }
        list
    }

    /// Stores numbers, of any type and layout.
    fn numbers(&mut self, dataset: &mut DatasetBuilder, values: &[i64]) {
        macro_rules! of {
            ($method:ident, $type:ty) => {
                dataset.$method(
                    &values
                        .iter()
                        .map(|&value| value as $type)
                        .collect::<Vec<_>>(),
                )
            };
        }
        match self.random.below(12) {
            0 => of!(with_i8_data, i8),
            1 => of!(with_i16_data, i16),
            2 => of!(with_u8_data, u8),
            3 => of!(with_u16_data, u16),
            4 => of!(with_u32_data, u32),
            5 => of!(with_u64_data, u64),
            6 => of!(with_f64_data, f64),
            7 => of!(with_f32_data, f32),
            8 | 9 => of!(with_i64_data, i64),
            _ => of!(with_i32_data, i32),
        };
        self.layout(dataset, values.len());
    }

    fn reals(&mut self, dataset: &mut DatasetBuilder, values: &[i64]) {
        if !self.wrong() {
            self.numbers(dataset, values);
            return;
        }
        let special = *self
            .random
            .pick(&[f32::NAN, f32::INFINITY, -1.0, 0.5, 1e30, -0.0]);
        let mut values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let at = self.random.below(values.len());
        if let Some(value) = values.get_mut(at) {
            *value = special;
        }
        dataset.with_f32_data(&values);
        self.layout(dataset, values.len());
    }

    fn layout(&mut self, dataset: &mut DatasetBuilder, length: usize) {
        if length == 0 || self.random.one_in(2) {
            return;
        }
        let chunk = 1 + self.random.below(length);
        // A chunk a value takes long to write and to read.
        let chunk = chunk.max(length / 50 + 1);
        dataset.with_chunks(&[chunk as u64]);
        if self.random.one_in(2) {
            dataset.with_deflate(1);
        }
        if self.random.one_in(4) {
            dataset.with_shuffle();
        }
        if self.random.one_in(8) {
            dataset.with_fletcher32();
        }
    }

    fn texts(&mut self, group: &mut GroupBuilder, name: &str, sound: &[String]) {
        let mut values = sound.to_vec();
        if self.wrong() {
            match self.random.below(4) {
                0 => values.truncate(self.random.below(values.len() + 1)),
                1 => values.extend(values.clone()),
                2 => {
                    values = vec!["\u{e4}\u{1f9ec}".repeat(self.random.length(2000)); values.len()]
                }
                _ => {
                    let at = self.random.below(values.len());
                    if let Some(value) = values.get_mut(at) {
                        *value =
                            (*self.random.pick(&["", "nan", "\u{0}", "a/b", "c0"])).to_string();
                    }
                }
            }
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        if self.wrong() {
            let codes: Vec<i64> = (0..values.len() as i64).collect();
            let codes = self.list(codes);
            self.numbers(group.create_dataset(name), &codes);
            return;
        }
        let dataset = group.create_dataset(name);
        let fixed = self.random.one_in(3)
            && values.iter().all(|value| !value.is_empty())
            && dataset.with_strings(&values).is_ok();
        if !fixed {
            dataset.with_vlen_strings(&values);
        }
    }

    /// A compressed sparse or a dense matrix of small counts.
    fn matrix(&mut self, parent: &mut Parent<'_>, name: &str, [cells, genes]: [usize; 2]) {
        if self.random.one_in(4) {
            let count = cells * genes;
            let values: Vec<i64> = (0..count as i64).map(|at| (at * 7) % 3).collect();
            let values = self.list(values);
            let dataset = parent.dataset(name);
            self.reals(dataset, &values);
            // A wrong shape is refused when it is written, so both are wrong together.
            if values.len() == count && count > 0 {
                dataset.with_shape(&[cells as u64, genes as u64]);
                dataset.with_chunks(&[1 + self.random.below(cells) as u64, genes as u64]);
            }
            return;
        }
        let by_cell = !self.random.one_in(3);
        let (lines, across) = if by_cell {
            (cells, genes)
        } else {
            (genes, cells)
        };
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for line in 0..lines {
            for index in 0..across {
                if (line * 5 + index * 3) % 4 == 0 {
                    indices.push(index as i64);
                }
            }
            offsets.push(indices.len() as i64);
        }
        let values: Vec<i64> = (0..indices.len() as i64).map(|at| 1 + at % 5).collect();
        let shape = self.list([cells as i64, genes as i64]);
        let encoding = match self.wrong() {
            true => *self
                .random
                .pick(&["array", "dataframe", "", "csr_matrix", "csc_matrix"]),
            false if by_cell => "csr_matrix",
            false => "csc_matrix",
        };
        let (values, indices, offsets) =
            (self.list(values), self.list(indices), self.list(offsets));
        let mut group = parent.group(name);
        group.set_attr("encoding-type", text(encoding));
        if !self.wrong() {
            group.set_attr("shape", AttrValue::I64Array(shape));
        }
        self.reals(group.create_dataset("data"), &values);
        self.numbers(group.create_dataset("indices"), &indices);
        if !self.wrong() {
            self.numbers(group.create_dataset("indptr"), &offsets);
        }
        parent.add(group);
    }

    fn frame(&mut self, parent: &mut Parent<'_>, name: &str, names: &[String]) {
        let rows = names.len() as i64;
        let mut group = parent.group(name);
        group.set_attr("encoding-type", text("dataframe"));
        let index = if self.wrong() { "missing" } else { "_index" };
        group.set_attr("_index", text(index));
        let mut columns = Vec::new();
        self.texts(&mut group, "_index", names);
        for number in 0..self.random.below(4) {
            let column = format!("column{number}");
            match self.random.below(4) {
                0 => {
                    let values = self.list((0..rows).map(|row| row % 3));
                    self.reals(group.create_dataset(&column), &values);
                }
                1 => self.texts(&mut group, &column, names),
                2 => {
                    let mut inner = group.create_group(&column);
                    let encoding = match self.wrong() {
                        true => "nullable-integer",
                        false => "categorical",
                    };
                    inner.set_attr("encoding-type", text(encoding));
                    let codes = self.list((0..rows).map(|row| row % 2 - i64::from(row == 3)));
                    self.numbers(inner.create_dataset("codes"), &codes);
                    self.texts(
                        &mut inner,
                        "categories",
                        &["T".to_string(), "B".to_string()],
                    );
                    group.add_group(inner.finish());
                }
                _ => {
                    let mut inner = group.create_group(&column);
                    let encoding = *self.random.pick(&[
                        "nullable-integer",
                        "nullable-boolean",
                        "nullable-string-array",
                    ]);
                    inner.set_attr("encoding-type", text(encoding));
                    let values = self.list((0..rows).map(|row| row % 2));
                    self.numbers(inner.create_dataset("values"), &values);
                    let mask = self.list((0..rows).map(|row| i64::from(row == 1)));
                    self.numbers(inner.create_dataset("mask"), &mask);
                    group.add_group(inner.finish());
                }
            }
            columns.push(column);
        }
        if self.wrong() {
            columns.push("missing".into());
        }
        group.set_attr("column-order", AttrValue::VarLenStringArray(columns));
        parent.add(group);
    }
}

/// A file or a group that gets another part.
enum Parent<'a> {
    File(&'a mut FileBuilder),
    Group(&'a mut GroupBuilder),
}

impl Parent<'_> {
    fn group(&mut self, name: &str) -> GroupBuilder {
        match self {
            Self::File(file) => file.create_group(name),
            Self::Group(group) => group.create_group(name),
        }
    }

    fn dataset(&mut self, name: &str) -> &mut DatasetBuilder {
        match self {
            Self::File(file) => file.create_dataset(name),
            Self::Group(group) => group.create_dataset(name),
        }
    }

    fn add(&mut self, group: GroupBuilder) {
        match self {
            Self::File(file) => file.add_group(group.finish()),
            Self::Group(parent) => parent.add_group(group.finish()),
        }
    }
}

fn names(count: usize, of: &str) -> Vec<String> {
    (0..count)
        .map(|position| format!("{of}{position}"))
        .collect()
}

/// An AnnData file of made-up content; `None` when the writer refuses it.
pub fn annotated(random: &mut Random) -> Option<Vec<u8>> {
    let faults = *random.pick(&[8, 30, 100, 1_000_000]);
    let (cells, genes) = (random.length(12), random.length(6));
    let mut make = Maker { random, faults };
    let mut file = FileBuilder::new();
    let root = &mut Parent::File(&mut file);
    if !make.wrong() {
        make.matrix(root, "X", [cells, genes]);
    }
    if !make.wrong() {
        make.frame(root, "obs", &names(cells, "c"));
    }
    if !make.wrong() {
        make.frame(root, "var", &names(genes, "g"));
    }
    if make.random.one_in(3) {
        let mut layers = root.group("layers");
        make.matrix(&mut Parent::Group(&mut layers), "counts", [cells, genes]);
        root.add(layers);
    }
    if make.random.one_in(3) {
        let mut raw = root.group("raw");
        make.matrix(&mut Parent::Group(&mut raw), "X", [cells, genes + 1]);
        make.frame(&mut Parent::Group(&mut raw), "var", &names(genes + 1, "g"));
        root.add(raw);
    }
    file.finish().ok()
}

/// A 10x matrix of made-up content; `None` when the writer refuses it.
pub fn tenx(random: &mut Random) -> Option<Vec<u8>> {
    let faults = *random.pick(&[8, 30, 100, 1_000_000]);
    let (cells, genes) = (1 + random.length(12), 1 + random.length(6));
    let mut make = Maker { random, faults };
    let (mut indices, mut offsets) = (Vec::new(), vec![0]);
    for cell in 0..cells {
        indices.extend(
            (0..genes)
                .filter(|gene| (gene + cell) % 2 == 0)
                .map(|gene| gene as i64),
        );
        offsets.push(indices.len() as i64);
    }
    let values = make.list(indices.iter().map(|&gene| 1 + gene));
    let (indices, offsets) = (make.list(indices.clone()), make.list(offsets));
    let shape = make.list([genes as i64, cells as i64]);
    let second = make.random.one_in(3);
    let mut file = FileBuilder::new();
    let root = &mut Parent::File(&mut file);
    let mut matrix = root.group(if second { "GRCh38" } else { "matrix" });
    make.numbers(matrix.create_dataset("data"), &values);
    make.numbers(matrix.create_dataset("indices"), &indices);
    make.numbers(matrix.create_dataset("indptr"), &offsets);
    make.numbers(matrix.create_dataset("shape"), &shape);
    make.texts(&mut matrix, "barcodes", &names(cells, "c"));
    if second {
        make.texts(&mut matrix, "genes", &names(genes, "ENSG"));
        make.texts(&mut matrix, "gene_names", &names(genes, "g"));
    } else {
        let mut features = matrix.create_group("features");
        make.texts(&mut features, "id", &names(genes, "ENSG"));
        make.texts(&mut features, "name", &names(genes, "g"));
        let types = vec!["Gene Expression".to_string(); genes];
        make.texts(&mut features, "feature_type", &types);
        make.texts(&mut features, "genome", &vec!["GRCh38".to_string(); genes]);
        matrix.add_group(features.finish());
    }
    root.add(matrix);
    file.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_its_author() {
        // From lookup3.c: hashlittle of this text.
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }

    #[test]
    fn changed_files_keep_right_checksums() {
        let mut random = Random::new(1, &[]);
        let sound = annotated(&mut random).expect("a file");
        let parts = checksums(&sound);
        assert!(parts.len() > 3, "{parts:?}");
        let mut checksums = Checksums::default();
        let mut right = 0;
        for _ in 0..200 {
            let mut data = sound.clone();
            checksums.change(&mut random, 7, &mut data, 2);
            let holds = |part: &Summed| {
                let end = part.start + part.length;
                data.get(end..end + 4)
                    .is_some_and(|sum| sum == lookup3(&data[part.start..end]).to_le_bytes())
            };
            right += usize::from(parts.iter().all(holds));
        }
        assert!(right > 150, "{right} of 200");
    }
}
