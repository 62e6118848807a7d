//! A record of training that grows while it runs.

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::observer::{Event, Observer};
use crate::error::{Error, Result};
use crate::model::EpochRecord;

/// An observer that writes the losses of every epoch to a CSV file as soon as it has ended, a line for
/// each value: `phase,epoch,name,value`, where names are those of the loss terms
/// ([`EpochRecord::all_losses`]), `changed_labels` and `seconds`. What plots training runs can follow the
/// file.
///
/// Training goes on when the disk is full; [`finish`](Self::finish) tells.
///
/// ```
/// use celldec::prelude::*;
/// use celldec::train::EpochLog;
///
/// let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let path = std::env::temp_dir().join(format!("epochs-{}.csv", std::process::id()));
/// let mut log = EpochLog::create(&path)?;
/// let trainer = Plan::scdcc(3).with_epochs(2, 1).trainer(&Device::default())?;
/// trainer.fit_observed(&cells, &mut log)?;
/// log.finish()?;
/// let text = std::fs::read_to_string(&path).unwrap_or_default();
/// assert!(text.starts_with("phase,epoch,name,value\npretraining,0,"));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug)]
pub struct EpochLog {
    path: PathBuf,
    file: File,
    failed: Option<std::io::Error>,
}

impl EpochLog {
    /// Starts a file, in place of one that is there.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let start = || {
            let mut file = File::create(path)?;
            file.write_all(b"phase,epoch,name,value\n")?;
            Ok(file)
        };
        Ok(Self {
            path: path.into(),
            file: start().map_err(|error| Error::io(path, error))?,
            failed: None,
        })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::Io`] when an epoch could not be written; those after it are missing, too.
    pub fn finish(self) -> Result<()> {
        match self.failed {
            Some(error) => Err(Error::io(self.path, error)),
            None => Ok(()),
        }
    }

    fn write(&mut self, record: &EpochRecord) -> std::io::Result<()> {
        let mut lines = String::new();
        let phase = field(&record.phase.to_string());
        let mut line = |name: &str, value: f64| {
            lines += &format!("{phase},{},{},{value}\n", record.epoch, field(name));
        };
        for (name, value) in record.all_losses() {
            line(&name, value);
        }
        if let Some(changed) = record.changed {
            line("changed_labels", changed);
        }
        line("seconds", record.seconds);
        self.file.write_all(lines.as_bytes())
    }
}

impl Observer for EpochLog {
    fn on_event(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        if let Event::EpochFinished(record) = event
            && self.failed.is_none()
        {
            self.failed = self.write(record).err();
        }
        ControlFlow::Continue(())
    }
}

/// A text as a field of a line, in quotes where it needs them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;

    fn record(name: &str) -> EpochRecord {
        EpochRecord {
            phase: Phase::Own {
                name: name.to_string(),
            },
            epoch: 4,
            losses: vec![("a, b".to_string(), 0.5)],
            validation: vec![("a, b".to_string(), 0.75)],
            changed: Some(0.25),
            seconds: 2.0,
        }
    }

    #[test]
    fn every_value_has_a_line_while_training_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut log = EpochLog::create(&path).unwrap();
        let _ = log.on_event(&Event::EpochFinished(&record("mine \"too\"")));
        let text = std::fs::read_to_string(&path).unwrap();
        let phase = "\"mine \"\"too\"\"\"";
        assert_eq!(
            text,
            format!(
                "phase,epoch,name,value\n{phase},4,\"a, b\",0.5\n\
                 {phase},4,\"validation a, b\",0.75\n{phase},4,changed_labels,0.25\n\
                 {phase},4,seconds,2\n"
            )
        );
        log.finish().unwrap();
        assert!(EpochLog::create(folder.path().join("no/log.csv")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let mut log = EpochLog {
            path: "/dev/full".into(),
            file: File::options().write(true).open("/dev/full").unwrap(),
            failed: None,
        };
        let flow = log.on_event(&Event::EpochFinished(&record("mine")));
        assert!(flow.is_continue());
        let message = log.finish().unwrap_err().to_string();
        assert!(message.contains("/dev/full"), "{message}");
    }
}
