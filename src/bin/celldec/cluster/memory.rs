//! How much memory there is.

use std::fs;

/// Bytes that this process may hold in all, as far as the system tells: what it holds and what is free,
/// of the machine and of the container it runs in. Only Linux is asked.
pub fn limit() -> Option<u64> {
    let held = kilobytes("/proc/self/status", "VmRSS:")?;
    let free = kilobytes("/proc/meminfo", "MemAvailable:")?;
    let of_machine = held + free;
    Some(of_container().map_or(of_machine, |of_container| of_machine.min(of_container)))
}

/// What the first version 2 control group that is seen lets all its processes hold.
fn of_container() -> Option<u64> {
    let text = fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?;
    text.trim().parse().ok()
}

/// The bytes in the line of a file that starts with a name.
fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_some() {
        assert!(limit().is_some_and(|limit| limit > 1_000_000));
        assert_eq!(kilobytes("/proc/meminfo", "None such:"), None);
    }
}
