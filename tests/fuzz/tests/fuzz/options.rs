//! What is asked for.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::available_parallelism;

/// What is asked for.
pub struct Options {
    pub seconds: f64,
    pub seed: u64,
    pub target: Option<String>,
    pub workers: usize,
    pub failures: PathBuf,
    pub replay: Option<PathBuf>,
    /// The number of the worker that this process is.
    pub worker: Option<usize>,
    /// The first of the chosen targets that a worker runs.
    pub first: usize,
    /// Where a worker works.
    pub folder: Option<PathBuf>,
}

impl Options {
    /// The options of this process; `None` when other tests are asked for.
    ///
    /// # Errors
    /// A value that is none.
    pub fn read() -> Result<Option<Self>, String> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        // What `cargo test` tells every test: names to choose from, and how to print.
        if arguments.iter().any(|argument| argument == "--list") {
            return Ok(None);
        }
        const WITH_VALUE: [&str; 4] = ["--test-threads", "--skip", "--format", "--color"];
        let mut names = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if KNOWN.contains(&argument.as_str()) || WITH_VALUE.contains(&argument.as_str()) {
                rest.next();
            } else if !argument.starts_with("--") {
                names.push(argument.as_str());
            }
        }
        if !names.is_empty() && !names.iter().any(|name| "fuzz".contains(name)) {
            return Ok(None);
        }
        let value = |name: &str| {
            let position = arguments.iter().position(|argument| argument == name);
            let given = position.and_then(|position| arguments.get(position + 1).cloned());
            let variable = name.trim_start_matches('-').to_uppercase();
            given.or_else(|| env::var(format!("CELLDEC_FUZZ_{variable}")).ok())
        };
        let failures = value("--failures").map_or_else(
            || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz-failures"),
            PathBuf::from,
        );
        Ok(Some(Self {
            seconds: parsed(value("--seconds"), "--seconds")?.unwrap_or(20.0),
            seed: parsed(value("--seed"), "--seed")?.unwrap_or(1),
            target: value("--target"),
            workers: parsed(value("--workers"), "--workers")?
                .unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
            failures,
            replay: value("--replay").map(PathBuf::from),
            worker: parsed(value("--worker"), "--worker")?,
            first: parsed(value("--first"), "--first")?.unwrap_or(0),
            folder: value("--folder").map(PathBuf::from),
        }))
    }
}

const KNOWN: [&str; 9] = [
    "--seconds",
    "--seed",
    "--target",
    "--workers",
    "--failures",
    "--replay",
    "--worker",
    "--first",
    "--folder",
];

fn parsed<T: FromStr>(value: Option<String>, name: &str) -> Result<Option<T>, String> {
    value
        .map(|text| {
            text.parse()
                .map_err(|_| format!("{name} {text}: no number"))
        })
        .transpose()
}
