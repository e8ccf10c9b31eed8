//! `hushwire plan smooth`

use hushwire_graph::Activation;
use hushwire_train::Architecture;

use crate::support::Bench;

#[test]
fn fits_are_tabulated() {
    let bench = Bench::new();
    let options = "--fit-table --function silu --degree 2 --pieces 4";
    let table = bench.json(&format!("plan smooth {options}"));
    let fits = table["fits"].as_array().unwrap();
    assert_eq!(fits.len(), 3 * 5, "three numbers of pieces, five methods: {table}");
    let of = |method: &str, pieces: u64| {
        let row = fits.iter().find(|row| row["method"] == method && row["pieces"] == pieces);
        let number = |key: &str| row.unwrap()[key].as_f64().unwrap();
        (number("expected"), number("max"))
    };
    // Interpolation on four equal pieces has an error that can be computed by hand.
    let (expected, max) = of("chebyshev", 4);
    assert!((expected - 1.367e-2).abs() < 5e-5 && (max - 2.256e-2).abs() < 5e-5, "{table}");
    let ours = of("ours", 4);
    assert!(ours.0 < 2.5e-3 && ours.1 < 1.5e-2, "{table}");
    assert!(of("ours-mean", 4).0 < 1.5e-3, "{table}");
    let csv = bench.text(&format!("plan smooth {options} --with nfgen --csv"));
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.lines().nth(3).unwrap().starts_with("silu,2,4,nfgen,"), "{csv}");
    let text = bench.text(&format!("plan smooth {options}"));
    assert!(text.contains("ours-mean") && text.contains("N(0, 1)"), "{text}");
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let bench = Bench::new();
    let pole = bench.error("plan smooth --fit-table --function reciprocal", 1);
    assert!(pole.contains("pole at 0, inside -5..5"), "{pole}");
    let range = bench.error("plan smooth --fit-table --range 3,3", 1);
    assert!(range.contains("range 3..3"), "{range}");
    let pieces = bench.error("plan smooth --fit-table --range 0,0.25 --pieces 9", 1);
    assert!(pieces.contains("9 pieces are more than the 8 samples"), "{pieces}");
    let few = bench.error("plan smooth --fit-table --pieces 1", 2);
    assert!(few.contains("at least 2"), "{few}");
    bench.error("plan smooth silu.onnx --data mnist:. -o p.toml --function gelu", 2);
    bench.error("plan smooth silu.onnx --data mnist:. -o p.toml --max-loss=-1", 2);
    bench.error("plan smooth silu.onnx --data mnist:. -o p.toml --max-loss nan", 2);
    let degree = bench.error("plan smooth --fit-table --degree 9", 1);
    assert!(degree.contains("degree 9"), "{degree}");
}

#[test]
fn plans_for_networks_are_found_and_run() {
    let bench = Bench::new();
    bench.mnist(24);
    let model = Architecture::Demo.model(Activation::Silu, 1);
    bench.write("silu.onnx", model.to_onnx());
    let options = "silu.onnx --data mnist:. --calibration 8 --held-back 16 --max-loss 100";
    let ours = bench.json(&format!("plan smooth {options} -o ours.toml"));
    let layers = ours["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3, "{ours}");
    assert!(layers.iter().all(|layer| layer["function"] == "silu"), "{ours}");
    // The plan runs, and costs what was said.
    let inspected = bench.json("inspect silu.onnx --plan ours.toml --comparison digits");
    assert_eq!(inspected["online"]["total"], ours["online_bytes"]);
    assert_eq!(inspected["offline"]["total"], ours["offline_bytes"]);
    let eval = "eval silu.onnx --plan ours.toml --data mnist:. --executor fixed";
    assert_eq!(bench.json(eval)["n"], 24);
    // Gates take most of what is sent in this network, so what was counted is near it.
    let gates = ours["gate_bytes_per_element"].as_f64().unwrap() * 2416.0;
    let sent = (ours["online_bytes"].as_f64().unwrap()) + ours["offline_bytes"].as_f64().unwrap();
    assert!((0.6..1.1).contains(&(gates / sent)), "{gates} of {sent}");
    let bounded = format!("plan smooth {options} -o ours.toml --method nfgen");
    assert!(bench.path("ours.toml.measured").is_file());
    assert!(bench.json(&bounded)["online_bytes"].as_u64().is_some());

    // As others do it: all layers have one and the same function.
    let one = bench.json(&format!("{bounded} --one-function"));
    let shape = |layer: &serde_json::Value| {
        ["pieces", "degree", "input_bits", "expected_error"].map(|key| layer[key].to_string())
    };
    let shapes: Vec<_> = one["layers"].as_array().unwrap().iter().map(shape).collect();
    assert_eq!((shapes.len(), &shapes[0]), (3, &shapes[2]), "{one}");
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{one}");
    let inspected = bench.json("inspect silu.onnx --plan ours.toml --comparison digits");
    assert_eq!(inspected["online"]["total"], one["online_bytes"]);

    let refused = bench.error("plan smooth demo.onnx --data mnist:. -o plan.toml", 1);
    assert!(refused.contains("no smooth activations"), "{refused}");
    let few = bench.error("plan smooth silu.onnx --data mnist:. -o p.toml --calibration 99", 1);
    assert!(few.contains("none are left to hold back"), "{few}");
    assert!(bench.error("plan smooth silu.onnx", 2).contains("--data"));
}
