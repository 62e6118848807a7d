//! The file: tensors and a description in one SafeTensors file with a checksum.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use burn::tensor::{BoolStore, DType, TensorData};
use flate2::Crc;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::io::atomic::write_bytes_atomically;

/// Version of the file format; files of a newer version are refused.
pub(super) const FORMAT: u32 = 1;

const DESCRIPTION: &str = "celldec_checkpoint";
const CHECKSUM: &str = "checksum";

/// Tensors by name.
pub(super) type Tensors = BTreeMap<String, TensorData>;

/// What is read of a description before anything else.
#[derive(Deserialize)]
struct Preamble {
    format: u32,
}

/// Writes a checkpoint atomically.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written, the old one is then untouched;
/// [`Error::Checkpoint`] for a tensor of a type that SafeTensors does not know.
pub(super) fn write(
    path: &Path,
    description: String,
    tensors: &BTreeMap<String, &TensorData>,
) -> Result<()> {
    let unusable = |reason: String| Error::Checkpoint {
        path: path.into(),
        reason,
    };
    let mut checksum = Checksum::new(&description);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in tensors {
        checksum.add(name, data.as_bytes());
        let view = to_safetensors(data.dtype())
            .ok_or_else(|| format!("{name} has type {:?}", data.dtype()))
            .and_then(|dtype| {
                TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
                    .map_err(|error| error.to_string())
            })
            .map_err(unusable)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([
        (DESCRIPTION.to_string(), description),
        (CHECKSUM.to_string(), checksum.finish()),
    ]);
    let views = views.iter().map(|(name, view)| (*name, view));
    let bytes = serialize(views, Some(metadata)).map_err(|error| unusable(error.to_string()))?;
    write_bytes_atomically(path, &bytes)
}

/// Reads a checkpoint: its description and its tensors; `None` when there is no file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Checkpoint`] when it is damaged, of a newer
/// version or something else.
pub(super) fn read(path: &Path) -> Result<Option<(String, Tensors)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    parse(&bytes).map(Some).map_err(|reason| Error::Checkpoint {
        path: path.into(),
        reason,
    })
}

fn parse(bytes: &[u8]) -> Result<(String, Tensors), String> {
    let damaged = |error: safetensors::SafeTensorError| {
        format!("the file is truncated or not a SafeTensors file ({error})")
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata = header.metadata().as_ref();
    let text = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    let description = text(DESCRIPTION).ok_or("it has no description of a celldec checkpoint")?;
    let preamble: Preamble =
        serde_json::from_str(description).map_err(|error| format!("its description: {error}"))?;
    if preamble.format > FORMAT {
        return Err(format!(
            "it has format {}, this version reads up to {FORMAT}; use a newer version",
            preamble.format
        ));
    }
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let mut checksum = Checksum::new(description);
    let mut tensors = Tensors::new();
    for (name, view) in views {
        checksum.add(&name, view.data());
        let dtype = from_safetensors(view.dtype())
            .ok_or_else(|| format!("{name} has type {}", view.dtype()))?;
        let data =
            TensorData::try_from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
                .map_err(|error| format!("{name}: {error:?}"))?;
        tensors.insert(name, data);
    }
    if text(CHECKSUM) == Some(&checksum.finish()) {
        Ok((description.clone(), tensors))
    } else {
        Err("its checksum is wrong, the file is damaged".to_string())
    }
}

/// A checksum of the description and of all tensors in the order of their names.
struct Checksum(Crc);

impl Checksum {
    fn new(description: &str) -> Self {
        let mut crc = Crc::new();
        crc.update(description.as_bytes());
        Self(crc)
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.update(name.as_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        format!("{:08x}", self.0.sum())
    }
}

fn to_safetensors(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(BoolStore::Native) => Dtype::BOOL,
        DType::Bool(_) | DType::Flex32 | DType::QFloat(_) => return None,
    })
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}
