//! What this build of the program can do, and whether it is asked for more.

use celldec::error::ParameterError;
use celldec::prelude::*;

use crate::arguments::{Arguments, Method, Output, ProjectionMethod};

/// What to write: the list asked for, or all that this build can.
pub fn outputs(arguments: &Arguments) -> Vec<Output> {
    if arguments.write.is_empty() {
        [Output::Csv, Output::H5ad, Output::Plots, Output::Report]
            .into_iter()
            .filter(|&output| needed_for_output(output).is_none())
            // New cells have no training to report on.
            .filter(|&output| arguments.model.is_none() || output != Output::Report)
            .collect()
    } else {
        arguments.write.clone()
    }
}

/// Refuses options that contradict each other, or that this build has not got.
pub fn check(arguments: &Arguments) -> Result<()> {
    for &output in &arguments.write {
        if let Some(feature) = needed_for_output(output) {
            return Err(not_built("--write", &value_of(output), feature));
        }
    }
    for &method in &arguments.projection {
        let feature = match method {
            ProjectionMethod::Tsne if !cfg!(feature = "tsne") => "tsne",
            ProjectionMethod::Umap if !cfg!(feature = "umap") => "umap",
            _ => continue,
        };
        return Err(not_built("--projection", &value_of(method), feature));
    }
    let outputs = outputs(arguments);
    let h5ad_options = [
        ("--in-place", arguments.in_place),
        ("--overwrite", arguments.overwrite),
        ("--key", arguments.key.is_some()),
        ("--python-keys", arguments.python_keys),
    ];
    for (option, _) in h5ad_options.into_iter().filter(|(_, given)| *given) {
        if !cfg!(feature = "h5ad") {
            return Err(not_built(option, "", "h5ad"));
        }
        if !outputs.contains(&Output::H5ad) {
            return Err(conflict(format!(
                "{option} is about the .h5ad file; add h5ad to --write, or leave {option} out"
            )));
        }
    }
    if arguments.model.is_some() {
        return match outputs.contains(&Output::Report) {
            true => Err(conflict(
                "--model trains nothing that a report could show; leave report out of --write",
            )),
            false => Ok(()),
        };
    }
    check_method(arguments)
}

fn check_method(arguments: &Arguments) -> Result<()> {
    let refuse = |reason: &str| Err(conflict(reason));
    match arguments.method {
        Method::Scdcc if arguments.python_keys => refuse("--python-keys needs --method desc"),
        Method::Scdcc if arguments.resolution.len() > 1 => {
            refuse("--method scdcc takes a single resolution; use --method desc for several")
        }
        Method::Desc if arguments.constraints.is_some() => {
            refuse("--constraints needs --method scdcc")
        }
        Method::Desc if arguments.denoised => {
            refuse("--denoised needs --method scdcc: DESC removes the decoder before it clusters")
        }
        Method::Desc if arguments.python_keys && arguments.resolution.is_empty() => {
            refuse("--python-keys names results by their resolution; give --resolution")
        }
        _ if arguments.runs == 0 => refuse("--runs must be at least 1"),
        _ if arguments.runs > 1 && arguments.resolution.len() > 1 => {
            refuse("--runs needs a single --resolution: runs are compared with each other")
        }
        _ if arguments.runs > 1 && arguments.checkpoint.is_some() => {
            refuse("--checkpoint holds a single run; leave --runs or --checkpoint out")
        }
        _ => Ok(()),
    }
}

/// The Cargo feature that an output needs and this build has not got.
fn needed_for_output(output: Output) -> Option<&'static str> {
    match output {
        Output::H5ad if !cfg!(feature = "h5ad") => Some("h5ad"),
        Output::Plots | Output::Report if !cfg!(feature = "plot") => Some("plot"),
        _ => None,
    }
}

fn value_of(value: impl clap::ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_string())
        .unwrap_or_default()
}

fn not_built(option: &str, value: &str, feature: &str) -> Error {
    let asked = format!("{option} {value}");
    conflict(format!(
        "{}: this build has not got the Cargo feature `{feature}`; build with `cargo build \
         --release --features h5ad,plot,umap,tsne --example cluster`, or leave the option out",
        asked.trim_end()
    ))
}

/// An error about options.
pub fn conflict(reason: impl Into<String>) -> Error {
    ParameterError::Conflict {
        reason: reason.into(),
    }
    .into()
}
