//! Runs the tests of the rows, side by side, and prints what became of them.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Instant;

/// A test: its path, and what it does.
pub struct Test {
    pub name: &'static str,
    pub run: fn(),
}

/// A fault, the tests of it here, and further ones elsewhere (`file::function`).
pub struct Row {
    pub number: u8,
    pub fault: &'static str,
    pub tests: Vec<Test>,
    pub elsewhere: &'static [&'static str],
}

/// What is asked for on the command line.
#[derive(Default)]
struct Choice {
    names: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    /// Only tests that are not run by default, of which there are none.
    ignored: bool,
    threads: Option<usize>,
}

impl Choice {
    fn read() -> Self {
        let mut choice = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => choice.exact = true,
                "--list" => choice.list = true,
                "--ignored" => choice.ignored = true,
                "--skip" => choice.skipped.extend(arguments.next()),
                "--test-threads" => {
                    choice.threads = arguments.next().and_then(|text| text.parse().ok());
                }
                "--format" | "--color" | "--logfile" => drop(arguments.next()),
                other if other.starts_with("--") => {}
                _ => choice.names.push(argument),
            }
        }
        choice
    }

    fn takes(&self, name: &str) -> bool {
        let matches = |wanted: &String| {
            if self.exact {
                wanted == name
            } else {
                name.contains(wanted.as_str())
            }
        };
        !self.ignored
            && (self.names.is_empty() || self.names.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}

/// Runs the tests that are asked for.
pub fn run(rows: &[Row]) -> ExitCode {
    let choice = Choice::read();
    let tests: Vec<&Test> = rows
        .iter()
        .flat_map(|row| &row.tests)
        .filter(|test| choice.takes(test.name))
        .collect();
    if choice.list {
        for test in &tests {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", tests.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let threads = choice
        .threads
        .unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let passed = catch_unwind(test.run).is_ok();
                    let seconds = begin.elapsed().as_secs_f64();
                    println!(
                        "test {} ... {}",
                        test.name,
                        if passed { "ok" } else { "FAILED" }
                    );
                    if let Ok(mut results) = results.lock() {
                        results.insert(test.name, (passed, seconds));
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    print_table(rows, &results);
    let failed = tests.len() - results.values().filter(|(passed, _)| *passed).count();
    println!(
        "\ntest result: {}. {} passed; {failed} failed",
        if failed == 0 { "ok" } else { "FAILED" },
        tests.len() - failed
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_table(rows: &[Row], results: &BTreeMap<&str, (bool, f64)>) {
    let shown = |row: &&Row| row.tests.iter().any(|test| results.contains_key(test.name));
    println!("\nrow | fault | test | result");
    println!("---:|---|---|---");
    for row in rows.iter().filter(shown) {
        let fault = format!("{} | {}", row.number, row.fault);
        for test in &row.tests {
            if let Some((passed, seconds)) = results.get(test.name) {
                let result = if *passed { "passed" } else { "FAILED" };
                println!("{fault} | {} | {result} ({seconds:.1} s)", test.name);
            }
        }
        for test in row.elsewhere {
            println!("{fault} | {test} | in its own run");
        }
    }
}
