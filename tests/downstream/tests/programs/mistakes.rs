//! Mistakes that the compiler finds, in words that say what to do.
//!
//! Each is a file of `tests/mistakes`. Its lines `//~ …` are phrases that the compiler's message
//! must have.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn mistakes_do_not_compile_and_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the mistakes")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    let temporary = tempfile::tempdir().expect("a folder");
    let celldec = library(temporary.path());
    for file in files {
        let name = file.display();
        let output = compile(&file, &celldec, temporary.path());
        let message = String::from_utf8_lossy(&output.stderr);
        println!("{message}");
        assert!(!output.status.success(), "{name} compiles");
        let errors = message.lines().filter(|line| line.starts_with("error["));
        assert_eq!(errors.count(), 1, "{name} has other errors:\n{message}");
        let text = fs::read_to_string(&file).expect("text");
        let phrases: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("//~ "))
            .collect();
        assert!(!phrases.is_empty(), "{name} says nothing of its message");
        for phrase in phrases {
            assert!(
                message.contains(phrase),
                "{name}: no \"{phrase}\" in\n{message}"
            );
        }
    }
}

/// Checks a program against the library, as cargo would.
fn compile(program: &Path, celldec: &Path, output: &Path) -> Output {
    let dependencies = celldec.parent().expect("a folder");
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .arg("--extern")
        .arg(format!("celldec={}", celldec.display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .arg("--out-dir")
        .arg(output)
        .arg(program)
        .output()
        .expect("the compiler runs")
}

/// The library that these tests were built with, or one that was built since: beside this test, as
/// cargo puts it. Those of other compilers are passed over.
fn library(temporary: &Path) -> PathBuf {
    let test = env::current_exe().expect("a path");
    let folder = test.parent().expect("a folder");
    let mut libraries: Vec<_> = fs::read_dir(folder)
        .expect("the folder of this test")
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let fits = name.starts_with("libcelldec-") && name.ends_with(".rlib");
            Some((
                fits.then(|| entry.metadata().ok())??.modified().ok()?,
                entry.path(),
            ))
        })
        .collect();
    libraries.sort();
    let program = temporary.join("right.rs");
    let text = "pub fn plan() -> celldec::train::Plan<celldec::nn::CountHead> {\n    \
                celldec::train::Plan::scdcc(3)\n}\n";
    fs::write(&program, text).expect("a program");
    let mut refused = String::new();
    for (_, library) in libraries.into_iter().rev() {
        let output = compile(&program, &library, temporary);
        if output.status.success() {
            return library;
        }
        refused += &String::from_utf8_lossy(&output.stderr);
    }
    panic!("no library in {} can be used:\n{refused}", folder.display());
}
