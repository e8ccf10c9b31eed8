//! Agreement with ONNX Runtime, operator by operator and on real networks.
//!
//! Runs when `HUSHWIRE_DATA` names a folder with `tools/make_onnx.py` and `data/`, with the Python
//! interpreter `HUSHWIRE_PYTHON` (default `python3`), which needs onnx, onnxruntime, numpy and
//! safetensors. `HUSHWIRE_MODELS` may name a folder with the networks already built.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hushwire_graph::{Executor, Model, Tensor};

/// Greatest difference allowed, relative to the larger of 1 and the greatest expected value.
const TOLERANCE: f32 = 1e-4;

struct Case {
    name: String,
    path: PathBuf,
    input: Tensor,
    expected: Tensor,
}

#[test]
fn agrees_with_onnx_runtime() {
    let Some(data) = std::env::var_os("HUSHWIRE_DATA") else {
        println!("skipped: HUSHWIRE_DATA is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cases = reference(Path::new(&data), folder.path());
    assert!(cases.len() > 100, "{} cases", cases.len());
    let failures: Vec<String> =
        cases.iter().filter_map(|case| check(case, folder.path()).err()).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // The files written from the models must mean the same to ONNX Runtime.
    let status = python().arg("--check").arg(folder.path()).status();
    assert!(status.expect("the Python interpreter runs").success());
}

fn python() -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/ort/reference.py");
    let mut command = Command::new(std::env::var_os("HUSHWIRE_PYTHON").unwrap_or("python3".into()));
    command.arg(script);
    command
}

fn reference(data: &Path, out: &Path) -> Vec<Case> {
    let mut command = python();
    command.arg("--out").arg(out).arg("--data").arg(data);
    if let Some(models) = std::env::var_os("HUSHWIRE_MODELS") {
        command.arg("--models").arg(models);
    }
    assert!(command.status().expect("the Python interpreter runs").success());
    let table = std::fs::read_to_string(out.join("cases.txt")).unwrap();
    table.lines().map(|line| read_case(line, out)).collect()
}

fn read_case(line: &str, folder: &Path) -> Case {
    let [name, path, input, output] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
    let read = |shape: &str, suffix: &str| {
        let bytes = std::fs::read(folder.join(format!("{name}.{suffix}.f32"))).unwrap();
        let data = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Tensor::new(shape.split(',').map(|e| e.parse().unwrap()).collect::<Vec<usize>>(), data)
    };
    let (input, expected) = (read(input, "in"), read(output, "out"));
    Case { name: name.to_owned(), path: path.into(), input, expected }
}

fn check(case: &Case, folder: &Path) -> Result<(), String> {
    let name = &case.name;
    let model = Model::load(&case.path).map_err(|e| format!("{name}: {e}"))?;
    compare(&model, case).map_err(|e| format!("{name}: {e}"))?;
    let bytes = model.to_onnx();
    std::fs::write(folder.join(format!("{name}.written.onnx")), &bytes).unwrap();
    let written = Model::from_onnx_bytes(&bytes, None);
    let written = written.map_err(|e| format!("{name}, written and read: {e}"))?;
    if written != model {
        return Err(format!("{name}: written and read, the model differs"));
    }
    Ok(())
}

fn compare(model: &Model, case: &Case) -> Result<(), String> {
    let output = Executor::new(model).run(&case.input).map_err(|e| e.to_string())?;
    let largest = case.expected.data.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    let difference = output.max_abs_diff(&case.expected);
    println!("{:44} max |difference| {difference:.2e}, max |value| {largest:.2e}", case.name);
    if difference <= TOLERANCE * largest {
        return Ok(());
    }
    Err(format!(
        "{:?} for {:?}, difference {difference} of {largest}\n{}",
        output.shape, case.expected.shape, model.graph
    ))
}
