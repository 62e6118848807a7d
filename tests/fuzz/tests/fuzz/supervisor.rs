//! Starts workers, watches them and adds up what they say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use celldec_fuzz::input::Input;

use crate::options::Options;
use crate::{LONGEST, chosen};

/// What became of a target.
#[derive(Default)]
struct Tally {
    executions: u64,
    read: u64,
    /// Kinds of messages, of the worker that saw most.
    kinds: u64,
    failures: u64,
}

/// Runs all workers to their end and prints the table; returns the number of failures.
///
/// # Errors
/// When a worker cannot be started.
pub fn run(options: &Options) -> io::Result<u64> {
    let names: Vec<&str> = chosen(options)
        .iter()
        .map(|(_, target)| target.name())
        .collect();
    if names.is_empty() {
        let all = celldec_fuzz::targets::all();
        let all: Vec<&str> = all.iter().map(|target| target.name()).collect();
        return Err(io::Error::other(format!(
            "no such target, there are: {all:?}"
        )));
    }
    let base = Path::new("/dev/shm");
    let scratch = if base.is_dir() {
        tempfile::tempdir_in(base)
    } else {
        tempfile::tempdir()
    }?;
    let begin = std::time::Instant::now();
    let results: Vec<io::Result<BTreeMap<usize, Tally>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers.max(1))
            .map(|worker| {
                let folder = scratch.path().join(worker.to_string());
                let count = names.len();
                scope.spawn(move || watch(options, worker, count, &folder))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a watch ended")))
            })
            .collect()
    });
    let mut all = BTreeMap::<usize, Tally>::new();
    for tallies in results {
        for (target, tally) in tallies? {
            let sum = all.entry(target).or_default();
            sum.executions += tally.executions;
            sum.read += tally.read;
            sum.kinds = sum.kinds.max(tally.kinds);
            sum.failures += tally.failures;
        }
    }
    println!(
        "\nfuzzing with seed {}, {} processes, {:.0} s",
        options.seed,
        options.workers,
        begin.elapsed().as_secs_f64()
    );
    println!(
        "{:<16} {:>12} {:>12} {:>10} {:>9}",
        "target", "executions", "of them read", "outcomes", "failures"
    );
    let mut total = Tally::default();
    for (position, name) in names.iter().enumerate() {
        let tally = all.remove(&position).unwrap_or_default();
        println!(
            "{name:<16} {:>12} {:>12} {:>10} {:>9}",
            tally.executions, tally.read, tally.kinds, tally.failures
        );
        // A target of which nothing is sound tests the first check alone.
        let untested = tally.read == 0;
        if untested {
            println!("{name}: nothing was read");
        }
        total.executions += tally.executions;
        total.read += tally.read;
        total.failures += tally.failures + u64::from(untested);
    }
    println!(
        "{:<16} {:>12} {:>12} {:>10} {:>9}",
        "all", total.executions, total.read, "", total.failures
    );
    Ok(total.failures)
}

/// Runs a worker, again after each target that ended it.
fn watch(
    options: &Options,
    worker: usize,
    targets: usize,
    folder: &Path,
) -> io::Result<BTreeMap<usize, Tally>> {
    let mut tallies = BTreeMap::<usize, Tally>::new();
    let mut first = 0;
    while first < targets {
        fs::create_dir_all(folder)?;
        let (mut child, lines) = start(options, worker, first, folder)?;
        let mut current = first;
        let mut ended = false;
        let mut counted = [0; 3];
        // The first input is made before the first sign of life.
        let silence = LONGEST + Duration::from_secs(40);
        let reason = loop {
            match lines.recv_timeout(silence) {
                Ok(line) => {
                    let mut words = line.split(' ');
                    match words.next() {
                        Some("target") => {
                            current = words.next().and_then(|n| n.parse().ok()).unwrap_or(current);
                            ended = false;
                            counted = [0; 3];
                        }
                        Some("count") => {
                            let tally = tallies.entry(current).or_default();
                            let now = [(); 3].map(|()| {
                                words.next().and_then(|n| n.parse().ok()).unwrap_or(0u64)
                            });
                            tally.executions += now[0] - counted[0];
                            tally.read += now[1] - counted[1];
                            tally.kinds = tally.kinds.max(now[2]);
                            counted = now;
                        }
                        Some("failure") => {
                            tallies.entry(current).or_default().failures += 1;
                            println!("{line}");
                        }
                        Some("end") => ended = true,
                        _ => println!("worker {worker}: {line}"),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    break format!("no sign of life for {silence:?}");
                }
                Err(RecvTimeoutError::Disconnected) => break String::new(),
            }
        };
        let status = child.wait()?;
        if status.success() && ended && reason.is_empty() {
            break;
        }
        // What it read when it ended lies in its folder.
        let kept = options
            .failures
            .join(format!("ended-{}-{worker}-{current}", options.seed));
        let saved = fs::create_dir_all(&kept)
            .and_then(|()| Input::read(folder))
            .and_then(|input| input.write(&kept));
        tallies.entry(current).or_default().failures += 1;
        println!(
            "failure {}: the process ended ({status}) {reason}{}",
            kept.display(),
            saved
                .err()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default()
        );
        first = current + 1;
    }
    Ok(tallies)
}

fn start(
    options: &Options,
    worker: usize,
    first: usize,
    folder: &Path,
) -> io::Result<(Child, Receiver<String>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--seconds", &options.seconds.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .args(["--worker", &worker.to_string()])
        .args(["--first", &first.to_string()])
        .arg("--failures")
        .arg(&options.failures)
        .arg("--folder")
        .arg(folder)
        // Threads would only wait for each other: there is a process for every processor.
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(target) = &options.target {
        command.args(["--target", target]);
    }
    let mut child = command.spawn()?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no output"))?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok((child, lines))
}
