//! Memory and processor time of this process, as Linux reports them.

use std::fs;
use std::io::{Error, ErrorKind, Result};

/// Largest resident memory since the process began or [`reset_peak`], in bytes.
pub fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| missing("VmHWM in /proc/self/status"))?;
    Ok(1024 * kibibytes)
}

/// Lowers the mark of the largest resident memory to what is resident now.
pub fn reset_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

/// Processor seconds that the threads of this process have taken so far.
pub fn processor_seconds() -> Result<f64> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_processor: Option<u64> = statistics
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok());
        nanoseconds += on_processor.ok_or_else(|| missing("time in schedstat of a thread"))?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("no {what}"))
}
