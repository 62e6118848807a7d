//! Numbers as 32-bit floats, also from 16-bit ones, which `hdf5-pure` does not convert.

use std::ops::Range;

use half::f16;
use hdf5_pure::{DType, Dataset, Datatype, DatatypeByteOrder, FloatingPointLayout};

use super::Store;
use crate::error::Result;

/// The 16-bit float of IEEE 754: NumPy's `float16`.
const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// Whether elements are 16-bit floats.
pub(in crate::io) fn is_half(kind: &DType) -> bool {
    match kind {
        DType::Other(other) => byte_order(other).is_some(),
        _ => false,
    }
}

fn byte_order(kind: &Datatype) -> Option<DatatypeByteOrder> {
    match kind {
        Datatype::FloatingPoint {
            size: 2,
            byte_order,
            layout,
        } if *layout == BINARY16 => Some(*byte_order),
        _ => None,
    }
}

/// The numbers that these bytes are.
fn converted(bytes: &[u8], order: DatatypeByteOrder) -> Vec<f32> {
    let number = |pair: &[u8]| match order {
        DatatypeByteOrder::BigEndian => f16::from_be_bytes([pair[0], pair[1]]),
        _ => f16::from_le_bytes([pair[0], pair[1]]),
    };
    bytes
        .chunks_exact(2)
        .map(|pair| number(pair).to_f32())
        .collect()
}

impl Store {
    /// All numbers of a dataset.
    pub(in crate::io) fn read_f32(&self, at: &str, dataset: &Dataset) -> Result<Vec<f32>> {
        let damaged = |error| self.damaged(at, error);
        let kind = dataset.datatype().map_err(damaged)?;
        match byte_order(&kind) {
            Some(order) => Ok(converted(&dataset.read_raw().map_err(damaged)?, order)),
            None => dataset.read_f32().map_err(damaged),
        }
    }

    /// The numbers of some rows of a dataset.
    pub(in crate::io) fn read_f32_rows(
        &self,
        at: &str,
        dataset: &Dataset,
        rows: &Range<usize>,
    ) -> Result<Vec<f32>> {
        let damaged = |error| self.damaged(at, error);
        let (start, count) = (rows.start as u64, rows.len() as u64);
        let kind = dataset.datatype().map_err(damaged)?;
        match byte_order(&kind) {
            Some(order) => {
                let bytes = dataset.read_raw_rows(start, count).map_err(damaged)?;
                Ok(converted(&bytes, order))
            }
            None => dataset.read_f32_rows(start, count).map_err(damaged),
        }
    }
}
