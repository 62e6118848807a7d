//! Models and checkpoints: SafeTensors files with a description and a checksum.

use flate2::Crc;
use serde_json::{Map, Value, json};

use crate::bytes;
use crate::json;
use crate::random::Random;

struct Tensor {
    name: String,
    dtype: Value,
    shape: Value,
    data: Vec<u8>,
}

/// A model or a checkpoint in its parts.
struct File {
    key: String,
    /// The description without its checksum.
    description: Vec<u8>,
    tensors: Vec<Tensor>,
}

impl File {
    fn parse(data: &[u8]) -> Option<Self> {
        let (length, rest) = data.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let header: Map<String, Value> = serde_json::from_slice(rest.get(..length)?).ok()?;
        let values = &rest[length..];
        let mut file = Self {
            key: String::new(),
            description: Vec::new(),
            tensors: Vec::new(),
        };
        for (name, entry) in header {
            if name == "__metadata__" {
                let (key, text) = entry.as_object()?.iter().next()?;
                let members = text.as_str()?.strip_prefix("{\"checksum\":\"")?.get(10..)?;
                file.key = key.clone();
                file.description = format!("{{{members}").into_bytes();
                continue;
            }
            let end = |position: usize| entry["data_offsets"][position].as_u64();
            let range = usize::try_from(end(0)?).ok()?..usize::try_from(end(1)?).ok()?;
            file.tensors.push(Tensor {
                name,
                dtype: entry["dtype"].clone(),
                shape: entry["shape"].clone(),
                data: values.get(range)?.to_vec(),
            });
        }
        Some(file)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut crc = Crc::new();
        let description = String::from_utf8_lossy(&self.description);
        crc.update(description.as_bytes());
        let mut by_name: Vec<&Tensor> = self.tensors.iter().collect();
        by_name.sort_by(|a, b| a.name.cmp(&b.name));
        for tensor in by_name {
            crc.update(tensor.name.as_bytes());
            crc.update(&tensor.data);
        }
        let members = description.strip_prefix('{').unwrap_or(&description);
        let text = format!("{{\"checksum\":\"{:08x}\",{members}", crc.sum());
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!({&self.key: text}));
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            let start = data.len();
            data.extend(&tensor.data);
            header.insert(
                tensor.name.clone(),
                json!({
                    "dtype": tensor.dtype,
                    "shape": tensor.shape,
                    "data_offsets": [start, data.len()],
                }),
            );
        }
        let header = Value::Object(header).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }
}

/// Changes a model or a checkpoint, whose checksum stays right; seldom the file itself.
pub fn change(random: &mut Random, data: &mut Vec<u8>, other: &[u8], most: usize) {
    let Some(mut file) = File::parse(data).filter(|_| !random.one_in(16)) else {
        bytes::change(random, data, other, most);
        return;
    };
    let count = file.tensors.len();
    match random.below(10) {
        0..6 => {
            let donor = File::parse(other).map(|other| other.description);
            json::change(
                random,
                &mut file.description,
                &donor.unwrap_or_default(),
                most,
            );
        }
        _ if count == 0 => {}
        6 => {
            // Numbers that are none, or far too large.
            let tensor = &mut file.tensors[random.below(count)];
            let values = tensor.data.len() / 4;
            if values > 0 {
                let at = 4 * random.below(values);
                let value = *random.pick(&[f32::NAN, f32::INFINITY, f32::MAX, -0.0, 1e-40, 3e9]);
                tensor.data[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        7 => {
            let tensor = &mut file.tensors[random.below(count)];
            let mut shape = tensor.shape.to_string().into_bytes();
            json::change(random, &mut shape, b"[1,2]", 100);
            if let Ok(shape) = serde_json::from_slice(&shape) {
                tensor.shape = shape;
            }
        }
        8 => {
            let (from, to) = (random.below(count), random.below(count));
            match random.below(3) {
                0 => drop(file.tensors.remove(from)),
                1 => {
                    let (shape, data) = (
                        file.tensors[from].shape.clone(),
                        file.tensors[from].data.clone(),
                    );
                    (file.tensors[to].shape, file.tensors[to].data) = (shape, data);
                }
                _ => {
                    let name = file.tensors[from].name.clone();
                    file.tensors[from].name = std::mem::replace(&mut file.tensors[to].name, name);
                }
            }
        }
        _ => {
            let tensor = &mut file.tensors[random.below(count)];
            bytes::change_in_place(random, &mut tensor.data);
        }
    }
    *data = file.to_bytes();
}
