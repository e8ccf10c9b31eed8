//! Polynomials for the sign.

use crate::support::Bench;

#[test]
fn polynomials_are_listed_written_and_checked() {
    let bench = Bench::new();
    let table = bench.json("polynomial table");
    let rows = table["polynomials"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    for row in rows {
        let alpha = row["alpha"].as_f64().unwrap();
        assert!(row["log2_error"].as_f64().unwrap() <= -alpha, "{row}");
    }
    bench.text("polynomial sign --alpha 6 -o six.toml");
    let checked = bench.json("polynomial check six.toml");
    assert!(checked["log2_error"].as_f64().unwrap() <= -6.0, "{checked}");
    let text = std::fs::read_to_string(bench.path("six.toml")).unwrap();
    assert_eq!(bench.text("polynomial sign --alpha 6").trim(), text.trim());

    bench.write("better.toml", text.replace("certified_error = 0.0", "certified_error = 0.00"));
    assert!(bench.error("polynomial check better.toml", 1).contains("better.toml says"));
    bench.write("broken.toml", text.replace("depth = 6", "depth = 5"));
    assert!(bench.error("polynomial check broken.toml", 1).contains("depth"));
}

#[test]
fn polynomials_are_made_and_searched_for() {
    let bench = Bench::new();
    let made = bench.json("polynomial sign --degrees 3,7 --construction uniform");
    assert_eq!(made["depth"], 6);
    assert_eq!(made["multiplications"], 8);
    let error = made["log2_error"].as_f64().unwrap();
    assert!((-6.1..-6.0).contains(&error), "{made}");
    let found = bench.json("polynomial search --depth 5 --multiplications 8");
    let best = found["polynomials"].as_array().unwrap().last().unwrap();
    assert_eq!(best["degrees"], serde_json::json!([13]));
    assert!(bench.error("polynomial sign --degrees 3,8", 1).contains("degree 8"));
    assert!(bench.error("polynomial sign --alpha 15", 1).contains("4 to 14"));
    assert!(bench.error("polynomial sign --alpha 5 --degrees 5", 2).contains("--degrees"));
}

#[test]
fn the_suite_proves_its_errors() {
    let bench = Bench::new();
    let report = bench.json("bench --suite polynomial --only relu.alpha4. relu.alpha8.");
    let metric = |name: &str| report["metrics"][format!("relu.{name}")].as_f64().unwrap();
    assert!(metric("alpha4.log2_error") <= -4.0 && metric("alpha8.log2_error") <= -8.0);
    assert_eq!((metric("alpha8.depth"), metric("alpha8.multiplications")), (8.0, 13.0));
    assert_eq!(report["metrics"].as_object().unwrap().len(), 6);
}
