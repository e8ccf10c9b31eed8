//! What homomorphic operations cost, measured on a machine.

use serde::{Deserialize, Serialize};

/// The table that is used where none was measured.
const BUILT_IN: &str = include_str!("costs.toml");

/// Longest table that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Measured times of operations, by degree and number of primes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostTable {
    /// Where it was measured, for readers.
    pub machine: String,
    /// Times, by degree, then by primes.
    #[serde(rename = "at")]
    pub rows: Vec<Costs>,
}

/// Seconds of operations on ciphertexts of some degree with some number of primes, in one thread.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// log2 of the degree.
    pub log_degree: u32,
    /// Primes of the ciphertext: one more than its level.
    pub primes: usize,
    /// Encrypting a vector.
    pub encrypt: f64,
    /// Decrypting one.
    pub decrypt: f64,
    /// Sum of two ciphertexts.
    pub addition: f64,
    /// Product with an encoded vector, as part of a sum.
    pub plain_product: f64,
    /// Product with a number, as part of a sum.
    pub multiple: f64,
    /// Product of two ciphertexts, relinearised.
    pub product: f64,
    /// Rescaling by one prime.
    pub rescaling: f64,
    /// A rotation.
    pub rotation: f64,
    /// What all rotations of one ciphertext share.
    pub hoist: f64,
    /// What each of them takes beside that.
    pub hoisted: f64,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// The text is no table.
    #[error("the table of costs does not parse: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// The table is too long, empty or has impossible times.
    #[error("the table of costs cannot be used: {0}")]
    Unusable(&'static str),
}

impl CostTable {
    /// The table that comes with the program.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).unwrap_or_else(|e| unreachable!("the built-in table: {e}"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Text that is no table, or is one without sensible times.
    pub fn parse(text: &str) -> Result<Self, CostError> {
        if text.len() > MAX_BYTES {
            return Err(CostError::Unusable("it is too long"));
        }
        let mut table: Self = toml::from_str(text).map_err(Box::new)?;
        if table.rows.is_empty() {
            return Err(CostError::Unusable("it has no rows"));
        }
        let sensible = |row: &Costs| row.times().iter().all(|t| t.is_finite() && *t >= 0.0);
        if !table.rows.iter().all(|row| sensible(row) && (1..=64).contains(&row.primes)) {
            return Err(CostError::Unusable("a time is not a number of seconds"));
        }
        table.rows.sort_by_key(|row| (row.log_degree, row.primes));
        Ok(table)
    }

    /// The table as the text of a file.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| unreachable!("a table is valid TOML: {e}"))
    }

    /// Costs at a degree and a number of primes: measured, between two measured ones, or from the
    /// nearest in proportion.
    pub fn at(&self, log_degree: u32, primes: usize) -> Costs {
        let distance = |row: &Costs| row.log_degree.abs_diff(log_degree);
        let nearest = self.rows.iter().map(distance).min().unwrap_or(0);
        let rows: Vec<&Costs> = self.rows.iter().filter(|row| distance(row) == nearest).collect();
        let above = rows.iter().position(|row| row.primes >= primes);
        let mut costs = match above {
            Some(i) if i > 0 && rows[i].primes > primes => {
                let (low, high) = (rows[i - 1], rows[i]);
                let share = (primes - low.primes) as f64 / (high.primes - low.primes) as f64;
                low.mix(high, share)
            }
            found => {
                // Key switching takes time as the square of the primes, all else in proportion.
                let row = rows[found.unwrap_or(rows.len() - 1)];
                let ratio = primes as f64 / row.primes as f64;
                row.scaled(ratio, ratio * ratio)
            }
        };
        let degree = (f64::from(log_degree) - f64::from(costs.log_degree)).exp2();
        costs = costs.scaled(degree, degree);
        Costs { log_degree, primes, ..costs }
    }
}

impl Costs {
    fn times(&self) -> [f64; 10] {
        [
            self.encrypt,
            self.decrypt,
            self.addition,
            self.plain_product,
            self.multiple,
            self.product,
            self.rescaling,
            self.rotation,
            self.hoist,
            self.hoisted,
        ]
    }

    fn from_times(log_degree: u32, primes: usize, times: [f64; 10]) -> Self {
        let [
            encrypt,
            decrypt,
            addition,
            plain_product,
            multiple,
            product,
            rescaling,
            rotation,
            hoist,
            hoisted,
        ] = times;
        Self {
            log_degree,
            primes,
            encrypt,
            decrypt,
            addition,
            plain_product,
            multiple,
            product,
            rescaling,
            rotation,
            hoist,
            hoisted,
        }
    }

    fn mix(&self, other: &Self, share: f64) -> Self {
        let mut times = self.times();
        times.iter_mut().zip(other.times()).for_each(|(a, b)| *a += share * (b - *a));
        Self::from_times(self.log_degree, self.primes, times)
    }

    /// Times a factor, another one for what switches keys.
    fn scaled(&self, factor: f64, switching: f64) -> Self {
        let mut times = self.times().map(|t| t * factor);
        for i in [5, 7, 8, 9] {
            times[i] *= switching / factor;
        }
        Self::from_times(self.log_degree, self.primes, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_between_and_beyond_what_was_measured() {
        let row = |log_degree, primes, t: f64| Costs::from_times(log_degree, primes, [t; 10]);
        let table =
            CostTable { machine: String::new(), rows: vec![row(13, 2, 2.0), row(13, 4, 6.0)] };
        assert_eq!(table.at(13, 3).addition, 4.0);
        assert_eq!(table.at(13, 4).rotation, 6.0);
        let beyond = table.at(14, 8);
        assert_eq!((beyond.addition, beyond.rotation), (24.0, 48.0));
        assert_eq!((table.at(13, 1).addition, table.at(13, 1).rotation), (1.0, 0.5));
        assert_eq!(CostTable::parse(&table.to_text()).unwrap(), table);
        assert!(CostTable::parse("machine = \"x\"\nat = []").is_err());
        CostTable::built_in();
    }
}
