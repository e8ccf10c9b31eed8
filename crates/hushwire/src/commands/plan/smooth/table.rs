//! How well functions are fitted.

use std::fmt::Write;

use anyhow::{Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use hushwire_smooth::{Density, Format, Function, MAX_DEGREE, Method, Target, fit};
use serde::Serialize;

use super::Way;
use crate::args::JsonArg;
use crate::output::{self, Table};
use crate::progress;

/// What a table of fits is of.
#[derive(clap::Args)]
pub struct TableArgs {
    /// Only this function
    #[arg(long, value_enum, requires = "fit_table", conflicts_with = "model")]
    function: Option<Named>,
    /// Only this degree
    #[arg(long, value_name = "K", requires = "fit_table", conflicts_with = "model")]
    degree: Option<usize>,
    /// At most so many pieces
    #[arg(long, value_name = "M", default_value_t = 16, requires = "fit_table",
          conflicts_with = "model", value_parser = several)]
    pieces: usize,
    /// The range, as two numbers
    #[arg(long, value_name = "FROM,TO", default_value = "-5,5", value_parser = ends,
          allow_hyphen_values = true, requires = "fit_table", conflicts_with = "model")]
    range: Ends,
    /// Only this method
    #[arg(long, value_enum, id = "table-method", requires = "fit_table", conflicts_with = "model")]
    with: Option<Way>,
    /// Print lines of values with commas between them
    #[arg(long, conflicts_with_all = ["json", "model"], requires = "fit_table")]
    csv: bool,
}

/// The table begins with two pieces.
fn several(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n >= 2).ok_or_else(|| "at least 2 are needed".to_owned())
}

/// Ends of a range.
#[derive(Clone, Copy, Debug)]
struct Ends([f64; 2]);

fn ends(text: &str) -> Result<Ends, String> {
    let parse = |text: &str| text.trim().parse::<f64>().ok();
    let numbers = text.split_once(',').and_then(|(a, b)| Some([parse(a)?, parse(b)?]));
    numbers.map(Ends).ok_or_else(|| "two numbers are needed, such as -5,5".to_owned())
}

/// A function by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Named(Function);

impl ValueEnum for Named {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Named; Function::ALL.len()] = {
            let mut all = [Named(Function::Silu); Function::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Named(Function::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

#[derive(Serialize)]
struct Row {
    function: &'static str,
    degree: usize,
    pieces: usize,
    method: &'static str,
    /// Expectation of the absolute error under N(0, 1).
    expected: f64,
    /// Largest error on the range.
    max: f64,
}

#[derive(Serialize)]
struct Report {
    density: &'static str,
    range: [f64; 2],
    fits: Vec<Row>,
}

/// Prints the table.
pub fn run(args: &TableArgs, json: JsonArg) -> Result<()> {
    let functions = args.function.map_or(Function::SMOOTH.to_vec(), |Named(f)| vec![f]);
    let degrees = args.degree.map_or_else(|| (1..=MAX_DEGREE).collect(), |degree| vec![degree]);
    let methods = args.with.map_or(Method::ALL.to_vec(), |Way(method)| vec![method]);
    let Ends(range) = args.range;
    if methods == [Method::Coded] && !degrees.contains(&1) {
        bail!("the method coded has lines alone: --degree 1");
    }
    let bar = progress::bar(json.json, Some(functions.len() * degrees.len()), "fits");
    let mut fits = Vec::new();
    for function in functions {
        let target = Target::new(function, range, &Density::Normal)?;
        for &degree in &degrees {
            for method in methods.iter().filter(|m| degree == 1 || **m != Method::Coded) {
                let found = fit(&target, *method, args.pieces, degree, Format::FINE)?;
                for (i, (_, score)) in found.iter().enumerate().skip(1) {
                    fits.push(Row {
                        function: function.name(),
                        degree,
                        pieces: i + 1,
                        method: method.name(),
                        expected: score.expected,
                        max: score.max,
                    });
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let report = Report { density: "N(0, 1)", range, fits };
    output::report(&report, json.json, |report| if args.csv { csv(report) } else { text(report) })
}

fn csv(report: &Report) -> String {
    let mut text = "function,degree,pieces,method,expected,max\n".to_owned();
    for row in &report.fits {
        let Row { function, degree, pieces, method, expected, max } = row;
        let _ = writeln!(text, "{function},{degree},{pieces},{method},{expected:.4e},{max:.4e}");
    }
    text
}

/// One line for each function, degree and number of pieces, one column for each method.
fn text(report: &Report) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for row in &report.fits {
        if !methods.contains(&row.method) {
            methods.push(row.method);
        }
    }
    let heads = ["function", "degree", "pieces"].iter().chain(&methods);
    let mut table = Table::new(&heads.copied().collect::<Vec<_>>());
    let mut shapes: Vec<(&str, usize, usize)> = Vec::new();
    for row in &report.fits {
        let shape = (row.function, row.degree, row.pieces);
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    for shape in shapes {
        let errors = methods.iter().map(|method| {
            let found = report.fits.iter().find(|row| {
                (row.function, row.degree, row.pieces) == shape && row.method == *method
            });
            found.map_or_else(String::new, |r| format!("{:.1e} / {:.1e}", r.expected, r.max))
        });
        let cells = [shape.0.to_owned(), shape.1.to_string(), shape.2.to_string()];
        table.row(cells.into_iter().chain(errors));
    }
    let [low, high] = report.range;
    format!("expected error under {} / largest on [{low}, {high}]\n\n{table}", report.density)
}
