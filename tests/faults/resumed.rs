//! Row 34: a fit that is killed at any moment.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::killed::{KILLED, begun, kills, moment};
use super::*;

fn plan() -> Plan<CountHead> {
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    scdcc(3)
        .with_epochs(6, 6)
        .with_self_training(|phase| phase.with_update_interval(2))
        .with_constraints(pairs)
}

fn data() -> Cells {
    simulated(160, 60, 5)
}

/// The bits of a fit, as text.
fn text(fit: &Fit<CountHead>) -> String {
    bits(fit).iter().map(|bits| format!("{bits:x}\n")).collect()
}

pub fn row_34_a_fit_killed_at_any_moment_ends_with_the_same_bits() {
    const TEST: &str = "resumed::row_34_a_fit_killed_at_any_moment_ends_with_the_same_bits";
    const FOLDER: &str = "CELLDEC_KILLED_FIT";
    if let Some(folder) = folder_of(FOLDER) {
        let cells = data();
        let checkpoint = CheckpointConfig::new(folder.join("checkpoint"));
        let checkpoint = checkpoint.with_interval(Duration::ZERO);
        let trainer = plan().trainer(&cpu()).unwrap().with_checkpoint(checkpoint);
        fs::write(folder.join("begun"), b"").unwrap();
        let fit = trainer.fit(&cells).unwrap();
        fs::write(folder.join("result.part"), text(&fit)).unwrap();
        fs::rename(folder.join("result.part"), folder.join("result")).unwrap();
        return;
    }
    let undisturbed = text(&fitted(&plan(), &data()));
    let (mut killed, mut finished) = (0, 0);
    while killed < kills() {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join("result");
        // Ever later, so that it comes to an end.
        let mut life = 0;
        while !result.exists() {
            let marker = folder.path().join("begun");
            if marker.exists() {
                fs::remove_file(&marker).unwrap();
            }
            let fit = Killed(again(TEST, FOLDER, folder.path()).spawn().unwrap());
            begun(folder.path());
            std::thread::sleep(moment(killed * 7 + life) * (1 + life as u32 * life as u32 / 4));
            drop(fit);
            life += 1;
            if !result.exists() {
                killed += 1;
                KILLED.fetch_add(1, Ordering::Relaxed);
            }
        }
        finished += 1;
        assert_eq!(
            fs::read_to_string(&result).unwrap(),
            undisturbed,
            "after {killed} kills"
        );
    }
    println!("{killed} kills, {finished} fits ended with the bits of an undisturbed one");
}
