//! Measuring.

use serde_json::Value;

use crate::support::Bench;

/// The metrics of a run that prints nothing else.
fn metrics(bench: &Bench, args: &str) -> Value {
    let report = bench.json(args);
    assert_eq!(report.as_object().unwrap().len(), 1, "{report}");
    report["metrics"].clone()
}

#[test]
fn metrics_are_named_numbers_and_kept() {
    let bench = Bench::new();
    let report = metrics(&bench, "bench --suite micro --only conv.u32 -o metrics.json");
    assert!(report["conv.u32_gmacs"].as_f64().unwrap() > 0.0);
    assert_eq!(report.as_object().unwrap().len(), 1);
    let file = std::fs::read(bench.path("metrics.json")).unwrap();
    let kept: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(kept["metrics"], report);
    // What is known is not measured again.
    bench.write("metrics.json", r#"{"metrics": {"conv.u32_gmacs": 1e9}}"#);
    let resumed = bench.json("bench --suite micro --only conv.u32 -o metrics.json --resume");
    assert_eq!(resumed["metrics"]["conv.u32_gmacs"], 1e9);
    assert!(bench.error("bench --resume", 2).contains("--output"));
    bench.write("metrics.json", "{}");
    let error = bench.error("bench -o metrics.json --resume", 1);
    assert!(error.contains("metrics.json"), "{error}");
}

#[test]
fn knapsacks_are_solved_within_their_goals() {
    let bench = Bench::new();
    let report = metrics(&bench, "bench --suite planner --only knapsack.");
    let metric = |name: &str| report[format!("knapsack.{name}")].as_f64().unwrap();
    assert!((0.0..=0.1).contains(&metric("worst_gap_percent")), "{report}");
    assert!(metric("resnet50_seconds") < 10.0, "{report}");
}

#[test]
fn a_million_relus_cost_few_bytes() {
    let bench = Bench::new();
    let report = metrics(&bench, "bench --suite micro --only relu.");
    let metric = |name: &str| report[format!("relu.{name}")].as_f64().unwrap();
    assert!(metric("online_bytes") <= 10.0 && metric("total_bytes") <= 40.0, "{report}");
    assert!(metric("online_bytes") < metric("total_bytes"), "{report}");
    assert!(metric("seconds") >= metric("offline_seconds") + metric("online_seconds"));
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
}

#[test]
fn a_million_smooth_activations_cost_few_bytes_and_are_near_the_function() {
    let bench = Bench::new();
    let report = metrics(&bench, "bench --suite smooth --only gelu.");
    let metric = |name: &str| report[format!("gelu.{name}")].as_f64().unwrap();
    assert!(metric("total_bytes") <= 80.0 && metric("round_trips") <= 3.0, "{report}");
    assert!(metric("online_bytes") < metric("total_bytes"), "{report}");
    let error = metric("max_error");
    assert!(error > 1e-4 && error <= 1e-2, "{report}");
}

#[test]
fn networks_are_measured_under_their_names() {
    let bench = Bench::new();
    bench.mnist(4);
    std::fs::rename(bench.path("demo.onnx"), bench.path("My-Net.onnx")).unwrap();
    bench.text("calibrate My-Net.onnx --data mnist:. -o plan.toml");
    let predicted = bench.json("inspect My-Net.onnx --plan plan.toml --comparison digits");
    let mega = |value: &Value| value.as_f64().unwrap() / 1e6;
    let [offline, online] = ["offline", "online"].map(|phase| mega(&predicted[phase]["total"]));
    let suite = "bench --suite networks --model My-Net.onnx,plan.toml --only";
    let report = metrics(&bench, &format!("{suite} my_net.total my_net.lan.online"));
    let metric = |name: &str| report[name].as_f64().unwrap();
    assert!((metric("my_net.total_mb") - offline - online).abs() < 1e-9, "{report}");
    assert!((metric("my_net.online_mb") - online).abs() < 1e-9, "{report}");
    assert!(metric("my_net.peak_mb") > 1.0);
    // Every round trip takes a millisecond.
    let rounds = predicted["rounds"].as_f64().unwrap();
    assert!(metric("my_net.lan.online_seconds") >= 1e-3 * rounds, "{report}");
    assert_eq!(report.as_object().unwrap().len(), 10, "{report}");
    std::fs::rename(bench.path("My-Net.onnx"), bench.path("demo.onnx")).unwrap();
    let error = bench.error("bench --suite networks --only x --model demo.onnx", 1);
    assert!(error.contains("demo"), "{error}");
}

#[test]
fn a_measured_profile_predicts_times() {
    let bench = Bench::new();
    bench.image("a.png", 28, 1);
    bench.text("profile -o machine.toml");
    let text = std::fs::read_to_string(bench.path("machine.toml")).unwrap();
    assert!(text.contains("[machine]") && text.contains("cores = "), "{text}");
    for comparison in ["digits", "dcf"] {
        let flags = format!("--profile machine.toml --link wan --comparison {comparison}");
        let predicted = bench.json(&format!("inspect demo.onnx {flags} --machines one"));
        let run = bench.json(&format!("run demo.onnx {flags} --input a.png"));
        for phase in ["offline", "online"] {
            let measured = run[phase]["seconds"].as_f64().unwrap();
            let seconds = predicted[format!("{phase}_seconds")].as_f64().unwrap();
            assert!((0.75..1.25).contains(&(seconds / measured)), "{seconds}, took {measured}");
        }
    }
    let names = "bench --suite networks --profile machine.toml --only demo.lan.online";
    let report = metrics(&bench, names);
    assert!(report["demo.lan.online_ratio"].as_f64().unwrap() > 0.0, "{report}");
    // Far apart on a fast line, round trips count.
    let choice = |link: &str| {
        let flags = format!("--profile machine.toml --link {link}");
        bench.json(&format!("inspect demo.onnx {flags}"))["comparison"].clone()
    };
    assert_eq!((choice("200,10000"), choice("1,10")), ("dcf".into(), "digits".into()));
    bench.write("broken.toml", text.replace("cores = ", "cores = -"));
    let error = bench.error("inspect demo.onnx --profile broken.toml", 1);
    assert!(error.contains("broken.toml"), "{error}");
    assert!(bench.error("inspect demo.onnx --link far", 2).contains("loopback, lan, wan"));
}
