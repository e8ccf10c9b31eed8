//! Trained networks on real images, where HUSHWIRE_DATA names a folder with `data/` and `tools/`.
//!
//! HUSHWIRE_PYTHON is the Python that has onnx, numpy and safetensors (default python3);
//! HUSHWIRE_MODELS a folder that keeps the networks it makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::Bench;

/// One test builds networks at a time.
static BUILDING: Mutex<()> = Mutex::new(());

struct Real {
    bench: Bench,
    data: PathBuf,
}

impl Real {
    /// The real data, if there are any.
    fn find() -> Option<Real> {
        let Some(root) = std::env::var_os("HUSHWIRE_DATA") else {
            println!("skipped: HUSHWIRE_DATA is not set");
            return None;
        };
        Some(Real { bench: Bench::new(), data: Path::new(&root).join("data") })
    }

    /// Builds a network unless it is there.
    fn model(&self, name: &str) -> String {
        let _guard = BUILDING.lock();
        let kept = std::env::var_os("HUSHWIRE_MODELS").map(PathBuf::from);
        let folder = kept.unwrap_or_else(|| self.bench.dir().to_owned());
        let file = folder.join(format!("{name}.onnx"));
        if !file.is_file() {
            let python = std::env::var_os("HUSHWIRE_PYTHON").unwrap_or_else(|| "python3".into());
            let status = Command::new(python)
                .arg(self.data.join("../tools/make_onnx.py"))
                .arg("--data")
                .arg(&self.data)
                .arg("--out")
                .arg(&folder)
                .arg(name)
                .status();
            assert!(status.unwrap().success(), "make_onnx.py cannot build {name}");
        }
        file.display().to_string()
    }

    /// Flags that name a network and its data set.
    fn network(&self, name: &str, dataset: &str) -> String {
        format!("{} --data {dataset}:{}", self.model(name), self.data.display())
    }

    /// Runs 200 images privately; every label must be that of clear fixed point.
    fn private(&self, name: &str, dataset: &str, comparison: &str) {
        let network = self.network(name, dataset);
        let flags = format!("--executor mpc --limit 200 --comparison {comparison}");
        let report = self.bench.json(&format!("eval {network} {flags}"));
        println!("{name}, {comparison}: {report}");
        assert_eq!((&report["n"], &report["overflows"]), (&200.into(), &0.into()), "{report}");
        assert_eq!(report["agreement_fixed"], 1.0, "{report}");
        // The measured bound of docs/protocol.md, section 9.
        assert!(report["largest_difference_ulps"].as_f64().unwrap() <= 64.0, "{report}");
        assert!(report["accuracy"].as_f64().unwrap() > 0.85, "{report}");
    }

    fn predict(&self, name: &str, dataset: &str, comparison: &str) -> [u64; 3] {
        let network = self.network(name, dataset);
        let report = self.bench.json(&format!("inspect {network} --comparison {comparison}"));
        let number = |value: &Value| value.as_u64().unwrap();
        let totals = ["offline", "online"].map(|phase| number(&report[phase]["total"]));
        [totals[0], totals[1], number(&report["rounds"])]
    }

    /// Shares of right labels in floating point and in fixed point, over the whole test set.
    fn accuracies(&self, name: &str, dataset: &str) -> [f64; 2] {
        let network = self.network(name, dataset);
        ["float", "fixed"].map(|executor| {
            let report = self.bench.json(&format!("eval {network} --executor {executor}"));
            println!("{name}, {executor}: {report}");
            assert_eq!(report["n"], 10_000);
            report["accuracy"].as_f64().unwrap()
        })
    }
}

#[test]
fn private_labels_are_those_of_clear_fixed_point() {
    let Some(real) = Real::find() else { return };
    real.private("mnist_b", "mnist", "digits");
    real.private("mnist_c", "mnist", "dcf");
    real.private("cifar10_resnet20", "cifar10", "dcf");
    real.private("cifar10_resnet20", "cifar10", "digits");
}

#[test]
fn bytes_and_rounds_stay_within_their_goals() {
    let Some(real) = Real::find() else { return };
    let [offline, online, rounds] = real.predict("cifar10_resnet20", "cifar10", "digits");
    assert!(offline + online <= 8_500_000 && online <= 2_000_000, "{offline} {online}");
    // Two round trips for each of 19 layers of ReLU, and that of input and output.
    assert!(rounds <= 39, "{rounds}");
    let [_, online, rounds] = real.predict("cifar10_resnet20", "cifar10", "dcf");
    assert!(online <= 1_750_000 && rounds <= 20, "{online} {rounds}");
    let [offline, online, _] = real.predict("mnist_b", "mnist", "digits");
    assert!(offline + online <= 500_000, "{offline} {online}");
}

#[test]
fn fixed_point_costs_little_accuracy() {
    let Some(real) = Real::find() else { return };
    for (name, dataset) in
        [("cifar10_resnet20", "cifar10"), ("mnist_b", "mnist"), ("mnist_c", "mnist")]
    {
        let [float, fixed] = real.accuracies(name, dataset);
        assert!((float - fixed).abs() <= 0.002, "{name}: {float} {fixed}");
    }
}
