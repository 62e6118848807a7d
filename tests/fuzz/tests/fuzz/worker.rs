//! One process that reads one input after the other.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use celldec_fuzz::input::Input;
use celldec_fuzz::random::Random;
use celldec_fuzz::targets::{MOST, Target};

use crate::allocation::peak_of;
use crate::options::Options;
use crate::{FACTOR, FREE_BYTES, KNOWN, LONGEST, chosen};

/// The last panic: where and why.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// How often a worker says that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// Inputs that led to a new message are changed further, up to so many of them.
const MOST_KEPT: usize = 400;

/// Every panic counts, also one that is caught on its way.
fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = format!("panic at {place}: {}", text.unwrap_or_default());
        PANIC
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(message);
    }));
}

/// One execution: what came out, or what went wrong.
fn execute(target: &dyn Target, input: &Input, folder: &Path) -> Result<String, String> {
    input.write(folder).expect("room for the input");
    let begin = Instant::now();
    let (result, peak) = peak_of(|| catch_unwind(AssertUnwindSafe(|| target.run(folder))));
    let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(message) = panic {
        return Err(message);
    }
    let Ok(message) = result else {
        return Err("panic without a message".into());
    };
    if begin.elapsed() > LONGEST {
        return Err(format!("took {:?}", begin.elapsed()));
    }
    let size = input.size();
    if peak > FREE_BYTES + FACTOR * size {
        return Err(format!("{peak} bytes of memory for {size} bytes"));
    }
    Ok(message)
}

/// A message without the numbers in it: what kind of thing happened.
fn kind_of(message: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut digit = false;
    for byte in message.bytes().take(300) {
        if byte.is_ascii_digit() && digit {
            continue;
        }
        digit = byte.is_ascii_digit();
        let byte = if digit { b'0' } else { byte };
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// Says something to the supervisor.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // Without a supervisor there is nobody to tell.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Runs the targets one after the other, each for its share of the time.
pub fn run(options: &Options, worker: usize) {
    note_panics();
    let folder = options.folder.as_deref().expect("a folder for the worker");
    let targets = chosen(options);
    let share = Duration::from_secs_f64(options.seconds / targets.len().max(1) as f64);
    for (position, (number, mut target)) in targets.into_iter().enumerate().skip(options.first) {
        let mut random = Random::new(options.seed, &[worker as u64, number as u64]);
        say(&format!("target {position} {}", target.name()));
        let mut corpus = target.seeds();
        let sound = corpus.len();
        let known = known_inputs(target.name());
        let mut kinds = HashSet::new();
        let (mut executions, mut read) = (0u64, 0u64);
        let (begin, mut beat) = (Instant::now(), Instant::now());
        while begin.elapsed() < share || executions < (sound + known.len()) as u64 {
            let number = executions as usize;
            let input = if number < sound {
                corpus[number].clone()
            } else if let Some(input) = known.get(number - sound) {
                input.clone()
            } else {
                let mut input = random.pick(&corpus).clone();
                let other = random.pick(&corpus).clone();
                let times = 1 + random.length(6);
                target.change(&mut random, &mut input, &other, times);
                input
            };
            let result = execute(&*target, &input, folder);
            executions += 1;
            match result {
                Ok(message) => {
                    read += u64::from(message.starts_with("read"));
                    let new = kinds.insert(kind_of(&message));
                    if new && number >= sound && corpus.len() < MOST_KEPT && input.size() < MOST {
                        corpus.push(input);
                    }
                }
                Err(message) => {
                    let saved = save(options, &*target, worker, executions, &input, &message);
                    say(&format!("failure {saved}: {}", message.replace('\n', " ")));
                }
            }
            if beat.elapsed() > BEAT {
                beat = Instant::now();
                say(&format!("count {executions} {read} {}", kinds.len()));
            }
        }
        say(&format!("count {executions} {read} {}", kinds.len()));
        say("end");
    }
}

/// Inputs that once failed.
fn known_inputs(target: &str) -> Vec<Input> {
    let folder = Path::new(KNOWN).join(target.replace(' ', "-"));
    let mut folders: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        // There were none.
        Err(_) => Vec::new(),
    };
    folders.sort();
    folders
        .iter()
        .map(|folder| Input::read(folder).expect("a known input"))
        .collect()
}

/// Leaves a failing input; returns where.
fn save(
    options: &Options,
    target: &dyn Target,
    worker: usize,
    execution: u64,
    input: &Input,
    message: &str,
) -> String {
    let name = format!(
        "{}-{}-{worker}-{execution}",
        target.name().replace(' ', "-"),
        options.seed
    );
    let folder = options.failures.join(name);
    let written = fs::create_dir_all(&folder)
        .and_then(|()| input.write(&folder))
        .and_then(|()| fs::write(folder.with_extension("txt"), message));
    match written {
        Ok(()) => folder.display().to_string(),
        Err(error) => format!("{} ({error})", folder.display()),
    }
}

/// Reads one input again, with the messages of panics.
pub fn replay(options: &Options, folder: &Path) -> ExitCode {
    let input = Input::read(folder).expect("a folder with an input");
    let scratch = tempfile::tempdir().expect("a folder");
    let mut worst = ExitCode::SUCCESS;
    for (_, target) in chosen(options) {
        note_panics();
        match execute(&*target, &input, scratch.path()) {
            Ok(message) => println!("{}: {message}", target.name()),
            Err(message) => {
                println!("{}: FAILED: {message}", target.name());
                worst = ExitCode::FAILURE;
            }
        }
    }
    worst
}
