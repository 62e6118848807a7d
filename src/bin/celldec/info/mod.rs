//! `celldec info`: what is in a file.

mod checkpoint;
mod counts;
mod model;
mod safetensors;

use std::path::PathBuf;

use celldec::prelude::*;
use clap::Args;
use serde_json::Value;

use crate::console::Console;
use crate::input::ReadArguments;
use crate::refusal::conflict;
use safetensors::Kind;

/// Say what is in a file: counts, a fitted model or a checkpoint.
///
/// Of counts in any format that `celldec cluster` reads: cells, genes, values that are not zero and
/// whether they are whole numbers, as raw counts are; of an .h5ad file all its matrices, annotations
/// and embeddings. Of a model: method, version, genes, clusters, network and settings. Of a
/// checkpoint: the steps of its run and how far they have come.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct InfoArguments {
    /// File or folder.
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Reads and prints.
pub fn run(arguments: &InfoArguments, console: &Console) -> Result<()> {
    let path = &arguments.file;
    let Some(kind) = Kind::of(path)? else {
        return counts::print(console, path, &arguments.reading);
    };
    if arguments.reading.is_given() {
        return Err(conflict(format!(
            "options about counts do not apply to {}; leave them out",
            path.display()
        )));
    }
    match kind {
        Kind::Model => model::print(console, path),
        Kind::Checkpoint(description) => checkpoint::print(console, path, &description),
    }
}

/// Prints settings, one a line.
fn print_settings(console: &Console, settings: &Value) {
    console.answer("  settings");
    print_values(console, "", settings);
}

/// Prints every value of a nested structure by its path.
fn print_values(console: &Console, path: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let separator = if path.is_empty() { "" } else { "." };
                print_values(console, &format!("{path}{separator}{name}"), value);
            }
        }
        value => console.answer(format_args!("    {path:<36} {value}")),
    }
}
