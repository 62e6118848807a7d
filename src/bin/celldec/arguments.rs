//! The command line as a whole; every subcommand has its options beside its work.

use celldec::Result;
use celldec::prelude::Device;
use clap::{Args, Parser, Subcommand};

use crate::cluster::ClusterArguments;
use crate::compare::CompareArguments;
use crate::info::InfoArguments;
use crate::map::MapArguments;
use crate::refusal::conflict;

/// Deep embedded clustering of single-cell RNA-seq.
///
/// Clusters the cells of a count matrix with scDCC or DESC, puts new cells into clusters found
/// before, compares labels, and says what is in a file.
#[derive(Debug, Parser)]
#[command(
    name = "celldec",
    version,
    after_help = "Try `celldec help cluster` for explanations and examples."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub task: Task,
    #[command(flatten)]
    pub global: Global,
}

#[derive(Debug, Subcommand)]
pub enum Task {
    Cluster(ClusterArguments),
    Map(MapArguments),
    Compare(CompareArguments),
    Info(InfoArguments),
}

/// Options of every subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global")]
pub struct Global {
    /// Threads to compute with [default: as many as there are cores].
    ///
    /// Results do not depend on their number.
    #[arg(
        long,
        value_name = "NUMBER",
        global = true,
        value_parser = whole_number,
        allow_negative_numbers = true
    )]
    pub threads: Option<usize>,
    /// Log what is read, filtered and found.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Print only warnings, errors, and what compare and info are asked for.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// What computes.
#[derive(Debug, Args)]
pub struct DeviceArgument {
    /// Compute device: cpu, or what the build offers (ndarray, wgpu, cuda; wgpu:1 is the second GPU).
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cpu",
        value_delimiter = ',',
        help_heading = "Computing"
    )]
    device: Vec<String>,
}

impl DeviceArgument {
    /// The devices, at least one.
    pub fn all(&self) -> Result<Vec<Device>> {
        self.device
            .iter()
            .map(|name| celldec::device::by_name(name))
            .collect()
    }

    /// The only device, of what does not share its work.
    pub fn only(&self) -> Result<Device> {
        match self.device.as_slice() {
            [name] => celldec::device::by_name(name),
            names => Err(conflict(format!(
                "map computes on one device, got --device {}; give one of them",
                names.join(",")
            ))),
        }
    }
}

pub fn whole_number(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 8".to_string())
}

pub fn positive_number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| *number > 0.0 && number.is_finite())
        .ok_or_else(|| "expected a number above 0, such as 1.5".to_string())
}
