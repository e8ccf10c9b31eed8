//! `hushwire polynomial`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushwire_he::{CostTable, Evaluation};
use hushwire_minimax::{
    ALPHAS, Candidate, Circuit, Construction, DegreeSet, PolynomialFile, SignPolynomial, search,
};
use serde::Serialize;

use crate::args::{ConstructionArg, JsonArg};
use crate::encrypted;
use crate::files;
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
    /// The known polynomials: degrees, depth, multiplications and error for every alpha, and what a
    /// ciphertext of ReLUs takes: primes, log2 of the ring's degree, time
    Table {
        /// Costs of encrypted operations, as `plan costs` measures them [default: built-in ones]
        #[arg(long, value_name = "FILE")]
        costs: Option<PathBuf>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<Encrypted>,
}

/// What ReLUs take on a ciphertext.
#[derive(Serialize)]
struct Encrypted {
    primes: usize,
    log_degree: u32,
    seconds: f64,
}

impl Encrypted {
    fn new(costs: &CostTable, degrees: &DegreeSet) -> Result<Option<Encrypted>> {
        let circuit = |degree: &u32| Ok(Circuit::new(*degree)?);
        let circuits: Vec<&Circuit> =
            degrees.degrees().iter().map(circuit).collect::<Result<_>>()?;
        // The last product is that of the input and its sign.
        let stages = circuits.iter().map(|c| [c.depth(), c.multiplications()]);
        let stages: Vec<[u32; 2]> = stages.chain([[1, 1]]).collect();
        Ok(Evaluation::new(costs, &stages).map(|of| Encrypted {
            primes: of.primes,
            log_degree: of.log_degree,
            seconds: of.seconds,
        }))
    }
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
            encrypted: None,
        }
    }

    fn known(alpha: u32, construction: Construction, costs: &CostTable) -> Result<Row> {
        let file = PolynomialFile::known(alpha, construction)?;
        let name = match construction {
            Construction::Uniform => "uniform",
            Construction::Weighted => "weighted",
        };
        let degrees = file.polynomial.degrees();
        let encrypted = Encrypted::new(costs, &degrees)?;
        let row = Row::new(&degrees, file.certified_error);
        Ok(Row { alpha: Some(alpha), construction: Some(name), encrypted, ..row })
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Table { costs, json } => table(&encrypted::costs(costs.as_deref())?, *json),
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

fn table(costs: &CostTable, json: JsonArg) -> Result<()> {
    let constructions = [Construction::Uniform, Construction::Weighted];
    let known = |alpha| constructions.map(|construction| Row::known(alpha, construction, costs));
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
        let heads = [
            "alpha",
            "construction",
            "degrees",
            "depth",
            "multiplications",
            "log2 error",
            "primes",
            "log2 N",
            "ms",
        ];
        let shown = if with_alpha { 0..heads.len() } else { 2..6 };
        let mut table = Table::new(&heads[shown.clone()]);
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
            let number =
                |of: fn(&Encrypted) -> String| row.encrypted.as_ref().map(of).unwrap_or_default();
            let encrypted = [
                number(|e| e.primes.to_string()),
                number(|e| e.log_degree.to_string()),
                number(|e| format!("{:.0}", 1e3 * e.seconds)),
            ];
            table.row(cells.into_iter().chain(encrypted).skip(shown.start).take(shown.len()));
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
        files::write_text(path, &file.to_text())?;
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
