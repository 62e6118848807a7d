//! Data frames: names and annotation columns of cells or genes.

use hdf5_pure::{DType, Dataset};

use super::records::Records;
use crate::error::{Error, Result};
use crate::io::annotations::{Annotation, CellAnnotations, UnreadAnnotation};
use crate::io::budget::bytes_of;
use crate::io::hdf5::{Attributes, Node, Store};
use crate::io::text::listed;

/// Categories of anndata 0.7, which kept them apart from their columns.
const OLD_CATEGORIES: &str = "__categories";
/// The genes of `raw` before anndata 0.7, and where the categories of their columns lay.
const OLD_RAW: &str = "/raw.var";
const OLD_RAW_CATEGORIES: &str = "/raw.cat";

/// A frame as it is stored.
pub(super) enum Frame {
    Group(Attributes),
    /// As anndata wrote it before 0.7.
    Records(Records),
}

impl Frame {
    pub fn open(store: &Store, at: &str) -> Result<Self> {
        let node = store.node(at)?;
        if let Node::Dataset(dataset) = &node {
            return Records::read(store, at, dataset).map(Self::Records);
        }
        let attributes = store.attributes(at, &node)?;
        match attributes.text("encoding-type") {
            Some("dataframe") => Ok(Self::Group(attributes)),
            Some(other) => Err(store.unsupported(at, other)),
            None => Err(store.unsupported(at, "none")),
        }
    }

    /// Whether it is a dataset of rows and no group of columns.
    pub fn is_records(&self) -> bool {
        matches!(self, Self::Records(_))
    }

    /// The name of the column of row names.
    pub fn index(&self) -> &str {
        match self {
            Self::Group(attributes) => attributes.text("_index").unwrap_or("_index"),
            Self::Records(records) => records.names().next().unwrap_or_default(),
        }
    }

    /// The names of the other columns, in order.
    pub fn columns(&self, store: &Store, at: &str) -> Result<Vec<String>> {
        match self {
            Self::Group(attributes) => column_names(store, at, attributes),
            Self::Records(records) => Ok(records.names().skip(1).map(str::to_string).collect()),
        }
    }

    /// A column; `rows` is its length where that is known.
    pub fn column(
        &self,
        store: &Store,
        at: &str,
        name: &str,
        rows: Option<usize>,
    ) -> Result<Annotation> {
        let Self::Records(records) = self else {
            return read_any_column(store, at, name, rows);
        };
        let column = records.column(store, name)?;
        check_rows(store, &format!("{at}/{name}"), &column, rows)?;
        with_old_categories(store, at, name, column)
    }
}

/// The names of the rows of a frame.
pub(super) fn read_index(store: &Store, frame_at: &str) -> Result<Vec<String>> {
    let frame = Frame::open(store, frame_at)?;
    let index = frame.index();
    read_names(store, &frame, frame_at, index)
}

/// A column of names of the rows of a frame; `None` where there is no such column.
pub(super) fn read_other_names(
    store: &Store,
    frame_at: &str,
    column: &str,
) -> Result<Option<Vec<String>>> {
    let frame = Frame::open(store, frame_at)?;
    if !frame
        .columns(store, frame_at)?
        .iter()
        .any(|name| name == column)
    {
        return Ok(None);
    }
    read_names(store, &frame, frame_at, column).map(Some)
}

/// The names of the columns of a frame.
pub(super) fn names_of_columns(store: &Store, frame_at: &str) -> Result<Vec<String>> {
    Frame::open(store, frame_at)?.columns(store, frame_at)
}

fn read_names(store: &Store, frame: &Frame, frame_at: &str, name: &str) -> Result<Vec<String>> {
    let at = format!("{frame_at}/{name}");
    match frame.column(store, frame_at, name, None)? {
        Annotation::Strings(names) => {
            Ok(names.into_iter().map(Option::unwrap_or_default).collect())
        }
        column @ (Annotation::Integers(_) | Annotation::Categorical { .. }) => {
            texts(store, &at, column)
        }
        _ => Err(store.error(&at, "the names are neither text nor integers")),
    }
}

/// The wanted columns of a frame of `rows` rows, or all of them. Of all, those that cannot be read
/// are named instead.
pub(super) fn read_columns(
    store: &Store,
    frame_at: &str,
    rows: usize,
    wanted: Option<&[String]>,
) -> Result<CellAnnotations> {
    let frame = Frame::open(store, frame_at)?;
    let there = frame.columns(store, frame_at)?;
    let mut columns = Vec::new();
    let mut unread = Vec::new();
    let Some(wanted) = wanted else {
        for name in there {
            match frame.column(store, frame_at, &name, Some(rows)) {
                Ok(column) => columns.push((name, column)),
                Err(Error::Format { reason, .. }) => {
                    tracing::warn!(
                        column = name,
                        reason,
                        "a column of annotations was not read"
                    );
                    unread.push(UnreadAnnotation { name, reason });
                }
                Err(error) => return Err(error),
            }
        }
        return Ok(CellAnnotations::new(columns).with_unread(unread));
    };
    for name in wanted {
        if !there.contains(name) {
            return Err(store.error(
                frame_at,
                format!("no column \"{name}\"; there are: {}", listed(&there)),
            ));
        }
        let column = frame.column(store, frame_at, name, Some(rows))?;
        columns.push((name.clone(), column));
    }
    Ok(CellAnnotations::new(columns))
}

fn column_names(store: &Store, frame_at: &str, attributes: &Attributes) -> Result<Vec<String>> {
    if let Some(names) = attributes.texts("column-order") {
        return Ok(names.to_vec());
    }
    let mut names = store.members(frame_at)?;
    let index = attributes.text("_index").unwrap_or("_index");
    names.retain(|name| name != index && name != OLD_CATEGORIES);
    Ok(names)
}

/// A column of any encoding; `rows` is its length where that is known.
fn read_any_column(
    store: &Store,
    frame_at: &str,
    name: &str,
    rows: Option<usize>,
) -> Result<Annotation> {
    let at = format!("{frame_at}/{name}");
    let node = store.node(&at)?;
    let attributes = store.attributes(&at, &node)?;
    let encoding = attributes.text("encoding-type");
    let column = match node {
        Node::Dataset(dataset) => match encoding {
            None | Some("array" | "string-array") => {
                let categories_at = format!("{frame_at}/{OLD_CATEGORIES}/{name}");
                match store.find(&categories_at)? {
                    Some(_) => read_categorical(store, &at, &dataset, &categories_at)?,
                    None => read_plain(store, &at, &dataset)?,
                }
            }
            Some(other) => return Err(store.unsupported(&at, other)),
        },
        Node::Group(_) => match encoding {
            Some("categorical") => {
                let codes = store.dataset(&format!("{at}/codes"))?;
                read_categorical(store, &at, &codes, &format!("{at}/categories"))?
            }
            Some("nullable-string-array" | "nullable-integer" | "nullable-boolean") => {
                read_nullable(store, &at)?
            }
            other => return Err(store.unsupported(&at, other.unwrap_or("none"))),
        },
    };
    check_rows(store, &at, &column, rows)?;
    Ok(column)
}

fn check_rows(store: &Store, at: &str, column: &Annotation, rows: Option<usize>) -> Result<()> {
    match rows {
        Some(rows) if rows != column.len() => {
            Err(store.error(at, format!("has {} values, expected {rows}", column.len())))
        }
        _ => Ok(()),
    }
}

/// What the categories of a column of codes were called before anndata 0.7.
pub(super) fn old_categories(name: &str) -> String {
    format!("{name}_categories")
}

/// Where they lay: those of `raw` apart from those of cells and genes, which share a place.
fn old_categories_at(store: &Store, frame_at: &str, name: &str) -> Result<String> {
    let in_uns = format!("/uns/{}", old_categories(name));
    if frame_at != OLD_RAW {
        return Ok(in_uns);
    }
    if !store.exists(OLD_RAW_CATEGORIES)? && store.exists(&in_uns)? {
        // The first versions of anndata kept none of `raw`, and those of X may be in another order.
        return Err(store.error(
            &format!("{frame_at}/{name}"),
            "the numbers of categories, which the file does not hold; choose another column",
        ));
    }
    Ok(format!("{OLD_RAW_CATEGORIES}/{}", old_categories(name)))
}

/// A column with its categories, where it is one of codes.
fn with_old_categories(
    store: &Store,
    frame_at: &str,
    name: &str,
    column: Annotation,
) -> Result<Annotation> {
    let Annotation::Integers(codes) = column else {
        return Ok(column);
    };
    let categories_at = old_categories_at(store, frame_at, name)?;
    let Some(Node::Dataset(dataset)) = store.find(&categories_at)? else {
        return Ok(Annotation::Integers(codes));
    };
    let categories = if store.is_scalar(&categories_at, &dataset)? {
        store.read_scalar_text(&categories_at, &dataset)?
    } else {
        let categories = read_plain(store, &categories_at, &dataset)?;
        texts(store, &categories_at, categories)?
    };
    // Categories of a column of the same name in another frame are none of this one.
    let known = -1..categories.len() as i64;
    if !codes.iter().flatten().all(|code| known.contains(code)) {
        return Ok(Annotation::Integers(codes));
    }
    let at = format!("{frame_at}/{name}");
    let memory = store.budget().take_list::<Option<u32>>(codes.len());
    store.within(&at, memory)?;
    let codes = codes.into_iter().flatten();
    categorical(store, &at, codes, categories)
}

/// The values of a column as text, empty where they are missing.
fn texts(store: &Store, at: &str, column: Annotation) -> Result<Vec<String>> {
    /// The longest decimal number of 64 bits, and of a real number without an exponent.
    const WHOLE: u64 = 20;
    const REAL: u64 = 330;
    let each = match &column {
        Annotation::Strings(_) => 0,
        Annotation::Integers(_) | Annotation::Booleans(_) => WHOLE,
        Annotation::Floats(_) => REAL,
        Annotation::Categorical { codes, categories } => {
            // A long category may be that of every cell.
            let text = codes.iter().flatten().fold(0u64, |bytes, &code| {
                bytes.saturating_add(categories[code as usize].len() as u64)
            });
            store.within(at, store.budget().take(text))?;
            0
        }
    };
    let values = match column {
        Annotation::Strings(values) => values,
        other => {
            let size = size_of::<String>() as u64 + each;
            let memory = store
                .budget()
                .take((other.len() as u64).saturating_mul(size));
            store.within(at, memory)?;
            other.texts()
        }
    };
    Ok(values.into_iter().map(Option::unwrap_or_default).collect())
}

pub(in crate::io) fn read_plain(store: &Store, at: &str, dataset: &Dataset) -> Result<Annotation> {
    let length = store.length(at, dataset)?;
    let damaged = |error| store.damaged(at, error);
    match store.dtype(at, dataset)? {
        DType::VariableLengthString | DType::String => {
            let values = store.read_text(at, dataset)?;
            Ok(Annotation::Strings(values.into_iter().map(Some).collect()))
        }
        DType::F32 | DType::F64 => {
            store.take_list::<f64>(at, dataset, length, 0)?;
            Ok(Annotation::Floats(dataset.read_f64().map_err(damaged)?))
        }
        DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8 | DType::U16 | DType::U32 => {
            store.take_list::<Option<i64>>(at, dataset, length, bytes_of::<i64>(length))?;
            let values = dataset.read_i64().map_err(damaged)?;
            Ok(Annotation::Integers(values.into_iter().map(Some).collect()))
        }
        DType::U64 => {
            store.take_list::<Option<i64>>(at, dataset, length, bytes_of::<u64>(length))?;
            let values = dataset.read_u64().map_err(damaged)?;
            values
                .into_iter()
                .map(|value| i64::try_from(value).ok().map(Some))
                .collect::<Option<_>>()
                .map(Annotation::Integers)
                .ok_or_else(|| store.error(at, "a value is above 2^63"))
        }
        DType::Enum(members) if is_boolean(&members) => {
            let flags = store.read_flags(at, dataset)?;
            Ok(Annotation::Booleans(flags.into_iter().map(Some).collect()))
        }
        other => Err(store.unsupported(at, &format!("array of {other}"))),
    }
}

fn is_boolean(members: &[String]) -> bool {
    members.len() == 2 && members[0] == "FALSE" && members[1] == "TRUE"
}

fn read_nullable(store: &Store, at: &str) -> Result<Annotation> {
    let mask_at = format!("{at}/mask");
    let missing = store.read_flags(&mask_at, &store.dataset(&mask_at)?)?;
    let values_at = format!("{at}/values");
    let mut column = read_plain(store, &values_at, &store.dataset(&values_at)?)?;
    if column.len() != missing.len() {
        return Err(store.error(
            &mask_at,
            format!("has {} values, expected {}", missing.len(), column.len()),
        ));
    }
    match &mut column {
        Annotation::Strings(values) => clear(values, &missing),
        Annotation::Integers(values) => clear(values, &missing),
        Annotation::Booleans(values) => clear(values, &missing),
        _ => return Err(store.unsupported(&values_at, "nullable array of other values")),
    }
    Ok(column)
}

fn clear<T>(values: &mut [Option<T>], missing: &[bool]) {
    for (value, &missing) in values.iter_mut().zip(missing) {
        if missing {
            *value = None;
        }
    }
}

fn read_categorical(
    store: &Store,
    at: &str,
    codes: &Dataset,
    categories_at: &str,
) -> Result<Annotation> {
    let length = store.length(at, codes)?;
    let categories = match store.node(categories_at)? {
        Node::Dataset(dataset) => read_plain(store, categories_at, &dataset)?,
        Node::Group(_) => read_nullable(store, categories_at)?,
    };
    let categories = texts(store, categories_at, categories)?;
    store.take_list::<Option<u32>>(at, codes, length, 2 * bytes_of::<i64>(length))?;
    let codes = codes.read_i64().map_err(|error| store.damaged(at, error))?;
    categorical(store, at, codes, categories)
}

/// Codes with their categories; -1 stands for a missing value.
fn categorical(
    store: &Store,
    at: &str,
    codes: impl IntoIterator<Item = i64>,
    categories: Vec<String>,
) -> Result<Annotation> {
    let codes = codes
        .into_iter()
        .map(|code| match u32::try_from(code) {
            _ if code == -1 => Ok(None),
            Ok(known) if (known as usize) < categories.len() => Ok(Some(known)),
            _ => Err(store.error(
                at,
                format!(
                    "the code {code} names none of the {} categories",
                    categories.len()
                ),
            )),
        })
        .collect::<Result<_>>()?;
    Ok(Annotation::Categorical { codes, categories })
}
