//! The same operations in SEAL, where a Python with the package `tenseal` is there to ask.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use hushwire_ckks::ParameterSpec;
use serde::Deserialize;
use serde_json::json;

use crate::output;

/// Reads a circuit, runs and times it.
const SCRIPT: &str = include_str!("../../../../../tools/he/reference.py");

/// How often each operation runs; the fastest counts.
const RUNS: &str = "30";

/// What the script prints, among other things.
#[derive(Deserialize)]
struct Answer {
    /// Seconds by operation.
    seconds: BTreeMap<String, f64>,
}

/// Milliseconds of SEAL's operations under primes of the same bits, of which one is special; nothing where
/// `HUSHWIRE_PYTHON` names no Python that has it.
pub(super) fn milliseconds(spec: &ParameterSpec) -> Result<Option<BTreeMap<String, f64>>> {
    let skip = |why: &str| {
        output::note(format_args!("SEAL is not measured: {why}"));
        Ok(None)
    };
    let Some(python) = std::env::var_os("HUSHWIRE_PYTHON") else {
        return skip("HUSHWIRE_PYTHON names no Python");
    };
    match Command::new(&python).args(["-c", "import tenseal"]).output() {
        Ok(there) if there.status.success() => {}
        _ => return skip("the Python of HUSHWIRE_PYTHON has no package tenseal"),
    }
    let job = json!({
        "log_degree": spec.log_degree, "data_bits": spec.data_bits,
        "special_bits": spec.special_bits[0], "log_scale": spec.log_scale,
        "inputs": [[0.5, 0.25], [0.75, 1.0]],
        "circuit": [["add", 0, 1], ["mul_plain", 0, 1], ["mul", 0, 1], ["rotate", 0, 1]],
    });
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, "--time", RUNS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Python cannot be started")?;
    // It is dropped, and so closed, at the end of the statement.
    let written = child.stdin.take().map(|mut input| input.write_all(job.to_string().as_bytes()));
    let output = child.wait_with_output().context("Python cannot be waited for")?;
    if !output.status.success() {
        bail!("SEAL's reference script failed, see above");
    }
    written.transpose().context("Python does not read its job")?;
    let answer: Answer =
        serde_json::from_slice(&output.stdout).context("SEAL's reference script has no answer")?;
    Ok(Some(answer.seconds.into_iter().map(|(what, seconds)| (what, seconds * 1e3)).collect()))
}
