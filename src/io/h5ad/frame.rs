//! Data frames: names and annotation columns of cells or genes.

use hdf5_pure::{DType, Dataset};

use super::matrix::legacy;
use crate::error::Result;
use crate::io::annotations::{Annotation, CellAnnotations};
use crate::io::budget::bytes_of;
use crate::io::hdf5::{Attributes, Node, Store};
use crate::io::text::listed;

/// Categories of anndata 0.7, which kept them apart from their columns.
const OLD_CATEGORIES: &str = "__categories";

/// The names of the rows of a frame.
pub(super) fn read_index(store: &Store, frame_at: &str) -> Result<Vec<String>> {
    let attributes = frame_attributes(store, frame_at)?;
    let index = attributes.text("_index").unwrap_or("_index");
    let at = format!("{frame_at}/{index}");
    match read_any_column(store, frame_at, index, None)? {
        Annotation::Strings(names) => {
            Ok(names.into_iter().map(Option::unwrap_or_default).collect())
        }
        column @ (Annotation::Integers(_) | Annotation::Categorical { .. }) => {
            texts(store, &at, column)
        }
        _ => Err(store.error(&at, "the names are neither text nor integers")),
    }
}

/// The wanted columns of a frame of `rows` rows, or all of them.
pub(super) fn read_columns(
    store: &Store,
    frame_at: &str,
    rows: usize,
    wanted: Option<&[String]>,
) -> Result<CellAnnotations> {
    let attributes = frame_attributes(store, frame_at)?;
    let there = column_names(store, frame_at, &attributes)?;
    let names = match wanted {
        None => there,
        Some(wanted) => {
            if let Some(missing) = wanted.iter().find(|name| !there.contains(name)) {
                return Err(store.error(
                    frame_at,
                    format!("no column \"{missing}\"; there are: {}", listed(&there)),
                ));
            }
            wanted.to_vec()
        }
    };
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = read_any_column(store, frame_at, &name, Some(rows))?;
        columns.push((name, column));
    }
    Ok(CellAnnotations::new(columns))
}

/// The name of the column of row names, and those of the other columns in order.
pub(super) fn layout(store: &Store, frame_at: &str) -> Result<(String, Vec<String>)> {
    let attributes = frame_attributes(store, frame_at)?;
    let index = attributes.text("_index").unwrap_or("_index").to_string();
    Ok((index, column_names(store, frame_at, &attributes)?))
}

fn frame_attributes(store: &Store, frame_at: &str) -> Result<Attributes> {
    let node = store.node(frame_at)?;
    if matches!(node, Node::Dataset(_)) {
        return Err(legacy(store, frame_at));
    }
    let attributes = store.attributes(frame_at, &node)?;
    match attributes.text("encoding-type") {
        Some("dataframe") => Ok(attributes),
        Some(other) => Err(store.unsupported(frame_at, other)),
        None => Err(store.unsupported(frame_at, "none")),
    }
}

fn column_names(store: &Store, frame_at: &str, attributes: &Attributes) -> Result<Vec<String>> {
    if let Some(names) = attributes.texts("column-order") {
        return Ok(names.to_vec());
    }
    let Node::Group(group) = store.node(frame_at)? else {
        return Ok(Vec::new());
    };
    let damaged = |error| store.damaged(frame_at, error);
    let mut names = group.datasets().map_err(damaged)?;
    names.extend(group.groups().map_err(damaged)?);
    let index = attributes.text("_index").unwrap_or("_index");
    names.retain(|name| name != index && name != OLD_CATEGORIES);
    names.sort_unstable();
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
    match rows {
        Some(rows) if rows != column.len() => {
            Err(store.error(&at, format!("has {} values, expected {rows}", column.len())))
        }
        _ => Ok(column),
    }
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
            other.labels()
        }
    };
    Ok(values.into_iter().map(Option::unwrap_or_default).collect())
}

fn read_plain(store: &Store, at: &str, dataset: &Dataset) -> Result<Annotation> {
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
    let codes = codes
        .read_i64()
        .map_err(|error| store.damaged(at, error))?
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
