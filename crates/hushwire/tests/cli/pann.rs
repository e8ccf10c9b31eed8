//! Composite polynomials in the place of ReLU: plans, executors, training, the study.

use serde_json::Value;

use crate::support::Bench;

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn plans_with_polynomials_run_in_the_clear_and_count_what_is_out_of_range() {
    let bench = Bench::new();
    bench.mnist(12);
    let planned = bench.json("plan polynomial demo.onnx --data mnist:. --alpha 9 -o nine.toml");
    assert_eq!(planned["depth"], 3 * 9, "three ReLUs: {planned}");
    assert!(number(&planned, "loss") < 1e-3, "{planned}");
    let plan = std::fs::read_to_string(bench.path("nine.toml")).unwrap();
    assert_eq!(plan.matches("alpha = 9").count(), 3, "{plan}");
    let eval = |plan: &str, executor: &str| {
        let flags = format!("--plan {plan} --executor {executor}");
        bench.json(&format!("eval demo.onnx --data mnist:. {flags}"))
    };
    for executor in ["float", "fixed"] {
        let found = eval("nine.toml", executor);
        assert_eq!(found["outside_range"], 0, "{found}");
        assert!(number(&found, "agreement") > 0.9, "{found}");
    }
    // Calibration adds number formats.
    bench.text("calibrate demo.onnx --plan nine.toml --data mnist:. -o formats.toml");
    let (spot, file) = (eval("nine.toml", "fixed"), eval("formats.toml", "fixed"));
    for what in ["accuracy", "agreement", "outside_range", "overflows"] {
        assert_eq!(spot[what], file[what], "{what}");
    }
    // Ranges that are too small.
    let formats = std::fs::read_to_string(bench.path("formats.toml")).unwrap();
    let lines = formats.lines().map(|line| match line.starts_with("range = ") {
        true => "range = 0.05".to_owned(),
        false => line.to_owned(),
    });
    bench.write("narrow.toml", lines.collect::<Vec<_>>().join("\n"));
    for executor in ["float", "fixed"] {
        let flags = format!("--plan narrow.toml --executor {executor}");
        let output = bench.run(&format!("eval demo.onnx --data mnist:. {flags} --json"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.contains("outside the range"), "{error}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(number(&found, "outside_range") > 100.0, "{executor}: {found}");
    }
}

#[test]
fn three_parties_are_told_what_is_cheaper() {
    let bench = Bench::new();
    bench.mnist(4);
    bench.image("a.png", 28, 1);
    bench.text("plan polynomial demo.onnx --data mnist:. --alpha 7 -o seven.toml");
    // The network is not written over by its plan.
    let error = bench.error("plan polynomial demo.onnx --data mnist:. --alpha 7 -o demo.onnx", 1);
    assert!(error.contains("is no text file"), "{error}");
    bench.text("inspect demo.onnx");
    for command in [
        "run demo.onnx --plan seven.toml --input a.png",
        "inspect demo.onnx --plan seven.toml",
        "eval demo.onnx --plan seven.toml --data mnist:. --executor mpc",
    ] {
        let error = bench.error(command, 1);
        assert!(error.contains("composite polynomial of precision 7"), "{error}");
        assert!(error.contains("the exact ReLU takes"), "{error}");
        // "... would take N bytes and R round trips, the exact ReLU takes M bytes and S ..."
        let numbers: Vec<u64> =
            error.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [.., polynomial, rounds, exact, fewer] = numbers[..] else { panic!("{error}") };
        assert!(polynomial > exact && rounds > fewer, "{numbers:?}");
    }
}

#[test]
fn budgets_are_spent_where_they_help() {
    let bench = Bench::new();
    bench.mnist(8);
    let plan = |budget: &str| {
        let command = format!("plan polynomial demo.onnx --data mnist:. {budget} -o p.toml");
        bench.json(&command)
    };
    let (seven, same) = (plan("--alpha 7"), plan("--budget depth=21"));
    assert!(number(&same, "depth") <= 21.0 && number(&seven, "depth") == 21.0, "{same}");
    assert!(number(&same, "loss") <= 2.0 * number(&seven, "loss"), "{same} {seven}");
    let few = plan("--budget multiplications=20");
    assert!(number(&few, "multiplications") <= 20.0, "{few}");
    let command = "plan polynomial demo.onnx --data mnist:. -o p.toml";
    let error = bench.error(&format!("{command} --budget depth=5"), 1);
    assert!(error.contains("3 ReLUs take 12 at least"), "{error}");
    assert!(bench.error(&format!("{command} --alpha 3"), 2).contains("4 to 14 bits"));
    assert!(bench.error(&format!("{command} --budget breadth=3"), 2).contains("no budget"));
    assert!(bench.error(&format!("{command} --alpha 7 --margin 0.5"), 1).contains("1 or more"));
    assert!(bench.error(command, 2).contains("--alpha"));
}

#[test]
fn networks_are_tuned_for_polynomials() {
    let bench = Bench::new();
    let data = "--data oscillator:1 --images 2048 --test-images 64";
    bench.text(&format!("train oscillator-mlp {data} --epochs 4 -o signals.onnx"));
    let data = format!("{data} --epochs 1");
    let tune = |flags: &str| format!("tune signals.onnx {data} --range-images 64 {flags}");
    let remedies = "--leak slope --leak-size 0.1 --range-penalty 0.01 --mixup 0.2 --decay 0";
    let report = bench.json(&tune(&format!("--polynomial 6 {remedies} -o tuned.onnx")));
    assert_eq!(report["plan"], "tuned.onnx.plan.toml");
    assert!(number(&report, "plan_accuracy") > 0.5, "{report}");
    let eval = bench.json(
        "eval tuned.onnx --plan tuned.onnx.plan.toml --data oscillator:1 --limit 64 \
         --executor float",
    );
    assert_eq!(eval["accuracy"], report["plan_accuracy"]);
    assert_eq!(eval["outside_range"], report["outside_range"]);
    // The same command gives the same network.
    let first = std::fs::read(bench.path("tuned.onnx")).unwrap();
    bench.json(&tune(&format!("--polynomial 6 {remedies} -o tuned.onnx")));
    assert!(first == std::fs::read(bench.path("tuned.onnx")).unwrap());
    let twice = tune("--polynomial 6 --leak residual -o x.onnx");
    assert!(bench.error(&twice, 1).contains("--residual false"));
    assert!(bench.error(&tune("--leak slope -o x.onnx"), 2).contains("--polynomial"));
    let table = bench.json(
        "study precision tuned.onnx --data oscillator:1 --limit 64 --alphas 4,9 --range-images 64",
    );
    let rows = table["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]["depth"]), (2, &Value::from(9)));
    let close = number(&rows[1], "accuracy") - number(&table, "accuracy");
    assert!(close.abs() < 0.1, "{table}");
}

#[test]
fn the_study_goes_on_where_it_was() {
    let bench = Bench::new();
    let study = |flags: &str| {
        format!(
            "study pann --quick --data oscillator:1 -o study --images 128 --test-images 32 \
             --range-images 16 {flags}"
        )
    };
    let report = bench.json(&study("--seeds 1"));
    let numbers = number(&report, "numbers");
    let kept = std::fs::read(bench.path("study/results.json")).unwrap();
    let again = bench.json(&study("--seeds 1"));
    assert_eq!(number(&again, "numbers"), numbers);
    assert!(
        kept == std::fs::read(bench.path("study/results.json")).unwrap(),
        "nothing is done twice"
    );
    let text = std::fs::read_to_string(bench.path("study/report.txt")).unwrap();
    for part in ["energy, all, sign, negative", "0.0005, fixed", "leak+no-decay", "gradient at"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let table = std::fs::read_to_string(bench.path("study/results.csv")).unwrap();
    assert_eq!(table.lines().count() as f64, numbers + 1.0);
    for chart in ["perturbations", "decay", "remedies"] {
        let chart = std::fs::read_to_string(bench.path(&format!("study/{chart}.svg"))).unwrap();
        assert!(chart.starts_with("<svg"), "{chart}");
    }
    let other = study("--seeds 1 --epochs 2");
    assert!(bench.error(&other, 1).contains("results of other settings"));
    let other = study("--seeds 1").replace("oscillator:1", "oscillator:2");
    assert!(bench.error(&other, 1).contains("results of other settings"));
    // Networks that coarse polynomials blow up are measured as well.
    bench.text("study pann --quick --data oscillator:1 --seeds 1 -o quick");
}
