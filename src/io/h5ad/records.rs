//! Frames of anndata before 0.7: one dataset whose elements are the rows.

use hdf5_pure::{CompoundMember, Dataset, Datatype, DatatypeByteOrder};
use ndarray::Array2;

use crate::error::Result;
use crate::io::annotations::Annotation;
use crate::io::budget::bytes_of;
use crate::io::hdf5::{HeapTexts, Store};
use crate::io::text::listed;

/// A text of variable length as a field: its length and where it lies.
const HEAP_TEXT: usize = 16;

/// Rows of fields.
pub(super) struct Records {
    at: String,
    rows: usize,
    row_bytes: usize,
    fields: Vec<CompoundMember>,
    bytes: Vec<u8>,
}

impl Records {
    /// The rows of a dataset, refused when its elements have no fields.
    pub fn read(store: &Store, at: &str, dataset: &Dataset) -> Result<Self> {
        let damaged = |error| store.damaged(at, error);
        let Datatype::Compound { size, members } = dataset.datatype().map_err(damaged)? else {
            return Err(store.unsupported(at, "a list where a frame is expected"));
        };
        let rows = store.length(at, dataset)?;
        let row_bytes = size as usize;
        let length = bytes_of::<u8>(rows.saturating_mul(row_bytes));
        store.within(at, store.budget().take(length))?;
        store.within(at, store.budget().allow(store.undecoded(at, dataset)?))?;
        let bytes = dataset.read_raw().map_err(damaged)?;
        if bytes.len() != rows * row_bytes {
            return Err(store.error(at, "rows are missing; the file is damaged"));
        }
        Ok(Self {
            at: at.to_string(),
            rows,
            row_bytes,
            fields: members,
            bytes,
        })
    }

    /// The names of the fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    fn field(&self, store: &Store, name: &str) -> Result<&CompoundMember> {
        let mut fields = self.fields.iter();
        fields.find(|field| field.name == name).ok_or_else(|| {
            let there: Vec<String> = self.names().map(str::to_string).collect();
            let there = listed(&there);
            store.error(&self.at, format!("no \"{name}\"; there are: {there}"))
        })
    }

    /// The bytes of a field, row by row.
    fn values(&self, field: &CompoundMember, width: usize) -> Option<impl Iterator<Item = &[u8]>> {
        let start = usize::try_from(field.byte_offset).ok()?;
        let stop = start.checked_add(width)?;
        (width > 0 && stop <= self.row_bytes).then(|| {
            self.bytes
                .chunks_exact(self.row_bytes)
                .map(move |row| &row[start..stop])
        })
    }

    /// A field of one value for every row.
    pub fn column(&self, store: &Store, name: &str) -> Result<Annotation> {
        let field = self.field(store, name)?;
        let at = format!("{}/{name}", self.at);
        let outside = || store.error(&at, "lies outside of its rows; the file is damaged");
        let of_width = |width: u32| self.values(field, width as usize).ok_or_else(outside);
        let take = |bytes: usize| {
            let memory = store
                .budget()
                .take(bytes_of::<u8>(self.rows.saturating_mul(bytes)));
            store.within(&at, memory)
        };
        match &field.datatype {
            Datatype::FixedPoint {
                size,
                byte_order,
                layout,
            } if matches!(size, 1 | 2 | 4 | 8) => {
                take(size_of::<Option<i64>>())?;
                let whole = |bytes: &[u8]| whole(bytes, *byte_order, layout.signed);
                let values: Option<Vec<_>> = of_width(*size)?.map(|v| whole(v).map(Some)).collect();
                values
                    .map(Annotation::Integers)
                    .ok_or_else(|| store.error(&at, "a value is above 2^63"))
            }
            Datatype::FloatingPoint {
                size, byte_order, ..
            } if matches!(size, 4 | 8) => {
                take(size_of::<f64>())?;
                let values = of_width(*size)?.map(|bytes| real(bytes, *byte_order));
                Ok(Annotation::Floats(values.collect()))
            }
            Datatype::Enumeration {
                base_type, members, ..
            } if base_type.type_size() == 1 && members.len() == 2 && members[0].name == "FALSE" => {
                take(size_of::<Option<bool>>())?;
                let values = of_width(1)?.map(|bytes| Some(bytes[0] != 0));
                Ok(Annotation::Booleans(values.collect()))
            }
            Datatype::String { size, .. } => {
                take(size_of::<Option<String>>() + 3 * *size as usize)?;
                let values = of_width(*size)?.map(|bytes| Some(fixed_text(bytes)));
                Ok(Annotation::Strings(values.collect()))
            }
            Datatype::VariableLength {
                is_string: true, ..
            } => {
                take(size_of::<Option<String>>())?;
                let mut texts = HeapTexts::new(store)?;
                let fields = self.values(field, HEAP_TEXT).ok_or_else(outside)?;
                let values: Result<_> = fields.map(|f| texts.read(&at, f).map(Some)).collect();
                Ok(Annotation::Strings(values?))
            }
            _ => Err(store.unsupported(&at, "a field of another type than text or numbers")),
        }
    }

    /// A field of several numbers for every row `[rows, numbers]`.
    pub fn matrix(&self, store: &Store, name: &str) -> Result<Array2<f32>> {
        let field = self.field(store, name)?;
        let at = format!("{}/{name}", self.at);
        let unsupported = || store.unsupported(&at, "a field of something else than numbers");
        let (numbers, kind) = match &field.datatype {
            Datatype::Array {
                base_type,
                dimensions,
            } => {
                let numbers = dimensions
                    .iter()
                    .try_fold(1u32, |all, &axis| all.checked_mul(axis))
                    .ok_or_else(unsupported)?;
                (numbers as usize, base_type.as_ref())
            }
            other => (1, other),
        };
        let Datatype::FloatingPoint {
            size, byte_order, ..
        } = kind
        else {
            return Err(unsupported());
        };
        if !matches!(size, 4 | 8) || numbers == 0 {
            return Err(unsupported());
        }
        let memory = store
            .budget()
            .take_list::<f32>(self.rows.saturating_mul(numbers));
        store.within(&at, memory)?;
        let rows = self
            .values(field, numbers.saturating_mul(*size as usize))
            .ok_or_else(|| store.error(&at, "lies outside of its rows; the file is damaged"))?;
        let values = rows.flat_map(|row| row.chunks_exact(*size as usize));
        let values: Vec<f32> = values
            .map(|bytes| real(bytes, *byte_order) as f32)
            .collect();
        Array2::from_shape_vec((self.rows, numbers), values)
            .map_err(|_| store.error(&at, "values are missing; the file is damaged"))
    }
}

/// The bytes of a number, the lowest first.
fn lowest_first(bytes: &[u8], order: DatatypeByteOrder) -> [u8; 8] {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    if order == DatatypeByteOrder::BigEndian {
        number[..bytes.len()].reverse();
    }
    number
}

/// A whole number of up to 8 bytes; `None` above 2^63.
fn whole(bytes: &[u8], order: DatatypeByteOrder, signed: bool) -> Option<i64> {
    let number = u64::from_le_bytes(lowest_first(bytes, order));
    if !signed {
        return i64::try_from(number).ok();
    }
    let unused = 64 - 8 * bytes.len() as u32;
    Some((number << unused) as i64 >> unused)
}

/// A real number of 4 or 8 bytes.
fn real(bytes: &[u8], order: DatatypeByteOrder) -> f64 {
    let number = lowest_first(bytes, order);
    match bytes.len() {
        4 => f32::from_le_bytes([number[0], number[1], number[2], number[3]]).into(),
        _ => f64::from_le_bytes(number),
    }
}

/// A text of fixed length, which zeros fill up.
fn fixed_text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_and_order() {
        use DatatypeByteOrder::{BigEndian, LittleEndian};
        assert_eq!(whole(&[0xff], LittleEndian, true), Some(-1));
        assert_eq!(whole(&[0xff], LittleEndian, false), Some(255));
        assert_eq!(whole(&[0xff, 0xfe], BigEndian, true), Some(-2));
        assert_eq!(whole(&[0xff; 8], LittleEndian, false), None);
        assert_eq!(whole(&(-5i64).to_be_bytes(), BigEndian, true), Some(-5));
        assert_eq!(real(&1.5f32.to_be_bytes(), BigEndian), 1.5);
        assert_eq!(real(&(-2.25f64).to_le_bytes(), LittleEndian), -2.25);
    }
}
