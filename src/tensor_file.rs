//! Tensors and a description in one SafeTensors file with a checksum: what models and checkpoints
//! are.
//!
//! The description is a JSON object under one key of the header's metadata. Its first member is the
//! checksum of the rest and of all tensors, so that equal content is equal bytes.

use std::collections::{BTreeMap, HashMap};

use burn::module::Module;
use burn::store::burn_pack::Tensor as NamedTensor;
use burn::store::{Applier, ModuleSnapshot};
use burn::tensor::{BoolStore, DType, TensorData};
use flate2::Crc;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::Deserialize;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// A description as a file holds it.
pub(crate) struct Description {
    /// The JSON object without its checksum.
    pub text: String,
    /// Version of the file's format.
    pub format: u32,
    /// The checksum, in formats that have one.
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct Preamble {
    format: u32,
}

/// The first format whose files all have a checksum.
const FIRST_WITH_CHECKSUM: u32 = 2;

const CHECKSUM_START: &str = "{\"checksum\":\"";
const CHECKSUM_END: &str = "\",";

/// The bytes of a file: `description` is a JSON object with a member `format`.
///
/// # Errors
/// A tensor of a type that SafeTensors does not know.
pub(crate) fn to_bytes(
    key: &str,
    description: &str,
    tensors: &BTreeMap<String, &TensorData>,
) -> Result<Vec<u8>, String> {
    let mut checksum = Checksum::new(description);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in tensors {
        checksum.add(name, data.as_bytes());
        let dtype = to_safetensors(data.dtype())
            .ok_or_else(|| format!("{name} has type {:?}", data.dtype()))?;
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
            .map_err(|error| error.to_string())?;
        views.push((name.as_str(), view));
    }
    let members = description.strip_prefix('{').unwrap_or(description);
    let text = format!(
        "{CHECKSUM_START}{}{CHECKSUM_END}{members}",
        checksum.finish()
    );
    let metadata = HashMap::from([(key.to_string(), text)]);
    let views = views.iter().map(|(name, view)| (*name, view));
    serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The description of a file; its checksum is not looked at.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn description(bytes: &[u8], key: &str) -> Result<Description, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata = header.metadata().as_ref();
    let text = metadata
        .and_then(|metadata| metadata.get(key))
        .ok_or_else(|| format!("it has no description \"{key}\": it is not a file of celldec"))?;
    let preamble: Preamble =
        serde_json::from_str(text).map_err(|error| format!("its description: {error}"))?;
    let parts = text
        .strip_prefix(CHECKSUM_START)
        .and_then(|rest| rest.split_once(CHECKSUM_END));
    Ok(match parts {
        Some((checksum, members)) => Description {
            text: format!("{{{members}"),
            format: preamble.format,
            checksum: Some(checksum.to_string()),
        },
        None => Description {
            text: text.clone(),
            format: preamble.format,
            checksum: None,
        },
    })
}

/// All tensors of a file whose description was read.
///
/// # Errors
/// What is wrong with the file; above all a checksum that is not that of its content.
pub(crate) fn tensors(bytes: &[u8], description: &Description) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let mut checksum = Checksum::new(&description.text);
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
    match &description.checksum {
        Some(expected) if *expected == checksum.finish() => Ok(tensors),
        None if description.format < FIRST_WITH_CHECKSUM => Ok(tensors),
        Some(_) => Err("its checksum is wrong, the file is damaged".to_string()),
        None => Err("it has no checksum, the file is damaged".to_string()),
    }
}

/// The parameters of a module by their paths.
///
/// # Errors
/// When the device does not hand them out.
pub(crate) fn parameters(module: &impl Module) -> Result<Tensors, String> {
    module
        .collect(None, None, false)
        .into_iter()
        .map(|parameter| {
            let (name, dtype, shape, _, bytes) =
                parameter.into_parts().map_err(|error| error.to_string())?;
            Ok((name, TensorData::from_bytes(bytes, shape, dtype)))
        })
        .collect()
}

/// The module with other parameters, where it was and as trainable as it was.
///
/// # Errors
/// How they do not fit the module.
pub(crate) fn with_parameters<M: Module>(
    module: M,
    parameters: impl IntoIterator<Item = (String, TensorData)>,
) -> Result<M, String> {
    let parameters = parameters.into_iter().map(|(name, data)| {
        let (bytes, shape, dtype) = data.into_parts();
        NamedTensor::new(name, dtype, shape, None, bytes)
    });
    let mut applier = Applier::new(parameters.collect(), None, None, false);
    let module = module.map(&mut applier);
    let applied = applier.into_result();
    if applied.errors.is_empty() && applied.missing.is_empty() && applied.unused.is_empty() {
        Ok(module)
    } else {
        Err(applied.to_string())
    }
}

fn damaged(error: safetensors::SafeTensorError) -> String {
    format!("the file is truncated or not a SafeTensors file ({error})")
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
