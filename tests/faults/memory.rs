//! Row 38: many fits in one process.

use super::*;

const FITS: usize = 100;
/// Fits after which everything that is made once has been made.
const SETTLED: usize = 40;
/// What noise of the allocator may add to 60 fits. A leak of one small matrix a fit is more.
const SLACK: usize = 3 << 20;

/// Bytes of this process that are in memory; `None` where the system does not say.
fn resident() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Runs itself once more, so that other tests do not count.
pub fn row_38_memory_reaches_a_plateau() {
    const TEST: &str = "memory::row_38_memory_reaches_a_plateau";
    const FOLDER: &str = "CELLDEC_PLATEAU";
    if let Some(folder) = folder_of(FOLDER) {
        let cells = simulated(80, 30, 1);
        let plan = scdcc(3);
        let mut lines = String::new();
        for number in 1..=FITS {
            let fit = fitted(&plan.clone().with_seed(number as u64), &cells);
            fit.model().save(folder.join("model")).unwrap();
            ScdccModel::load(folder.join("model"), &cpu())
                .unwrap()
                .assign(&cells)
                .unwrap();
            lines += &format!("{}\n", resident().unwrap());
        }
        fs::write(folder.join("resident"), lines).unwrap();
        return;
    }
    if resident().is_none() {
        println!("skipped: this system has no /proc/self/statm");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = again(TEST, FOLDER, folder.path());
    // Threads that come and go have memory of their own.
    let status = child.env("RAYON_NUM_THREADS", "2").status().unwrap();
    assert!(status.success());
    let lines = fs::read_to_string(folder.path().join("resident")).unwrap();
    let bytes: Vec<usize> = lines.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(bytes.len(), FITS);
    let highest = |range: std::ops::Range<usize>| bytes[range].iter().copied().max().unwrap();
    let (settled, end) = (highest(0..SETTLED), highest(SETTLED..FITS));
    println!("{FITS} fits: {settled} bytes in the first {SETTLED}, {end} later");
    assert!(
        end <= settled + SLACK,
        "{settled} bytes became {end}: {bytes:?}"
    );
}
