//! Processes: those that a run starts end with it; those started by hand do their work.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Bench;

/// Waits until something holds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn nothing_is_left_of_a_run() {
    let bench = Bench::new();
    bench.image("a.png", 28, 1);
    bench.text("run demo.onnx --input a.png");
    assert_eq!(bench.processes(), Vec::<String>::new());
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_run_that_is_killed() {
    let bench = Bench::new();
    bench.image("a.png", 28, 1);
    for name in ["KILL", "TERM", "INT"] {
        // A line this slow keeps the run busy for minutes.
        let mut run = bench
            .command("run demo.onnx --input a.png --link 20000,1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("two children", || bench.processes().len() == 2);
        signal(&run, name);
        assert!(!run.wait().unwrap().success());
        eventually("no children", || bench.processes().is_empty());
        eventually("no files", || bench.leftovers().is_empty());
    }
}

/// A party started by hand, and where it listens.
pub struct Party {
    child: Child,
    pub address: String,
}

impl Party {
    fn start(bench: &Bench, name: &str) -> Party {
        Party::start_as(bench, name, &format!("{name}.toml"))
    }

    /// Starts a command with a configuration.
    pub fn start_as(bench: &Bench, name: &str, config: &str) -> Party {
        let mut child = bench
            .command(&format!("{name} --config {config}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let start = format!("hushwire {name} listening at ");
        let address = line.trim_end().strip_prefix(&start);
        let address = address.unwrap_or_else(|| panic!("the {name} printed '{line}'")).to_owned();
        Party { child, address }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn parties_started_by_hand_answer() {
    let bench = Bench::new();
    bench.mnist(4);
    for seed in 0..3 {
        bench.image(&format!("{seed}.png"), 28, seed);
    }
    for name in ["client", "server", "helper", "stranger"] {
        bench.text(&format!("keys new --name {name} --out ."));
    }
    bench.text("calibrate demo.onnx --data mnist:. -o plan.toml");
    bench.write(
        "helper.toml",
        r#"listen = "127.0.0.1:0"
        identity = "helper"
        servers = ["server.cert.pem"]
        clients = ["client.cert.pem"]
        state = "helper-state""#,
    );
    let mut helper = Party::start(&bench, "helper");
    let address = helper.address.clone();
    let helper_peer =
        format!(r#"helper = {{ address = "{address}", certificate = "helper.cert.pem" }}"#);
    let server_file = format!(
        r#"listen = "127.0.0.1:0"
        identity = "server"
        clients = ["client.cert.pem"]
        model = "demo.onnx"
        plan = "plan.toml"
        state = "server-state"
        {helper_peer}"#
    );
    bench.write("server.toml", server_file);
    let mut server = Party::start(&bench, "server");
    let address = server.address.clone();
    let client_file = |name: &str| {
        format!(
            r#"identity = "{name}"
            state = "{name}-state"
            server = {{ address = "{address}", certificate = "server.cert.pem" }}
            {helper_peer}"#
        )
    };
    bench.write("client.toml", client_file("client"));
    bench.write("stranger.toml", client_file("stranger"));

    let local = bench.json("run demo.onnx --plan plan.toml --input 0.png 1.png 2.png");
    let labels = |report: &serde_json::Value| -> Vec<u64> {
        let outputs = report["outputs"].as_array().unwrap();
        outputs.iter().map(|output| output["class"].as_u64().unwrap()).collect()
    };
    let infer = "client --config client.toml infer --input 0.png 1.png 2.png";
    let fresh = bench.json(infer);
    assert_eq!(labels(&fresh), labels(&local));

    let stored = format!("{infer} --stored");
    assert!(bench.error(&stored, 1).contains("sizes in store: none"));
    let prepared = bench.json("client --config client.toml prepare --count 2 --batch 2");
    assert_eq!(prepared["bundles"].as_array().unwrap().len(), 2);
    assert!(bench.error(&stored, 1).contains("sizes in store: 2, 2"));
    bench.json("client --config client.toml prepare --count 1");
    let online = bench.json(&stored);
    assert_eq!(labels(&online), labels(&local));
    assert_eq!(online["offline"]["bytes"]["total"], 0);
    let left = bench.json("client --config client.toml list");
    let left = left["bundles"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0]["batch"], &left[0]["comparison"]), (&2.into(), &"digits".into()));
    assert!(left[0]["age_seconds"].as_u64().unwrap() < 600);

    // A pool makes up for what is used, also by several at once.
    let mut pool = bench
        .command("client --config client.toml pool --size 3")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let singles = || {
        let list = bench.json("client --config client.toml list");
        let bundles = list["bundles"].as_array().unwrap();
        bundles.iter().filter(|bundle| bundle["batch"] == 1).count()
    };
    eventually("a filled pool", || singles() == 3);
    let infer = "client --config client.toml infer --input 0.png --stored --json";
    let children: Vec<Child> =
        (0..2).map(|_| bench.command(infer).stdout(Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(labels(&report)[0], labels(&local)[0]);
    }
    eventually("a pool filled again", || singles() == 3);
    signal(&pool, "INT");
    assert!(pool.wait().unwrap().success());

    let error = bench.error("client --config stranger.toml list", 1);
    assert!(error.contains("cannot connect"), "{error}");
    for (party, name) in [(&mut server, "TERM"), (&mut helper, "INT")] {
        signal(&party.child, name);
        assert!(party.child.wait().unwrap().success());
    }
}
