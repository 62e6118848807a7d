//! Which of the program's own files a SafeTensors file is.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use celldec::prelude::*;
use serde_json::Value;

/// A longer header is none of ours.
const LONGEST_HEADER: u64 = 1 << 30;

/// A file that this crate wrote.
pub enum Kind {
    Model,
    /// With its description.
    Checkpoint(Value),
}

impl Kind {
    /// What a file is, by its header; `None` when it is no SafeTensors file.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let failed = |source| Error::io(path, source);
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        let Some(header) = read_header(&mut file, metadata.len()).map_err(failed)? else {
            return Ok(None);
        };
        let ours = header.get("__metadata__");
        let text = |key: &str| ours.and_then(|ours| ours.get(key)).and_then(Value::as_str);
        if text("celldec").is_some() {
            return Ok(Some(Self::Model));
        }
        if let Some(description) = text("celldec_checkpoint") {
            let description = serde_json::from_str(description)
                .map_err(|error| Error::format(path, None, format!("its description: {error}")))?;
            return Ok(Some(Self::Checkpoint(description)));
        }
        Err(Error::format(
            path,
            None,
            "a SafeTensors file, but neither a model nor a checkpoint of celldec",
        ))
    }
}

/// The header: 8 bytes of its length, then JSON.
fn read_header(file: &mut File, bytes: u64) -> std::io::Result<Option<Value>> {
    let mut length = [0; 8];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER.min(bytes - 8) {
        return Ok(None);
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    Ok(serde_json::from_slice(&header).ok())
}
