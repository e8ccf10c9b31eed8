//! Inference on encrypted images: planning, both sides in one process, client and server as processes.

use std::fs;

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use serde_json::Value;

use crate::parties::Party;
use crate::support::{Bench, assert_keys};

/// LoLa's network for MNIST, trained by `hushwire train lola-mnist`.
const LOLA: &[u8] = include_bytes!("../../../../assets/lola-mnist.onnx");

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("lola.onnx", LOLA);
    bench.mnist(4);
    for seed in 0..2 {
        bench.image(&format!("{seed}.png"), 28, seed);
    }
    bench
}

/// The configuration of a server with the plan in `plan.toml`.
fn server_file(model: &str, more: &str) -> String {
    format!(
        r#"listen = "127.0.0.1:0"
        identity = "server"
        clients = ["client.cert.pem"]
        model = "{model}"
        plan = "plan.toml"
        state = "server-state"
        share_usage = true
        {more}"#
    )
}

fn client_file(name: &str, server: &Party) -> String {
    format!(
        r#"identity = "{name}"
        state = "{name}-state"
        server = {{ address = "{}", certificate = "server.cert.pem" }}"#,
        server.address
    )
}

fn classes(report: &Value) -> Vec<u64> {
    let outputs = report["outputs"].as_array().unwrap();
    outputs.iter().map(|output| output["class"].as_u64().unwrap()).collect()
}

#[test]
fn planning_running_and_measuring() {
    let bench = bench();
    let plan = bench.json("plan encrypted lola.onnx --data mnist:. -o plan.toml");
    assert_keys(&plan, &["layers", "parameters", "predicted_seconds", "key_memory_bytes"]);
    assert_eq!(plan["layers"].as_array().unwrap().len(), 4);
    let text = bench.text("plan encrypted lola.onnx --data mnist:.");
    assert!(text.contains("rotations") && text.contains("aligned"), "{text}");

    let run = bench.json("run lola.onnx --executor he --plan plan.toml --input 0.png 1.png");
    assert_eq!(run["operations"], plan["operations"]);
    assert_eq!((classes(&run).len(), &run["runs"]), (2, &2.into()));
    let eval = bench.json("eval lola.onnx --executor he --plan plan.toml --data mnist:. --limit 2");
    assert_eq!((&eval["n"], &eval["agreement"]), (&2.into(), &1.0.into()));
    // The same labels as in the clear.
    let float = bench.json("eval lola.onnx --executor float --data mnist:. --limit 2");
    assert_eq!(eval["accuracy"], float["accuracy"]);
}

#[test]
fn gates_of_an_activation_plan_run_encrypted() {
    let bench = bench();
    let weight = |i: usize| ((i * 37 + 11) % 64) as f32 / 64.0 - 0.5;
    let weights = |len: usize| (0..len).map(weight).collect::<Vec<f32>>();
    let strides = [("strides", Attribute::Ints(&[2, 2]))];
    let preprocess = r#"{"scale": 0.00392, "mean": [0.0], "std": [1.0], "layout": "NCHW",
        "color": "GRAY", "resize": null}"#;
    let relu = OnnxBuilder::new(&[1, 28, 28])
        .property("preprocess", preprocess)
        .floats("w", &[3, 1, 5, 5], &weights(75))
        .node_with("Conv", &["input", "w"], "conv", &strides)
        .node("Relu", &["conv"], "relu")
        .node("Flatten", &["relu"], "flat")
        .floats("fc", &[432, 10], &weights(4320))
        .node("MatMul", &["flat", "fc"], "logits")
        .build("logits");
    bench.write("relu.onnx", &relu);
    let error = bench.error("plan encrypted relu.onnx", 1);
    assert!(error.contains("composite polynomial by an activation plan"), "{error}");
    bench.json("plan polynomial relu.onnx --data mnist:. --alpha 5 -o gates.toml");
    let plan = bench.json(
        "plan encrypted relu.onnx --gates gates.toml --data mnist:. --log-degree 14 -o plan.toml",
    );
    // The products of degree 7, and that of the input with its sign.
    assert_eq!(plan["operations"]["products"], 6, "{plan}");
    // The encrypted plan has the gates, and does what the activation plan says.
    let eval = bench.json("eval relu.onnx --executor he --plan plan.toml --data mnist:. --limit 4");
    let float = "eval relu.onnx --executor float --plan gates.toml --data mnist:. --limit 4";
    let float = bench.json(float);
    assert_eq!((&eval["n"], &eval["agreement"]), (&4.into(), &float["agreement"]));
    assert_eq!(eval["accuracy"], float["accuracy"]);
    assert_eq!(eval["outside_range"], float["outside_range"]);
    assert!(eval["largest_difference_gates"].as_f64().unwrap() < 1e-2, "{eval}");
    // Each kind of plan is named where the other is expected.
    let error = bench.error("run relu.onnx --executor he --plan gates.toml --input 0.png", 1);
    assert!(error.contains("it is an activation plan") && error.contains("--gates"), "{error}");
    let error = bench.error("run relu.onnx --plan plan.toml --input 0.png", 1);
    assert!(error.contains("it is an encrypted plan"), "{error}");
    // And by two processes.
    for name in ["client", "server"] {
        bench.text(&format!("keys new --name {name} --out ."));
    }
    bench.write("server.toml", server_file("relu.onnx", ""));
    let server = Party::start_as(&bench, "encrypted server", "server.toml");
    bench.write("client.toml", client_file("client", &server));
    let apart = bench.json("encrypted client --config client.toml --input 0.png 1.png");
    let local = bench.json("run relu.onnx --executor he --plan plan.toml --input 0.png 1.png");
    assert_eq!(classes(&apart), classes(&local));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let bench = bench();
    // All activations at once, by name.
    let error = bench.error("plan encrypted demo.onnx", 1);
    assert!(error.contains("cannot run on encrypted values"), "{error}");
    assert!(error.contains("relu1") && error.contains("relu3"), "{error}");
    // A plan of another network.
    bench.text("plan encrypted lola.onnx -o plan.toml");
    let error = bench.error("run demo.onnx --executor he --plan plan.toml --input 0.png", 1);
    assert!(error.contains("made for network"), "{error}");
    bench.write("plan.toml", "version = 7");
    let error = bench.error("run lola.onnx --executor he --plan plan.toml --input 0.png", 1);
    assert!(error.contains("plan.toml") && error.contains("version 7"), "{error}");
}

#[test]
fn client_and_server_as_processes() {
    let bench = bench();
    for name in ["client", "server", "stranger"] {
        bench.text(&format!("keys new --name {name} --out ."));
    }
    bench.text("plan encrypted lola.onnx --data mnist:. -o plan.toml");
    // Memory is checked before anyone connects.
    bench.write("small.toml", server_file("lola.onnx", "memory_mib = 8"));
    let error = bench.error("encrypted server --config small.toml", 1);
    assert!(error.contains("one session takes") && error.contains("memory_mib"), "{error}");

    bench.write("server.toml", server_file("lola.onnx", ""));
    let server = Party::start_as(&bench, "encrypted server", "server.toml");
    bench.write("client.toml", client_file("client", &server));
    bench.write("stranger.toml", client_file("stranger", &server));

    let infer = "encrypted client --config client.toml --input 0.png 1.png";
    let first = bench.json(infer);
    assert!(first["uploaded_key_bytes"].as_u64().unwrap() > 1_000_000, "{first}");
    assert!(first["server"]["peak_memory_bytes"].as_u64().unwrap() > 0);
    let local = bench.json("run lola.onnx --executor he --plan plan.toml --input 0.png 1.png");
    assert_eq!(classes(&first), classes(&local));
    // The second time the server has the keys, and after a restart as well.
    let again = bench.json(infer);
    assert_eq!(again["uploaded_key_bytes"], 0);
    assert_eq!(classes(&again), classes(&local));
    drop(server);

    let server = Party::start_as(&bench, "encrypted server", "server.toml");
    let file = |name: &str| {
        let text = fs::read_to_string(bench.path(&format!("{name}.toml"))).unwrap();
        let start = text.find("127.0.0.1:").unwrap();
        let end = start + text[start..].find('"').unwrap();
        bench.write(&format!("{name}.toml"), text.replace(&text[start..end], &server.address));
    };
    file("client");
    file("stranger");
    assert_eq!(bench.json(infer)["uploaded_key_bytes"], 0);
    // Keys that the client's disk has changed are refused, and so is somebody unknown.
    let state = fs::read_dir(bench.path("client-state")).unwrap().flatten();
    let keys = state.map(|entry| entry.path()).find(|p| p.extension().unwrap() == "keys").unwrap();
    let mut bytes = fs::read(&keys).unwrap();
    let len = bytes.len();
    bytes.truncate(len - 1);
    fs::write(&keys, bytes).unwrap();
    let error = bench.error(infer, 1);
    assert!(error.contains("refuses"), "{error}");
    let error = bench.error("encrypted client --config stranger.toml --input 0.png", 1);
    assert!(error.contains("cannot connect"), "{error}");
}
