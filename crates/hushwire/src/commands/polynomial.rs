//! `hushwire polynomial`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushwire_minimax::{
    ALPHAS, Candidate, Construction, DegreeSet, PolynomialFile, SignPolynomial, search,
};
use serde::Serialize;

use crate::args::{ConstructionArg, JsonArg};
use crate::output::{self, Table};
use crate::progress;

/// Polynomials that stand for the sign and so for ReLU and the maximum
///
/// ReLU becomes x (1 + s(x)) / 2, where s is a composite of odd polynomials. The precision is alpha
/// if that is off by at most 2^-alpha on [-1, 1]. Depth and multiplications are those of ReLU.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// The known polynomials: degrees, depth, multiplications and error for every alpha
    Table {
        #[command(flatten)]
        json: JsonArg,
    },
    /// Print or write a polynomial for the sign, with its error
    Sign {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        way: Way,
        /// Write it to this file, in TOML
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Prove the error of the polynomial in a file and compare it with what the file says
    Check {
        /// A file that `hushwire polynomial sign` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Search for degrees: those that no others beat in depth, multiplications and error at once
    Search {
        /// Largest depth
        #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(3..=16))]
        depth: u32,
        /// Most multiplications
        #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u32).range(3..=36))]
        multiplications: u32,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        json: JsonArg,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// A known one of this precision, from 4 to 14
    #[arg(long)]
    alpha: Option<u32>,
    /// A new one with stages of these degrees, such as 7,15: odd, from 3 to 31
    #[arg(long, value_delimiter = ',')]
    degrees: Option<Vec<u32>>,
}

#[derive(clap::Args, Clone, Copy)]
struct Way {
    /// How stages are computed
    #[arg(long, value_enum, default_value_t = ConstructionArg::Weighted)]
    construction: ConstructionArg,
}

/// A degree set in a report.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    construction: Option<&'static str>,
    degrees: Vec<u32>,
    depth: u32,
    multiplications: u32,
    log2_error: f64,
}

impl Row {
    fn new(degrees: &DegreeSet, error: f64) -> Row {
        Row {
            alpha: None,
            construction: None,
            degrees: degrees.degrees().to_vec(),
            depth: degrees.depth(),
            multiplications: degrees.multiplications(),
            log2_error: error.log2(),
        }
    }

    fn known(alpha: u32, construction: Construction) -> Result<Row> {
        let file = PolynomialFile::known(alpha, construction)?;
        let name = match construction {
            Construction::Uniform => "uniform",
            Construction::Weighted => "weighted",
        };
        let row = Row::new(&file.polynomial.degrees(), file.certified_error);
        Ok(Row { alpha: Some(alpha), construction: Some(name), ..row })
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Table { json } => table(*json),
        Action::Sign { which, way, output, json } => {
            sign(which, way.construction.into(), output.as_deref(), *json)
        }
        Action::Check { file, json } => check(file, *json),
        Action::Search { depth, multiplications, way, json } => {
            let bar = progress::bar(json.json, Some(100), "degree sets");
            let mut tell = |share: f64| bar.set_position((share * 100.0) as u64);
            let found = search(way.construction.into(), *depth, *multiplications, &mut tell)?;
            bar.finish_and_clear();
            let row = |found: &Candidate| Row::new(&found.degrees, found.error);
            let rows = Rows { polynomials: found.iter().map(row).collect() };
            output::report(&rows, json.json, Rows::as_text)
        }
    }
}

fn table(json: JsonArg) -> Result<()> {
    let constructions = [Construction::Uniform, Construction::Weighted];
    let known = |alpha| constructions.map(|construction| Row::known(alpha, construction));
    let rows = Rows { polynomials: ALPHAS.flat_map(known).collect::<Result<_>>()? };
    output::report(&rows, json.json, Rows::as_text)
}

#[derive(Serialize)]
struct Rows {
    polynomials: Vec<Row>,
}

impl Rows {
    fn as_text(&self) -> String {
        let with_alpha = self.polynomials.iter().any(|row| row.alpha.is_some());
        let heads = ["alpha", "construction", "degrees", "depth", "multiplications", "log2 error"];
        let skipped = if with_alpha { 0 } else { 2 };
        let mut table = Table::new(&heads[skipped..]);
        for row in &self.polynomials {
            let degrees: Vec<String> = row.degrees.iter().map(u32::to_string).collect();
            let cells = [
                row.alpha.map(|alpha| alpha.to_string()).unwrap_or_default(),
                row.construction.unwrap_or_default().to_owned(),
                degrees.join(","),
                row.depth.to_string(),
                row.multiplications.to_string(),
                format!("{:.3}", row.log2_error),
            ];
            table.row(cells.into_iter().skip(skipped));
        }
        table.to_string()
    }
}

fn sign(
    which: &Which,
    construction: Construction,
    path: Option<&Path>,
    json: JsonArg,
) -> Result<()> {
    let file = match (which.alpha, &which.degrees) {
        (Some(alpha), _) => PolynomialFile::known(alpha, construction)?,
        (None, degrees) => {
            let degrees = DegreeSet::new(degrees.as_deref().unwrap_or_default())?;
            let polynomial = SignPolynomial::new(&degrees, construction)?;
            let certified_error = polynomial.certified_error()?;
            PolynomialFile { polynomial, certified_error }
        }
    };
    if let Some(path) = path {
        std::fs::write(path, file.to_text())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    output::report(&file, json.json, |file| match path {
        Some(path) => format!("{}: error 2^{:.3}", path.display(), file.certified_error.log2()),
        None => file.to_text(),
    })
}

#[derive(Serialize)]
struct Checked {
    claimed: f64,
    proved: f64,
    log2_error: f64,
}

fn check(path: &Path, json: JsonArg) -> Result<()> {
    let read = || -> Result<PolynomialFile> {
        Ok(PolynomialFile::from_text(&std::fs::read_to_string(path)?)?)
    };
    let file = read().with_context(|| format!("cannot use {}", path.display()))?;
    let proved = file.polynomial.certified_error()?;
    let claimed = file.certified_error;
    if proved > claimed {
        bail!("{} says the error is at most {claimed:e}; it is {proved:e}", path.display());
    }
    let report = Checked { claimed, proved, log2_error: proved.log2() };
    output::report(&report, json.json, |r| {
        format!("the error of ReLU on [-1, 1] is at most {:e} = 2^{:.3}", r.proved, r.log2_error)
    })
}
