//! Processes that are killed: this test binary starts itself again as the process to kill.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use super::*;

/// What a child is to fit, where it writes, and after how many epochs it waits to be killed; set
/// only for a child.
const METHOD: &str = "CELLDEC_TEST_METHOD";
const PATH: &str = "CELLDEC_TEST_CHECKPOINT";
const EPOCHS: &str = "CELLDEC_TEST_EPOCHS";

fn method(name: &str) -> Box<dyn Method> {
    match name {
        "scdcc" => Box::new(default_scdcc()),
        "joint" => Box::new(joint()),
        "desc" => Box::new(two_resolutions()),
        other => panic!("no method {other}"),
    }
}

fn data() -> Cells {
    simulated(80, 30, 9).0
}

/// The process that is killed: fits, and says on standard output what it has come to. As a test
/// among others it has nothing to do.
#[test]
fn child() {
    let (Ok(name), Ok(path)) = (std::env::var(METHOD), std::env::var(PATH)) else {
        return;
    };
    let last: Option<usize> = std::env::var(EPOCHS).ok().map(|text| text.parse().unwrap());
    let mut epochs = 0;
    let mut tell = |event: &Event<'_>| match event {
        Event::EpochFinished(_) => {
            println!("epoch");
            epochs += 1;
            if last == Some(epochs) {
                println!("waiting");
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        Event::CheckpointSaved { .. } => println!("saved"),
        Event::CheckpointFailed { error, .. } => println!("failed: {error}"),
        _ => {}
    };
    // The harness has begun a line.
    println!();
    let checkpoint = every_epoch(Path::new(&path));
    method(&name)
        .fit(&data(), Some(checkpoint), &mut tell)
        .unwrap();
    println!("finished");
}

/// This binary as a child, started by a shell that first runs `setup`.
fn child_process(name: &str, path: &Path, setup: &str) -> Command {
    let test = concat!(module_path!(), "::child");
    let (_, test) = test.split_once("::").unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{setup} exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(METHOD, name)
        .env(PATH, path)
        .stderr(Stdio::null());
    command
}

/// A fit that is killed (SIGKILL) at the end of an epoch, before it can write the checkpoint of
/// that epoch.
fn kill_after(epochs: usize, name: &str, path: &Path) {
    let mut child = child_process(name, path, "")
        .env(EPOCHS, epochs.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "waiting"),
        "{name}: finished too soon"
    );
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

/// What a child says until its end, and how it ends.
fn said(name: &str, path: &Path, setup: &str) -> (Vec<String>, ExitStatus) {
    let output = child_process(name, path, setup).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(str::to_string).collect(), output.status)
}

/// Fault 34.
#[test]
fn a_killed_fit_resumes_to_the_same_bits() {
    let cells = data();
    for (name, kills) in [("scdcc", [2, 5]), ("joint", [5, 6]), ("desc", [4, 13])] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("checkpoint");
        // Killed, resumed, killed again in another phase.
        for epochs in kills {
            kill_after(epochs, name, &path);
        }
        let mut epochs = 0;
        let mut count = |event: &Event<'_>| {
            epochs += usize::from(matches!(event, Event::EpochFinished(_)));
        };
        let checkpoint = Some(CheckpointConfig::new(&path));
        let resumed = method(name).fit(&cells, checkpoint, &mut count).unwrap();
        let undisturbed = method(name).fit(&cells, None, &mut silent).unwrap();
        assert_eq!(resumed, undisturbed, "{name}");
        let all: usize = undisturbed
            .iter()
            .map(|(_, status)| status.self_training_epochs)
            .sum();
        assert!(
            0 < epochs && epochs <= all,
            "{name}: {epochs} of {all} epochs were left"
        );
    }
}

/// A checkpoint of a killed child, larger than the limit on files that the next one has.
#[cfg(unix)]
fn killed_early(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("checkpoint");
    kill_after(2, "scdcc", &path);
    assert!(fs::metadata(&path).unwrap().len() > 8 * 1024);
    path
}

/// The sizes of all files in a folder but one.
#[cfg(unix)]
fn other_files(folder: &TempDir, path: &Path) -> Vec<u64> {
    fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path() != path)
        .map(|entry| entry.metadata().unwrap().len())
        .collect()
}

/// Fault 33: killed in the middle of writing, by the signal that ends a process whose file grows
/// beyond its limit. The checkpoint before is whole.
#[test]
#[cfg(unix)]
fn killed_while_saving_leaves_the_previous_checkpoint() {
    use std::os::unix::process::ExitStatusExt;

    let folder = TempDir::new().unwrap();
    let path = killed_early(&folder);
    let before = fs::read(&path).unwrap();
    let (said, status) = said("scdcc", &path, "ulimit -f 8;");
    assert!(said.iter().any(|line| line == "epoch"), "{said:?}");
    assert!(!said.iter().any(|line| line == "saved"), "{said:?}");
    assert!(status.signal().is_some(), "{status}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let partial = other_files(&folder, &path);
    let cut = |&size: &u64| size > 0 && size < before.len() as u64;
    assert!(partial.len() == 1 && partial.iter().all(cut), "{partial:?}");

    let cells = data();
    let method = method("scdcc");
    let checkpoint = Some(CheckpointConfig::new(&path));
    let resumed = method.fit(&cells, checkpoint, &mut silent).unwrap();
    assert_eq!(resumed, method.fit(&cells, None, &mut silent).unwrap());
}

/// Fault 32, where the disk is full in the middle of a file: the same limit without the signal.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_previous_checkpoint() {
    let folder = TempDir::new().unwrap();
    let path = killed_early(&folder);
    let before = fs::read(&path).unwrap();
    let setup = "trap '' XFSZ; ulimit -f 8;";
    let (said, status) = said("scdcc", &path, setup);
    assert!(status.success(), "{status}");
    assert!(
        said.iter().any(|line| line.starts_with("failed: ")),
        "{said:?}"
    );
    assert!(!said.iter().any(|line| line == "saved"), "{said:?}");
    assert!(said.iter().any(|line| line == "finished"), "{said:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        other_files(&folder, &path),
        [0u64; 0],
        "nothing half-written stays"
    );
}
