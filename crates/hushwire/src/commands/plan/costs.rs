//! `hushwire plan costs`

use std::path::PathBuf;

use anyhow::Result;
use hushwire_he::CostTable;

use crate::args::JsonArg;
use crate::files;
use crate::output::{self, Table};
use crate::progress;

/// Measure what operations on encrypted values cost on this machine, for `hushwire plan encrypted`
///
/// One thread is used. It takes about half a minute; other programs should not be busy meanwhile.
#[derive(clap::Args)]
pub struct Args {
    /// What to call the machine in the table
    #[arg(long, value_name = "TEXT", default_value = "measured")]
    machine: String,
    /// Where to write the table
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let bar = progress::bar(args.json.json, None, "measured");
    let table = CostTable::measure(args.machine.clone(), |done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if let Some(path) = &args.output {
        files::write_text(path, &table.to_text())?;
    }
    output::report(&table, args.json.json, human)
}

fn human(table: &CostTable) -> String {
    let heads = ["degree, primes", "rotation", "hoisted", "product", "rescaling", "plain product"];
    let mut text = Table::new(&heads);
    for row in &table.rows {
        let times = [row.rotation, row.hoisted, row.product, row.rescaling, row.plain_product];
        let name = format!("2^{}, {}", row.log_degree, row.primes);
        text.row(std::iter::once(name).chain(times.map(|t| format!("{:.3} ms", t * 1e3))));
    }
    text.to_string()
}
