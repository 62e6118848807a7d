//! Parts of messages: as much of names and of other programs' words as people read.

use std::borrow::Cow;
use std::fmt::Debug;

/// A name.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    const MOST: usize = 100;
    match name.char_indices().nth(MOST) {
        None => name.into(),
        Some((end, _)) => format!("{}…", &name[..end]).into(),
    }
}

/// Words that may quote what a file holds, as those of parsers do: they begin with what is wrong and end
/// with the place and what to do.
pub(super) fn abridged(words: &str) -> Cow<'_, str> {
    /// Bytes of the beginning and of the end.
    const BEGINNING: usize = 800;
    const END: usize = 300;
    if words.len() <= BEGINNING + END {
        return words.into();
    }
    let beginning = &words[..words.floor_char_boundary(BEGINNING)];
    let end = &words[words.ceil_char_boundary(words.len() - END)..];
    format!("{beginning} … {end}").into()
}

/// The values of a setting.
pub(super) fn listed(values: &[impl Debug]) -> String {
    abridged(&format!("{values:?}")).into_owned()
}

/// A number of bytes for messages.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_both_ends() {
        let words = format!("wrong is {} at line 3", "ä🧬".repeat(2000));
        let message = abridged(&words);
        assert!(message.len() < 1110, "{}", message.len());
        assert!(message.starts_with("wrong is ä🧬ä🧬"), "{message}");
        assert!(message.ends_with("ä🧬 at line 3"), "{message}");
        assert_eq!(abridged("short"), "short");
    }

    #[test]
    fn values_of_a_long_setting_are_abridged() {
        assert_eq!(listed(&[64, 0]), "[64, 0]");
        assert!(listed(&vec![64; 100_000]).len() < 1110);
    }
}
