//! Elements as AnnData writes them, each with its `encoding-type` and `encoding-version`.

use std::ops::Range;
use std::path::Path;

use hdf5_pure::{
    AttrValue, DatasetBuilder, EnumTypeBuilder, File, FileAccessProperties, FileLocking, Group,
    H5Element,
};
use ndarray::ArrayView2;

use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use crate::io::annotations::Annotation;
use crate::io::atomic::Temporary;

/// Lists shorter than this are stored as they are, longer ones of a sparse matrix in compressed
/// chunks of this length.
const CHUNK: usize = 1 << 15;

// Longer ones would be unreadable: see `UNREADABLE`.
const _: () = assert!((CHUNK as u64) < UNREADABLE.start);

/// Lengths of chunks that hdf5-pure 0.47 writes in four bytes and HDF5 2.0 expects in three, so that
/// it refuses the dataset ("stored chunk dimension encoding length does not match").
pub(super) const UNREADABLE: Range<u64> = 1 << 16..1 << 24;

/// A group of a file that is being written.
pub(super) struct Part<'a> {
    /// The file as errors name it, which is not yet under this name.
    target: &'a Path,
    at: String,
    group: Group,
}

impl<'a> Part<'a> {
    /// The root of a file.
    pub fn root(file: &File, target: &'a Path) -> Self {
        Self {
            target,
            at: String::new(),
            group: file.root(),
        }
    }

    fn error(&self, name: &str, error: hdf5_pure::Error) -> Error {
        write_error(self.target, &format!("{}/{name}", self.at), error)
    }

    pub fn set_attribute(&self, name: &str, value: AttrValue) -> Result<()> {
        self.group
            .set_attr(name, value)
            .map_err(|error| write_error(self.target, &self.at, error))
    }

    /// A new group of the encoding.
    pub fn group(&self, name: &str, encoding: &str, version: &str) -> Result<Part<'a>> {
        check_name(self.target, &self.at, name)?;
        let group = self
            .group
            .create_group_with(name, |group| {
                group.set_attr("encoding-type", text(encoding));
                group.set_attr("encoding-version", text(version));
            })
            .map_err(|error| self.error(name, error))?;
        Ok(Part {
            target: self.target,
            at: format!("{}/{name}", self.at),
            group,
        })
    }

    /// A new group of named elements.
    pub fn dictionary(&self, name: &str) -> Result<Part<'a>> {
        self.group(name, "dict", "0.1.0")
    }

    fn dataset(
        &self,
        name: &str,
        encoding: &str,
        build: impl FnOnce(&mut DatasetBuilder),
    ) -> Result<()> {
        check_name(self.target, &self.at, name)?;
        self.group
            .create_dataset(name, |dataset| {
                build(dataset);
                dataset.set_attr("encoding-type", text(encoding));
                dataset.set_attr("encoding-version", text("0.2.0"));
            })
            .map(|_| ())
            .map_err(|error| self.error(name, error))
    }

    /// A list of numbers.
    pub fn list<T: H5Element>(&self, name: &str, values: &[T]) -> Result<()> {
        self.dataset(name, "array", |dataset| {
            dataset.with_data(values).with_shape(&[values.len() as u64]);
        })
    }

    /// A matrix.
    pub fn matrix(&self, name: &str, values: ArrayView2<'_, f32>) -> Result<()> {
        let (rows, columns) = values.dim();
        let values = values.as_standard_layout();
        self.dataset(name, "array", |dataset| {
            dataset
                .with_data(values.as_slice().unwrap_or_default())
                .with_shape(&[rows as u64, columns as u64]);
        })
    }

    /// A list of truth values.
    pub fn flags(&self, name: &str, values: &[bool]) -> Result<()> {
        self.truth_values(name, "array", values, &[values.len() as u64])
    }

    /// A truth value.
    pub fn flag(&self, name: &str, value: bool) -> Result<()> {
        self.truth_values(name, "numeric-scalar", &[value], &[])
    }

    fn truth_values(
        &self,
        name: &str,
        encoding: &str,
        values: &[bool],
        shape: &[u64],
    ) -> Result<()> {
        let boolean = EnumTypeBuilder::with_base(hdf5_pure::make_i8_type())
            .raw_value("FALSE", &[0])
            .raw_value("TRUE", &[1])
            .build()
            .map_err(|error| self.error(name, error.into()))?;
        let values: Vec<u8> = values.iter().map(|&value| u8::from(value)).collect();
        self.dataset(name, encoding, |dataset| {
            dataset
                .with_enum_u8_data(boolean, &values)
                .with_shape(shape);
        })
    }

    /// A number.
    pub fn number<T: H5Element>(&self, name: &str, value: T) -> Result<()> {
        self.dataset(name, "numeric-scalar", |dataset| {
            dataset.with_data(&[value]).with_shape(&[]);
        })
    }

    /// A text.
    pub fn text(&self, name: &str, value: &str) -> Result<()> {
        self.dataset(name, "string", |dataset| {
            dataset.with_vlen_strings(&[value]).with_shape(&[]);
        })
    }

    /// A list of texts.
    pub fn texts<S: AsRef<str>>(&self, name: &str, values: &[S]) -> Result<()> {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        if let Some(value) = values.iter().find(|value| value.contains('\0')) {
            return Err(Error::format(
                self.target,
                None,
                format!(
                    "at {}/{name}: the text {value:?} holds a zero byte, which ends a text in HDF5; \
                     remove it first",
                    self.at
                ),
            ));
        }
        self.dataset(name, "string-array", |dataset| {
            dataset.with_vlen_strings(&values);
        })
    }

    /// A column of categories; -1 stands for a missing value.
    pub fn categorical<S: AsRef<str>>(
        &self,
        name: &str,
        codes: &[i64],
        categories: &[S],
    ) -> Result<()> {
        let column = self.group(name, "categorical", "0.2.0")?;
        // The reader asks for a truth value; HDF5 attributes of such a type cannot be written here.
        column.set_attribute("ordered", AttrValue::U8(0))?;
        column.texts("categories", categories)?;
        // Every code is below the number of categories, so the narrowest type that holds that
        // number holds them all.
        let count = categories.len();
        if count <= i8::MAX as usize {
            let codes: Vec<i8> = codes.iter().map(|&code| code as i8).collect();
            column.list("codes", &codes)
        } else if count <= i16::MAX as usize {
            let codes: Vec<i16> = codes.iter().map(|&code| code as i16).collect();
            column.list("codes", &codes)
        } else {
            let codes: Vec<i32> = codes.iter().map(|&code| code as i32).collect();
            column.list("codes", &codes)
        }
    }

    /// A column of annotations.
    pub fn annotation(&self, name: &str, annotation: &Annotation) -> Result<()> {
        match annotation {
            Annotation::Categorical { codes, categories } => {
                let codes: Vec<i64> = codes
                    .iter()
                    .map(|code| code.map_or(-1, i64::from))
                    .collect();
                if codes.iter().any(|&code| code >= categories.len() as i64) {
                    return Err(Error::format(
                        self.target,
                        None,
                        format!(
                            "at {}/{name}: a code names none of the {} categories",
                            self.at,
                            categories.len()
                        ),
                    ));
                }
                self.categorical(name, &codes, categories)
            }
            Annotation::Floats(values) => self.list(name, values),
            Annotation::Strings(values) => self.nullable(
                name,
                values,
                "nullable-string-array",
                |part, name, values: &[String]| part.texts(name, values),
            ),
            Annotation::Integers(values) => {
                self.nullable(name, values, "nullable-integer", Self::list)
            }
            Annotation::Booleans(values) => {
                self.nullable(name, values, "nullable-boolean", Self::flags)
            }
        }
    }

    /// Values beside a mask when some are missing, the plain list otherwise.
    fn nullable<T: Clone + Default>(
        &self,
        name: &str,
        values: &[Option<T>],
        encoding: &str,
        write: impl Fn(&Self, &str, &[T]) -> Result<()>,
    ) -> Result<()> {
        let missing: Vec<bool> = values.iter().map(Option::is_none).collect();
        let filled: Vec<T> = values
            .iter()
            .map(|value| value.clone().unwrap_or_default())
            .collect();
        if !missing.contains(&true) {
            return write(self, name, &filled);
        }
        let group = self.group(name, encoding, "0.1.0")?;
        write(&group, "values", &filled)?;
        group.flags("mask", &missing)
    }

    /// A frame without columns yet.
    pub fn frame(&self, name: &str, index: &[String]) -> Result<Part<'a>> {
        let frame = self.group(name, "dataframe", "0.2.0")?;
        frame.set_attribute("_index", text("_index"))?;
        frame.set_columns(&[])?;
        frame.texts("_index", index)?;
        Ok(frame)
    }

    /// Declares the columns of a frame, in order.
    pub fn set_columns(&self, columns: &[String]) -> Result<()> {
        self.set_attribute("column-order", AttrValue::VarLenStringArray(columns.into()))
    }

    /// Counts as a compressed sparse matrix of cells × genes.
    pub fn counts(&self, name: &str, counts: &CountMatrix) -> Result<()> {
        let matrix = self.group(name, "csr_matrix", "0.1.0")?;
        let shape = vec![counts.cells() as i64, counts.genes() as i64];
        matrix.set_attribute("shape", AttrValue::I64Array(shape))?;
        matrix.compressed_list("data", counts.values())?;
        // SciPy wants one type for both, the narrower one where it suffices.
        let fits = i32::try_from(counts.stored().max(counts.genes())).is_ok();
        if fits {
            let indices: Vec<i32> = counts.indices().iter().map(|&gene| gene as i32).collect();
            let offsets: Vec<i32> = counts.offsets().iter().map(|&at| at as i32).collect();
            matrix.compressed_list("indices", &indices)?;
            matrix.compressed_list("indptr", &offsets)
        } else {
            let indices: Vec<i64> = counts.indices().iter().map(|&gene| gene.into()).collect();
            let offsets: Vec<i64> = counts.offsets().iter().map(|&at| at as i64).collect();
            matrix.compressed_list("indices", &indices)?;
            matrix.compressed_list("indptr", &offsets)
        }
    }

    fn compressed_list<T: H5Element>(&self, name: &str, values: &[T]) -> Result<()> {
        self.dataset(name, "array", |dataset| {
            dataset.with_data(values).with_shape(&[values.len() as u64]);
            if values.len() >= CHUNK {
                dataset
                    .with_chunks(&[CHUNK as u64])
                    .with_shuffle()
                    .with_deflate(4);
            }
        })
    }
}

/// How to open a temporary file that is locked by us already, so that the HDF5 layer needs no lock.
pub(super) fn without_lock(temporary: &Temporary) -> FileAccessProperties {
    // The environment has the last word: where it asks for locks, the layer's own takes the place
    // of ours.
    let asks_for_locks = std::env::var("HDF5_USE_FILE_LOCKING").is_ok_and(|value| {
        !["FALSE", "0", "NO", "OFF"]
            .iter()
            .any(|off| value.trim().eq_ignore_ascii_case(off))
    });
    if asks_for_locks {
        temporary.unlock();
    }
    FileAccessProperties::new().with_locking(FileLocking::Disabled)
}

/// A text attribute as h5py writes it.
pub(super) fn text(value: &str) -> AttrValue {
    AttrValue::VarLenString(value.into())
}

/// Refuses names that AnnData and HDF5 cannot use as keys.
pub(super) fn check_name(target: &Path, at: &str, name: &str) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::format(
            target,
            None,
            format!(
                "at {}: {name:?} cannot be a name there (AnnData forbids `/` and empty names); \
                 choose another",
                if at.is_empty() { "/" } else { at }
            ),
        ));
    }
    Ok(())
}

/// An error of the HDF5 layer while writing.
pub(super) fn write_error(target: &Path, at: &str, error: hdf5_pure::Error) -> Error {
    match error {
        hdf5_pure::Error::Io(source) => Error::io(target, source),
        other => Error::format(target, None, format!("at {at}: {other}")),
    }
}
