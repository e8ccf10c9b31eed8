//! Configuration files.

use std::path::Path;

use hushwire_mpc::Comparison;
use hushwire_party::{ClientConfig, ConfigError, HelperConfig, ServerConfig};

const SERVER: &str = r#"
listen = "0.0.0.0:7001"
identity = "server"
clients = ["alice.cert.pem", "/etc/bob.cert.pem"]
model = "net.onnx"
plan = "net.toml"
state = "state"

[helper]
address = "helper.example:7002"
certificate = "helper.cert.pem"

[link]
rtt_ms = 40
mbit = 100
"#;

const CLIENT: &str = r#"
identity = "alice"
state = "state"
comparison = "dcf"
server = { address = "server.example:7001", certificate = "server.cert.pem" }
helper = { address = "helper.example:7002", certificate = "helper.cert.pem" }
"#;

const HELPER: &str = r#"
listen = "0.0.0.0:7002"
identity = "helper"
servers = ["server.cert.pem"]
clients = ["alice.cert.pem"]
state = "state"
"#;

fn write(dir: &Path, text: &str) -> std::path::PathBuf {
    let path = dir.join("party.toml");
    std::fs::write(&path, text).expect("it writes");
    path
}

#[test]
fn paths_are_relative_to_the_file_and_defaults_apply() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerConfig::load(&write(dir.path(), SERVER)).unwrap();
    assert_eq!(server.model, dir.path().join("net.onnx"));
    assert_eq!(server.clients[0], dir.path().join("alice.cert.pem"));
    assert_eq!(server.clients[1], Path::new("/etc/bob.cert.pem"));
    assert_eq!(server.helper.certificate, dir.path().join("helper.cert.pem"));
    assert_eq!(server.timeout_seconds, 30);
    let client = ClientConfig::load(&write(dir.path(), CLIENT)).unwrap();
    assert_eq!(client.comparison, Comparison::Dcf);
    assert_eq!(client.state, dir.path().join("state"));
    let helper = HelperConfig::load(&write(dir.path(), HELPER)).unwrap();
    assert_eq!(helper.servers[0], dir.path().join("server.cert.pem"));
    // What code writes, files can say.
    let text = toml::to_string(&server).unwrap();
    assert_eq!(ServerConfig::load(&write(dir.path(), &text)).unwrap(), server);
}

#[test]
fn errors_name_file_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str| ServerConfig::load(&write(dir.path(), text)).unwrap_err();
    let unknown = load(&format!("colour = 1\n{SERVER}"));
    assert!(matches!(unknown, ConfigError::Syntax { .. }));
    assert!(unknown.to_string().contains("colour"), "{unknown}");
    assert!(unknown.to_string().contains("party.toml"), "{unknown}");
    let missing = load(&SERVER.replace("model = \"net.onnx\"", ""));
    assert!(missing.to_string().contains("model"), "{missing}");
    for (from, to, field) in [
        ("state =", "timeout_seconds = 0\nstate =", "timeout_seconds"),
        ("rtt_ms = 40", "rtt_ms = -1", "link.rtt_ms"),
        ("mbit = 100", "mbit = 0", "link.mbit"),
        ("clients = [\"alice.cert.pem\", \"/etc/bob.cert.pem\"]", "clients = []", "clients"),
    ] {
        let error = load(&SERVER.replace(from, to));
        assert!(matches!(&error, ConfigError::Field { field: f, .. } if *f == field), "{error}");
    }
    let nothing = ServerConfig::load(&dir.path().join("none.toml")).unwrap_err();
    assert!(nothing.to_string().contains("none.toml"), "{nothing}");
}
