//! What a study has found so far, in a file that it goes on from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files;

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which question it belongs to.
    pub part: String,
    /// What was done, as words apart by spaces.
    pub case: String,
    /// The seed of the network.
    pub seed: u64,
    /// Precision of the polynomials; 0 for ReLU itself.
    pub alpha: u32,
    /// What was measured.
    pub measure: String,
    /// Its value.
    pub value: f64,
}

/// Results by the unit of work that they come from.
#[derive(Serialize, Deserialize)]
pub struct Results {
    /// What decides about them.
    settings: String,
    units: BTreeMap<String, Vec<Row>>,
    #[serde(skip)]
    path: PathBuf,
}

impl Results {
    /// Those in a file, or none yet.
    pub fn open(path: &Path, settings: String) -> Result<Results> {
        if !path.exists() {
            return Ok(Results { settings, units: BTreeMap::new(), path: path.to_owned() });
        }
        let read = || -> Result<Results> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
        let mut results =
            read().with_context(|| format!("cannot go on from {}", path.display()))?;
        if results.settings != settings {
            bail!(
                "{} has results of other settings; name another folder or remove it.\n  there: {}\n  \
                 here: {settings}",
                path.display(),
                results.settings
            );
        }
        results.path = path.to_owned();
        Ok(results)
    }

    /// Does a unit of work, unless it is done, and keeps what it finds.
    pub fn unit(&mut self, name: &str, work: impl FnOnce() -> Result<Vec<Row>>) -> Result<()> {
        if !self.units.contains_key(name) {
            self.units.insert(name.to_owned(), work()?);
            files::write(&self.path, &serde_json::to_vec(self)?)?;
        }
        Ok(())
    }

    /// All numbers.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.units.values().flatten()
    }

    /// All numbers as comma-separated values.
    pub fn table(&self) -> String {
        let mut text = "part,case,seed,alpha,measure,value\n".to_owned();
        for Row { part, case, seed, alpha, measure, value } in self.rows() {
            text.push_str(&format!("{part},{case},{seed},{alpha},{measure},{value}\n"));
        }
        text
    }

    /// The values of a measure in a case, one for each seed.
    pub fn values(&self, part: &str, case: &str, alpha: u32, measure: &str) -> Vec<f64> {
        let fits = |row: &&Row| {
            row.part == part && row.case == case && row.alpha == alpha && row.measure == measure
        };
        self.rows().filter(fits).map(|row| row.value).collect()
    }
}
