//! Every command on the demo network.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Bench, assert_keys};

const ROUTES: [&str; 4] = ["p0_p1", "p1_p0", "p2_p0", "p2_p1"];

#[test]
fn help_names_every_command() {
    let bench = Bench::new();
    let text = bench.text("--help");
    for command in [
        "demo",
        "inspect",
        "calibrate",
        "plan",
        "run",
        "eval",
        "server",
        "helper",
        "client",
        "keys",
        "polynomial",
        "report",
        "study",
        "profile",
        "bench",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} in {text}");
        let help = bench.text(&format!("{command} --help"));
        assert!(help.contains("Usage:") && !help.contains("until-eof"), "{help}");
    }
    assert!(bench.text("--version").starts_with("hushwire "));
    assert!(bench.error("frobnicate", 2).contains("frobnicate"));
    assert!(bench.error("run demo.onnx", 2).contains("--input"));
}

#[test]
fn keys_are_made_once_and_shown() {
    let bench = Bench::new();
    let made = bench.json("keys new --name alice --out keys");
    let shown = bench.json("keys show keys/alice.cert.pem");
    assert_eq!(made["fingerprint"], shown["fingerprint"]);
    assert!(bench.path("keys/alice.key.pem").is_file());
    let text = bench.text("keys show keys/alice.cert.pem");
    assert!(text.contains(made["fingerprint"].as_str().unwrap()), "{text}");
    assert!(bench.error("keys new --name alice --out keys", 1).contains("alice.key.pem"));
    assert!(bench.error("keys new --name ../x --out keys", 1).contains("../x"));
}

#[test]
fn plans_share_decisions_within_a_budget() {
    let bench = Bench::new();
    bench.mnist(12);
    let command = "plan relu demo.onnx --data mnist:. --budget 0.25 --rounds 1 -o shared.toml";
    let report = bench.json(command);
    let number = |report: &Value, name: &str| report[name].as_f64().unwrap();
    assert!(number(&report, "share") <= 0.25, "{report}");
    assert_eq!(number(&report, "exact_decisions"), 2416.0);
    assert!(number(&report, "measured") > 0.0 && number(&report, "measured") < 1.0, "{report}");
    let inspected = bench.json("inspect demo.onnx --plan shared.toml --comparison digits");
    assert_eq!(inspected["decisions"], report["decisions"]);
    // Majorities compare every member.
    let majority = &report["majority"];
    assert!(number(majority, "decisions") > number(&report, "decisions"), "{report}");
    assert!(number(majority, "share") > number(&report, "share"), "{report}");
    // The same search has nothing left to do; another begins anew.
    let again = bench.json(command);
    assert_eq!(again["steps"], report["steps"]);
    let exact = bench.json("inspect demo.onnx --comparison digits");
    let total = |r: &Value| number(&r["offline"], "total") + number(&r["online"], "total");
    let bytes = bench.json(
        "plan relu demo.onnx --data mnist:. --budget 0.5 --objective bytes --comparison digits \
         --rounds 0 -o shared.toml",
    );
    assert!(number(&bytes, "share") <= 0.5, "{bytes}");
    let inspected = bench.json("inspect demo.onnx --plan shared.toml --comparison digits");
    let share = total(&inspected) / total(&exact);
    assert!((share - number(&bytes, "share")).abs() < 0.02, "{share} of the bytes, {bytes}");
    // Fewer compared bits, inside the same budget.
    let narrow = bench.json(
        "plan relu demo.onnx --data mnist:. --budget 0.5 --objective bytes --comparison digits \
         --rounds 0 --flips 0,0.02 -o narrow.toml",
    );
    assert!(number(&narrow, "share") <= 0.5, "{narrow}");
    let windows = &narrow["windows"];
    assert!((2.0..20.0).contains(&number(windows, "bits")), "{narrow}");
    assert!(number(windows, "measured") > 0.0, "{narrow}");
    let inspected = bench.json("inspect demo.onnx --plan narrow.toml --comparison digits");
    assert!((total(&inspected) / total(&exact) - number(&narrow, "share")).abs() < 0.02);
    let counted = "plan relu demo.onnx --data mnist:. --budget 0.5 --flips 0 -o x.toml";
    assert!(bench.error(counted, 1).contains("give --objective bytes or seconds"));
    let error = bench.error("plan relu demo.onnx --data mnist:. --budget 1.5 -o x.toml", 2);
    assert!(error.contains("share between 0 and 1"), "{error}");
    let least = "plan relu demo.onnx --data mnist:. --budget 0.001 --objective bytes -o x.toml";
    assert!(bench.error(least, 1).contains("cannot be met"));
}

#[test]
fn weights_are_matched_to_a_plan() {
    let bench = Bench::new();
    bench.mnist(12);
    let budget = "plan relu demo.onnx --data mnist:. --budget 0.1 --rounds 0";
    for flags in ["--grouping across -o across.toml", "--as-is -o as_is.toml", "-o plan.toml"] {
        let report = bench.json(&format!("{budget} {flags}"));
        assert!(report["share"].as_f64().unwrap() <= 0.1, "{report}");
    }
    let command = "plan match demo.onnx --plan plan.toml --data mnist:. -o matched.onnx";
    assert!(bench.json(command)["images"].as_str().unwrap().contains("first 12 test"));
    let decisions = |model: &str| {
        bench.json(&format!("inspect {model} --plan plan.toml --comparison digits"))["decisions"]
            .clone()
    };
    assert_eq!(decisions("matched.onnx"), decisions("demo.onnx"));
    let bytes = |file: &str| std::fs::read(bench.path(file)).unwrap();
    assert_ne!(bytes("matched.onnx"), bytes("demo.onnx"));
    let error = bench.error("plan match matched.onnx --data mnist:. -o x.onnx", 2);
    assert!(error.contains("--plan"), "{error}");
}

#[test]
fn windows_leave_out_low_bits() {
    let bench = Bench::new();
    bench.mnist(12);
    bench.text("calibrate demo.onnx --data mnist:. -o plan.toml");
    let fit = |flips: &str, plan: &str| {
        let command = "plan windows demo.onnx --plan plan.toml --data mnist:.";
        bench.json(&format!("{command} --flips {flips} -o {plan}"))
    };
    let bits = |report: &Value| report["bits"].as_f64().unwrap();
    let (none, some) = (fit("0", "wide.toml"), fit("0.02", "narrow.toml"));
    assert_eq!(some["decisions"], 2416);
    assert!(bits(&some) + 1.0 < bits(&none), "{some} against {none}");
    for gate in some["gates"].as_array().unwrap() {
        let flips = gate["flips"].as_f64().unwrap();
        assert!((0.0..=0.02).contains(&flips), "{gate}");
    }
    let bytes = |plan: &str| {
        let inspected = bench.json(&format!("inspect demo.onnx --plan {plan} --comparison digits"));
        ["offline", "online"].map(|phase| inspected[phase]["total"].as_u64().unwrap())
    };
    let (wide, narrow) = (bytes("wide.toml"), bytes("narrow.toml"));
    assert!(narrow[0] < wide[0] && narrow[1] < wide[1], "{narrow:?} against {wide:?}");
    let eval = bench.json("eval demo.onnx --plan narrow.toml --data mnist:. --executor fixed");
    assert!(eval["agreement"].as_f64().unwrap() > 0.8, "{eval}");
}

#[test]
fn a_report_is_one_page_and_a_table() {
    let bench = Bench::new();
    bench.mnist(12);
    bench.text("plan relu demo.onnx --data mnist:. --budget 0.2 --rounds 0 -o a.toml");
    let clusters = "plan relu demo.onnx --data mnist:. --budget 0.4 --grouping channels -o b.toml";
    let planned = bench.json(clusters);
    assert!(planned["share"].as_f64().unwrap() <= 0.4, "{planned}");
    let report = bench.json(
        "report demo.onnx --plan a<b=a.toml --plan channels=b.toml --data mnist:. -o page.html",
    );
    let rows = report["plans"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["decisions"], 2416);
    for row in rows {
        let kinds = row["bytes_by_kind"].as_array().unwrap().iter();
        let sum: u64 = kinds.map(|bytes| bytes.as_u64().unwrap()).sum();
        let phases = ["offline_bytes", "online_bytes"].map(|phase| row[phase].as_u64().unwrap());
        assert_eq!(sum, phases[0] + phases[1], "{row}");
    }
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(page.contains("a&lt;b") && !page.contains("a<b"), "labels are text");
    assert!(!page.contains("<script") && !page.contains("src="), "nothing comes from elsewhere");
    assert_eq!(page.matches("accuracy in %").count(), 3);
    let table = std::fs::read_to_string(bench.path("page.html.csv")).unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    let twice = "report demo.onnx --plan a=a.toml --plan a=b.toml --data mnist:. -o page.html";
    assert!(bench.error(twice, 1).contains("two plans"));
}

#[test]
fn calibrated_plans_are_used() {
    let bench = Bench::new();
    bench.mnist(12);
    let report = bench.json("calibrate demo.onnx --data mnist:. --images 8 -o plan.toml");
    assert!(report["calibration"].as_str().unwrap().contains("first 8 test images"));
    let text = bench.text("calibrate demo.onnx --data mnist:. --plan plan.toml");
    assert!(text.contains("relu1") && text.contains("nothing was written"), "{text}");
    let inspected = bench.json("inspect demo.onnx --plan plan.toml");
    assert_eq!(inspected["ring"], report["ring"]);
}

#[test]
fn predicted_bytes_and_rounds_are_metered() {
    let bench = Bench::new();
    bench.mnist(4);
    for seed in 0..3 {
        bench.image(&format!("{seed}.png"), 28, seed);
    }
    bench.text("calibrate demo.onnx --data mnist:. -o plan.toml");
    for comparison in ["dcf", "digits"] {
        let flags = format!("demo.onnx --plan plan.toml --comparison {comparison} --batch");
        let predicted = bench.json(&format!("inspect {flags} 3"));
        let run = bench.json(&format!("run {flags} 3 --input 0.png 1.png 2.png"));
        for phase in ["offline", "online"] {
            for route in ROUTES.into_iter().chain(["total"]) {
                let (expected, got) = (&predicted[phase][route], &run[phase]["bytes"][route]);
                assert_eq!(got, expected, "{comparison}, {phase}, {route}");
            }
        }
        assert_eq!(run["online"]["rounds"], predicted["rounds"], "{comparison}");
        let sum = |key: &str| -> u64 {
            let layers = predicted["layers"].as_array().unwrap();
            layers.iter().map(|layer| layer[key].as_u64().unwrap()).sum()
        };
        assert_eq!(sum("offline_bytes"), predicted["offline"]["total"]);
        assert_eq!(sum("online_bytes"), predicted["online"]["total"]);
        assert_eq!(sum("rounds"), predicted["rounds"]);
        // Two batches: one of two images, one of one.
        let split = bench.json(&format!("run {flags} 2 --input 0.png 1.png 2.png"));
        let rounds = predicted["rounds"].as_u64().unwrap();
        assert_eq!(split["online"]["rounds"], 2 * rounds);
        assert_eq!(split["outputs"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn run_prints_what_its_readers_expect() {
    let bench = Bench::new();
    bench.image("a.png", 28, 1);
    bench.image("b.png", 28, 2);
    let report = bench.json("run demo.onnx --input a.png b.png");
    assert_keys(&report, &["outputs", "setup", "offline", "online", "parties", "wall_seconds"]);
    let outputs = report["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);
    assert_eq!(outputs[1]["file"], "b.png");
    for output in outputs {
        assert_keys(output, &["file", "label", "class", "score", "logits"]);
        assert_eq!(output["logits"].as_array().unwrap().len(), 10);
        assert_eq!(output["label"], output["class"].to_string());
    }
    for phase in ["setup", "offline", "online"] {
        assert_keys(&report[phase], &["seconds", "rounds", "bytes"]);
        assert_keys(&report[phase]["bytes"], &ROUTES);
        assert_keys(&report[phase]["bytes"], &["p1_p2", "p0_p2", "total"]);
    }
    for party in ["client", "server", "helper"] {
        assert_keys(&report["parties"][party], &["peak_memory_bytes", "cpu_seconds"]);
    }
    let seconds = |value: &Value| value.as_f64().unwrap();
    let phases = ["setup", "offline", "online"].map(|phase| seconds(&report[phase]["seconds"]));
    assert!(phases.iter().sum::<f64>() <= seconds(&report["wall_seconds"]));
    let text = bench.text("run demo.onnx --input a.png");
    assert!(text.contains("a.png") && text.contains("the given images themselves"), "{text}");
    let far = bench.json("run demo.onnx --input a.png --comparison dcf --link 20,1000");
    let rounds = far["online"]["rounds"].as_f64().unwrap();
    assert!(seconds(&far["online"]["seconds"]) >= 0.020 * rounds, "{far}");
}

#[test]
fn eval_agrees_between_executors() {
    let bench = Bench::new();
    bench.mnist(30);
    let eval = |flags: &str| bench.json(&format!("eval demo.onnx --data mnist:. {flags}"));
    let float = eval("--executor float");
    assert_keys(&float, &["accuracy", "n", "agreement", "seconds"]);
    assert_eq!((&float["n"], &float["agreement"]), (&30.into(), &1.0.into()));
    let fixed = eval("--executor fixed --limit 20");
    assert_eq!((&fixed["n"], &fixed["overflows"]), (&20.into(), &0.into()));
    for comparison in ["dcf", "digits"] {
        let mpc = eval(&format!("--executor mpc --batch 8 --limit 20 --comparison {comparison}"));
        assert_keys(&mpc, &["accuracy", "n", "agreement", "agreement_fixed", "seconds"]);
        // A logit takes a few roundings, each off by one at most.
        let ulps = mpc["largest_difference_ulps"].as_f64().unwrap();
        assert!(ulps < 64.0, "{mpc}");
    }
}

#[test]
fn eval_runs_the_plan_in_floating_point() {
    let bench = Bench::new();
    bench.mnist(30);
    bench.text("calibrate demo.onnx --data mnist:. --images 8 -o exact.toml");
    let exact = std::fs::read_to_string(bench.path("exact.toml")).unwrap();
    // Without activations the logits are the same for all images, whose labels are 0 to 9 in turn.
    bench.write("zero.toml", exact.replace("\"activation\"", "\"activation\"\ngate = \"zero\""));
    let eval = |flags: &str| bench.json(&format!("eval demo.onnx --data mnist:. {flags}"));
    let plain = eval("--executor float");
    let float = eval("--executor float --plan exact.toml");
    assert_eq!((&float["accuracy"], &float["agreement"]), (&plain["accuracy"], &1.0.into()));
    assert_eq!((&float["gates"], plain.get("gates")), (&"exact.toml".into(), None));
    let float = eval("--executor float --plan zero.toml");
    assert_eq!(float["accuracy"], 0.1);
    assert!(float["agreement"].as_f64().unwrap() < 1.0, "{float}");
    let fixed = eval("--executor fixed --plan zero.toml");
    assert_eq!(
        (&fixed["accuracy"], &fixed["agreement"]),
        (&float["accuracy"], &float["agreement"])
    );
    bench.write("broken.toml", exact.replace("relu1", "relu9"));
    assert!(
        bench
            .error("eval demo.onnx --data mnist:. --executor float --plan broken.toml", 1)
            .contains("relu9")
    );
}

#[test]
fn demo_labels_every_digit() {
    let bench = Bench::new();
    let report = bench.json("demo");
    for (digit, output) in report["outputs"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&output["class"], &output["equals_clear"]), (&digit.into(), &true.into()));
    }
    assert_keys(&report, &["setup", "offline", "online", "wall_seconds", "clear_seconds"]);
    let text = bench.text("demo");
    assert!(text.contains("10 of 10 private labels equal") && text.contains('▀'), "{text}");
}

#[test]
fn nobody_has_to_read_on() {
    let bench = Bench::new();
    let mut child = bench.command("inspect demo.onnx").stdout(Stdio::piped()).spawn().unwrap();
    // The reader is gone before anything was written, or while it is.
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let mut child = bench.command("inspect demo.onnx").stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    assert!(child.wait().unwrap().success());
}
