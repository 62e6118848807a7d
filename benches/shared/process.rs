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

/// Processor seconds of all threads so far, in steps of 10 milliseconds.
pub fn processor_seconds() -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program's name, in parentheses, may hold spaces; user and system time are the 12th and
    // 13th field after it.
    let ticks: Option<u64> = stat.rsplit_once(')').and_then(|(_, fields)| {
        let mut times = fields.split_whitespace().skip(11);
        let user: u64 = times.next()?.parse().ok()?;
        let system: u64 = times.next()?.parse().ok()?;
        Some(user + system)
    });
    match ticks {
        Some(ticks) => Ok(ticks as f64 / TICKS_PER_SECOND),
        None => Err(missing("user and system time in /proc/self/stat")),
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("no {what}"))
}
