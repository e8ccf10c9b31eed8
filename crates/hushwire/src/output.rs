//! What goes to standard output and standard error.

use std::fmt;
use std::io::{self, Write};

use anyhow::{Error, Result};
use serde::Serialize;

/// Standard output is a pipe whose reader has gone.
#[derive(Debug)]
pub struct NoReader;

impl fmt::Display for NoReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output")
    }
}

impl std::error::Error for NoReader {}

/// Writes text and a line end to standard output.
pub fn print(text: impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Error::new(NoReader),
        _ => Error::new(e).context("cannot write to standard output"),
    })
}

/// Writes a report: one JSON object, or what `human` makes of it.
pub fn report<T: Serialize>(
    report: &T,
    json: bool,
    human: impl FnOnce(&T) -> String,
) -> Result<()> {
    if json { print(serde_json::to_string(report)?) } else { print(human(report).trim_end()) }
}

/// Says something that the user should know beside the result.
pub fn note(text: impl fmt::Display) {
    // Where even standard error is gone, nobody can be told.
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error and what caused it. Causes that their consequence quotes already are not repeated.
pub fn report_error(error: &Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "error: " } else { "\n  cause: " });
            text.push_str(&cause);
        }
    }
    note(text);
}

/// How long ago, in the largest unit of which there is one.
pub fn age(seconds: u64) -> String {
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= *unit);
    fits.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// A table: the first column to the left, the others to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(heads: &[&str]) -> Table {
        Table { rows: vec![heads.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], c: usize| row.get(c).map_or(0, |text| text.chars().count());
        let width = |c| self.rows.iter().map(|row| cell(row, c)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (c, (text, width)) in row.iter().zip(&widths).enumerate() {
                match c {
                    0 => line.push_str(&format!("{text:width$}")),
                    _ => line.push_str(&format!("  {text:>width$}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes as people read it, in powers of ten.
pub fn bytes(count: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.into_iter().find(|(factor, _)| count as f64 >= *factor);
    unit.map_or_else(
        || format!("{count} B"),
        |(factor, name)| format!("{:.2} {name}", count as f64 / factor),
    )
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time as people read it.
pub fn seconds(time: f64) -> String {
    if time < 1.0 { format!("{:.1} ms", time * 1e3) } else { format!("{time:.2} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!([0, 999, 1000, 8_490_000].map(bytes), ["0 B", "999 B", "1.00 kB", "8.49 MB"]);
        assert_eq!([7, 1000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
        assert_eq!([0.0123, 2.5].map(seconds), ["12.3 ms", "2.50 s"]);
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["layer", "n"]);
        table.row(["a".to_owned(), "100".to_owned()]);
        assert_eq!(table.to_string(), "layer    n\na      100\n");
    }
}
