//! What does not work is refused with the name of the file and the reason.

use hushwire_graph::testing::OnnxBuilder;

use crate::support::Bench;

/// Runs with arguments that must fail, and looks for words in the message.
fn refused(bench: &Bench, args: &str, words: &[&str]) {
    let error = bench.error(args, 1);
    assert!(error.starts_with("error: "), "{error}");
    for word in words {
        assert!(error.contains(word), "no '{word}' in: {error}");
    }
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[test]
fn models_that_cannot_be_used() {
    let bench = Bench::new();
    bench.image("a.png", 28, 1);
    refused(&bench, "inspect none.onnx", &["none.onnx", "No such file"]);
    bench.write("text.onnx", "this is no network");
    refused(&bench, "inspect text.onnx", &["text.onnx", "not an ONNX file"]);
    let bad = OnnxBuilder::new(&[1, 4, 4]).node("Einsum", &["input"], "strange").build("strange");
    bench.write("bad.onnx", bad);
    for command in ["inspect bad.onnx", "run bad.onnx --input a.png"] {
        refused(&bench, command, &["bad.onnx", "Einsum", "strange"]);
    }
    // Runs in floating point, but there is no private counterpart.
    let bad = OnnxBuilder::new(&[1, 4, 4])
        .floats("w", &[1, 1, 1, 1], &[1.0])
        .node("Conv", &["input", "w"], "conv")
        .node("Sigmoid", &["conv"], "squash")
        .build("squash");
    bench.write("sigmoid.onnx", bad);
    refused(&bench, "inspect sigmoid.onnx", &["sigmoid.onnx", "squash"]);
}

#[test]
fn images_that_cannot_be_used() {
    let bench = Bench::new();
    refused(&bench, "run demo.onnx --input none.png", &["none.png", "No such file"]);
    bench.write("text.png", "this is no image");
    refused(&bench, "run demo.onnx --input text.png", &["text.png"]);
    bench.image("large.png", 29, 1);
    refused(&bench, "run demo.onnx --input large.png", &["large.png", "28 x 28", "29 x 29"]);
    let plain = OnnxBuilder::new(&[1, 28, 28]).node("Flatten", &["input"], "flat").build("flat");
    bench.write("plain.onnx", plain);
    refused(&bench, "run plain.onnx --input large.png", &["plain.onnx", "`preprocess`"]);
}

#[test]
fn plans_that_cannot_be_used() {
    let bench = Bench::new();
    bench.mnist(2);
    bench.image("a.png", 28, 1);
    bench.text("calibrate demo.onnx --data mnist:. -o good.toml");
    let good = std::fs::read_to_string(bench.path("good.toml")).unwrap();
    let run = |plan: &str| format!("run demo.onnx --input a.png --plan {plan}");
    refused(&bench, &run("none.toml"), &["none.toml", "No such file"]);
    bench.write("bad.toml", "version = 1\nnonsense");
    refused(&bench, &run("bad.toml"), &["bad.toml", "does not parse"]);
    let hash = good.split('"').nth(1).unwrap();
    bench.write("other.toml", good.replace(hash, &"0".repeat(64)));
    refused(&bench, &run("other.toml"), &["other.toml", "made for network 000000000000"]);
    bench.write("later.toml", good.replace("version = 1", "version = 99"));
    refused(&bench, &run("later.toml"), &["later.toml", "version 99"]);
}

#[test]
fn data_that_cannot_be_used() {
    let bench = Bench::new();
    refused(&bench, "eval demo.onnx --data mnist:.", &["t10k-images"]);
    assert!(bench.error("eval demo.onnx --data digits:.", 2).contains("mnist:DIR"));
    assert!(bench.error("eval demo.onnx --data mnist:. --limit 0", 2).contains("at least 1"));
    assert!(bench.error("inspect demo.onnx --link 20", 2).contains("20,100"));
}

#[test]
fn configurations_that_cannot_be_used() {
    let bench = Bench::new();
    for party in ["server", "helper"] {
        refused(&bench, &format!("{party} --config none.toml"), &["none.toml", "No such file"]);
    }
    bench.write("bad.toml", "listen = 1");
    refused(&bench, "server --config bad.toml", &["bad.toml", "does not parse"]);
    refused(&bench, "client --config bad.toml list", &["bad.toml", "does not parse"]);
}
