//! Named numbers, kept on disk while they are measured.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::output::{self, Table};

/// Metrics by name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Metrics {
    metrics: BTreeMap<String, f64>,
    /// Where they are kept as well.
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Metrics {
    /// None yet, or with `resume` those that `file` holds.
    pub fn new(file: Option<PathBuf>, resume: bool) -> Result<Metrics> {
        let kept = match &file {
            Some(path) if resume && path.exists() => {
                let read =
                    || -> Result<Metrics> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
                read().with_context(|| format!("cannot go on with {}", path.display()))?.metrics
            }
            _ => BTreeMap::new(),
        };
        let metrics = Metrics { metrics: kept, file };
        // Whether the file can be written shows before anything is measured.
        metrics.write()?;
        Ok(metrics)
    }

    /// Whether `name` is known.
    pub fn holds(&self, name: &str) -> bool {
        self.metrics.contains_key(name)
    }

    /// Adds a metric, or replaces it; says so on standard error and keeps it on disk.
    pub fn record(&mut self, name: &str, value: f64) -> Result<()> {
        if !value.is_finite() {
            bail!("the metric {name} came out as {value}");
        }
        output::note(format_args!("{name} {}", number(value)));
        self.metrics.insert(name.to_owned(), value);
        self.write()
    }

    /// As people read them.
    pub fn table(&self) -> String {
        let mut table = Table::new(&["metric", "value"]);
        for (name, value) in &self.metrics {
            table.row([name.clone(), number(*value)]);
        }
        table.to_string()
    }

    /// The file is whole at any time.
    fn write(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let write = || -> Result<()> {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let mut file = NamedTempFile::new_in(folder.unwrap_or(".".as_ref()))?;
            serde_json::to_writer_pretty(&mut file, self)?;
            writeln!(file)?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Four digits of a measured number.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = 3 - value.abs().log10().floor() as i32;
    format!("{value:.*}", decimals.clamp(0, 9) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(
            [0.0, 0.012_345, 1.0, 43.219, 12_345.6].map(number),
            ["0", "0.01235", "1.000", "43.22", "12346"]
        );
    }

    #[test]
    fn what_was_measured_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.json");
        let mut metrics = Metrics::new(Some(path.clone()), true).unwrap();
        metrics.record("relu.seconds", 0.25).unwrap();
        assert!(metrics.record("relu.bytes", f64::NAN).is_err());
        let text = std::fs::read_to_string(&path).unwrap();
        let compact: String = text.split_whitespace().collect();
        assert_eq!(compact, r#"{"metrics":{"relu.seconds":0.25}}"#);
        let resumed = Metrics::new(Some(path.clone()), true).unwrap();
        assert!(resumed.holds("relu.seconds") && !resumed.holds("relu.bytes"));
        assert!(!Metrics::new(Some(path.clone()), false).unwrap().holds("relu.seconds"));
        std::fs::write(&path, "{}").unwrap();
        assert!(Metrics::new(Some(path), true).is_err());
    }
}
