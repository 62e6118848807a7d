//! How many lines the programs take.

use std::fs;
use std::io::{Write as _, stderr};
use std::path::Path;

/// A program's name, the lines that it may take, and those that it takes.
type Program = (String, usize, usize);

/// The programs of a file: lines that are neither blank nor comments.
fn programs(text: &str) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut current: Option<Program> = None;
    for line in text.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix("// program: ") {
            let (name, limit) = title.split_once("; at most ").expect("a limit");
            let limit = limit.trim_end_matches(" lines");
            current = Some((name.into(), limit.parse().expect("a number"), 0));
        } else if line == "// end" {
            programs.extend(current.take());
        } else if let Some((_, _, lines)) = &mut current {
            *lines += usize::from(!line.is_empty() && !line.starts_with("//"));
        }
    }
    assert!(current.is_none(), "a program without an end");
    programs
}

#[test]
fn programs_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the programs")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| !path.ends_with("lines.rs") && !path.ends_with("main.rs"))
        .collect();
    files.sort();
    let found: Vec<Program> = files
        .iter()
        .flat_map(|path| programs(&fs::read_to_string(path).expect("text")))
        .collect();
    assert!(found.len() >= 12, "{found:?}");
    // Written past the test harness, which shows what failing tests print only.
    let mut table = String::from("\nlines  most  program\n");
    for (name, limit, lines) in &found {
        table += &format!("{lines:5} {limit:5}  {name}\n");
    }
    let _ = stderr().write_all(table.as_bytes());
    for (name, limit, lines) in found {
        assert!(
            lines > 0 && lines <= limit,
            "{name}: {lines} lines, at most {limit}"
        );
    }
}
