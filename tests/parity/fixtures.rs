//! Reading the reference numbers.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};

/// The path of a file under `tests/fixtures`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A SafeTensors file of reference numbers.
pub struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    /// Opens `tests/fixtures/{name}.safetensors`.
    pub fn open(name: &str) -> Self {
        let path = path(&format!("{name}.safetensors"));
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { bytes }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a SafeTensors file")
    }

    /// The names of all tensors in the file.
    pub fn names(&self) -> Vec<String> {
        self.tensors()
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// The shape of a tensor.
    pub fn shape(&self, key: &str) -> Vec<usize> {
        self.tensors()
            .tensor(key)
            .unwrap_or_else(|error| panic!("{key}: {error}"))
            .shape()
            .to_vec()
    }

    /// The values of a tensor of any numeric type, row-major, as f64.
    pub fn values(&self, key: &str) -> Vec<f64> {
        let tensors = self.tensors();
        let view = tensors
            .tensor(key)
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        let data = view.data();
        match view.dtype() {
            Dtype::F64 => numbers(data, f64::from_le_bytes),
            Dtype::F32 => numbers(data, |b| f64::from(f32::from_le_bytes(b))),
            Dtype::I64 => numbers(data, |b| i64::from_le_bytes(b) as f64),
            Dtype::I32 => numbers(data, |b| f64::from(i32::from_le_bytes(b))),
            Dtype::BOOL | Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
            other => panic!("{key}: unexpected type {other:?}"),
        }
    }

    /// The values of a tensor as f32.
    pub fn values_f32(&self, key: &str) -> Vec<f32> {
        self.values(key).into_iter().map(|v| v as f32).collect()
    }

    /// The values of an index tensor.
    pub fn indices(&self, key: &str) -> Vec<usize> {
        self.values(key).into_iter().map(|v| v as usize).collect()
    }
}

fn numbers<const N: usize>(data: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.chunks_exact(N)
        .map(|chunk| convert(chunk.try_into().expect("exact chunk")))
        .collect()
}
