//! Ends the program with one line that says what went wrong and what to do.

use std::io::ErrorKind;
use std::process::ExitCode;

use celldec::{Error, Result};

use crate::wording;

/// 0 for success, 2 for settings that cannot be used, 1 for everything else.
pub fn code(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {}", message(&error));
    match error {
        Error::Parameter(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// What is wrong and what to do, in the words of the command line.
pub fn message(error: &Error) -> String {
    match error {
        Error::Io { path, cause } if cause.kind() == ErrorKind::NotFound => {
            format!("{}: not found; check the path", path.display())
        }
        _ => shortened(wording::in_options(error.to_string())),
    }
}

/// As much of a message as people read; its beginning says what is wrong, and its end what to do.
fn shortened(message: String) -> String {
    const LINES: usize = 10;
    const CHARACTERS: usize = 1500;
    let message = match message.lines().count() {
        0..=LINES => message,
        _ => message.lines().take(LINES).collect::<Vec<_>>().join("\n"),
    };
    let characters: Vec<char> = message.chars().collect();
    if characters.len() <= CHARACTERS {
        return message;
    }
    let (start, end) = (CHARACTERS * 2 / 3, characters.len() - CHARACTERS / 3);
    let text = |part: &[char]| part.iter().collect::<String>();
    format!(
        "{} … {}",
        text(&characters[..start]),
        text(&characters[end..])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_keep_both_ends() {
        let names: Vec<String> = (0..40_000).map(|gene| format!("gene{gene}")).collect();
        let reason = format!("missing are {}; check them", names.join(", "));
        let message = message(&Error::format("a.csv", 3, reason));
        assert!(message.len() < 1600, "{}", message.len());
        assert!(message.starts_with("a.csv, line 3: missing are gene0, "));
        assert!(message.ends_with("gene39999; check them"));
        assert_eq!(shortened("short".into()), "short");
        assert_eq!(shortened("line\n".repeat(50)).lines().count(), 10);
    }
}
