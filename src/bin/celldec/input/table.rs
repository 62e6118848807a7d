//! Options about tables of counts.

use celldec::io::TableOptions;
use clap::builder::BoolValueParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// The name of an option, its help, and what an answer sets.
type TableOption = (
    &'static str,
    &'static str,
    fn(TableOptions, bool) -> TableOptions,
);

/// Each may be given alone, for yes, or with an answer.
const OPTIONS: [TableOption; 3] = [
    (
        "transposed",
        "The table has a line for every gene; =false: for every cell [default: found out from names]",
        TableOptions::with_transposed,
    ),
    (
        "header",
        "The first line of the table names its columns; =false: it does not [default: found out]",
        TableOptions::with_header,
    ),
    (
        "row-names",
        "Lines of the table start with a name; =false: they do not [default: found out]",
        TableOptions::with_row_names,
    ),
];

/// What is said of a table.
#[derive(Debug)]
pub struct TableArguments {
    /// The answer to every option, in their order; `None` for one that is not given.
    answers: [Option<bool>; OPTIONS.len()],
}

impl TableArguments {
    /// The options that are given, as they are written.
    pub fn given(&self) -> impl Iterator<Item = String> {
        let answered = OPTIONS.iter().zip(self.answers);
        answered.filter_map(|((name, ..), answer)| answer.map(|_| format!("--{name}")))
    }

    /// Sets what is said.
    pub fn apply(&self, options: TableOptions) -> TableOptions {
        let answered = OPTIONS.iter().zip(self.answers);
        answered.fold(options, |options, ((.., set), answer)| match answer {
            Some(answer) => set(options, answer),
            None => options,
        })
    }
}

// By hand, because the derived form repeats what the options have in common at each of them.
impl Args for TableArguments {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, (name, help, _)| {
            command.arg(
                Arg::new(*name)
                    .long(*name)
                    .help(*help)
                    .value_name("BOOL")
                    .value_parser(BoolValueParser::new())
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TableArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            answers: OPTIONS.map(|(name, ..)| matches.get_one(name).copied()),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<TableArguments, clap::Error> {
        let command = TableArguments::augment_args(Command::new("celldec"));
        let line = ["celldec"].iter().chain(line);
        TableArguments::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    #[test]
    fn options_are_answered_yes_alone_and_as_told() {
        let none = parsed(&[]).unwrap();
        assert_eq!(none.apply(TableOptions::new()), TableOptions::new());
        assert_eq!(none.given().count(), 0);
        let some = parsed(&["--transposed", "--row-names=false"]).unwrap();
        let expected = TableOptions::new()
            .with_transposed(true)
            .with_row_names(false);
        assert_eq!(some.apply(TableOptions::new()), expected);
        let given: Vec<String> = some.given().collect();
        assert_eq!(given, ["--transposed", "--row-names"]);
        assert!(parsed(&["--header=perhaps"]).is_err());
        assert!(parsed(&["--header", "false"]).is_err());
    }
}
