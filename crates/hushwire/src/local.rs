//! Three parties on this machine: this process is the client, two children are server and helper.
//!
//! Keys, certificates and configurations are made for the occasion in a folder that only this user
//! can read. The children end when this process does, however it ends: each watches a pipe that is
//! open as long as this process lives, and the last one removes the folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hushwire_graph::Graph;
use hushwire_mpc::Comparison;
use hushwire_net::Identity;
use hushwire_party::{
    Client, ClientConfig, HelperConfig, LineConfig, Outcome, PeerConfig, ServerConfig,
};
use hushwire_plan::Plan;
use serde::Serialize;
use tempfile::TempDir;

use crate::args::Line;
use crate::serving::LISTENING;

/// Large networks compute for long between two messages.
const TIMEOUT_SECONDS: u64 = 900;

/// Preprocessing of a request that each process holds in memory, in 2^20 bytes.
const MEMORY_MIB: u64 = 512;

/// How long children have to end by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder that only this user can read, gone when this process is.
pub struct PrivateFolder(TempDir);

impl PrivateFolder {
    /// Makes one; from now on SIGINT and SIGTERM remove it before they end this process.
    pub fn new() -> Result<PrivateFolder> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("hushwire-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let path = folder.path().to_owned();
        ctrlc::set_handler(move || {
            let _ = std::fs::remove_dir_all(&path);
            std::process::exit(130);
        })
        .context("signals cannot be handled")?;
        Ok(PrivateFolder(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What the parties run.
pub struct Task<'a> {
    /// The network, an ONNX file.
    pub model: &'a Path,
    /// The calibrated plan.
    pub plan: &'a Plan,
    /// How signs are compared.
    pub comparison: Comparison,
    /// The line to emulate between them.
    pub line: Option<Line>,
    /// Largest batch that will be asked for.
    pub batch: usize,
}

/// Three running parties.
pub struct Parties {
    client: Option<Client>,
    children: Vec<Party>,
    ready: Instant,
    /// Removed after everything else has ended.
    _folder: PrivateFolder,
}

impl Parties {
    /// Starts server and helper and connects to them.
    pub fn start(folder: PrivateFolder, task: &Task<'_>) -> Result<Parties> {
        let dir = folder.path();
        for name in ["client", "server", "helper"] {
            let (key, certificate) = identity(dir, name);
            Identity::generate(name)?.save(&key, &certificate)?;
        }
        let certificate = |name| identity(dir, name).1;
        let peer = |name, party: &Party| PeerConfig {
            address: party.address.clone(),
            certificate: certificate(name),
        };
        let line = task.line.map(|l| LineConfig { rtt_ms: l.rtt_ms, mbit: Some(l.mbit) });
        let max_batch = u32::try_from(task.batch).context("the batch is too large")?;
        let helper = Party::start(
            dir,
            "helper",
            &HelperConfig {
                listen: "127.0.0.1:0".to_owned(),
                identity: dir.join("helper"),
                servers: vec![certificate("server")],
                clients: vec![certificate("client")],
                state: dir.join("helper-state"),
                timeout_seconds: TIMEOUT_SECONDS,
                max_sessions: 1,
                max_batch,
                cache_mib: 1 << 14,
                share_usage: true,
                link: line,
            },
        )?;
        let plan = dir.join("plan.toml");
        write(&plan, &task.plan.to_text())?;
        let server = Party::start(
            dir,
            "server",
            &ServerConfig {
                listen: "127.0.0.1:0".to_owned(),
                identity: dir.join("server"),
                clients: vec![certificate("client")],
                model: absolute(task.model)?,
                plan,
                state: dir.join("server-state"),
                timeout_seconds: TIMEOUT_SECONDS,
                max_sessions: 1,
                max_batch,
                max_stored: 1,
                key_renewal_days: 1,
                stored_days: 1,
                memory_mib: MEMORY_MIB,
                share_usage: true,
                helper: peer("helper", &helper),
                link: line,
            },
        )?;
        let config = ClientConfig {
            identity: dir.join("client"),
            state: dir.join("client-state"),
            timeout_seconds: TIMEOUT_SECONDS,
            memory_mib: MEMORY_MIB,
            network: None,
            comparison: task.comparison,
            server: peer("server", &server),
            helper: peer("helper", &helper),
            link: line,
        };
        let ready = Instant::now();
        let client = Client::connect(config).context("the client cannot connect")?;
        let children = vec![helper, server];
        Ok(Parties { client: Some(client), children, ready, _folder: folder })
    }

    /// Seconds since server and helper were listening.
    pub fn seconds(&self) -> f64 {
        self.ready.elapsed().as_secs_f64()
    }

    /// The network that is served.
    pub fn graph(&self) -> Result<&Graph> {
        let client = self.client.as_ref().ok_or_else(|| anyhow!("the session has ended"))?;
        Ok(client.network().graph())
    }

    /// Runs one batch.
    pub fn infer(&mut self, input: &[f32]) -> Result<Outcome> {
        let client = self.client.as_mut().ok_or_else(|| anyhow!("the session has ended"))?;
        Ok(client.infer(input)?)
    }
}

impl Drop for Parties {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // The results are in; a connection that breaks now harms nobody.
            let _ = client.close();
        }
        self.children.clear();
    }
}

/// A child that is a party.
struct Party {
    process: Child,
    /// Its end is the child's.
    stdin: Option<ChildStdin>,
    address: String,
}

impl Party {
    /// Writes the configuration and starts a child with it.
    fn start(dir: &Path, name: &str, config: &impl Serialize) -> Result<Party> {
        let path = dir.join(format!("{name}.toml"));
        write(&path, &toml::to_string(config)?)?;
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut process = Command::new(program)
            .arg(name)
            .arg("--config")
            .arg(&path)
            .arg("--until-eof")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take();
        // From here on dropping the party ends the child.
        let mut party = Party { process, stdin, address: String::new() };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim_end().split_once(LISTENING) {
            Some((_, address)) => party.address = address.to_owned(),
            None => bail!("the {name} did not start; its own message says why"),
        }
        Ok(party)
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.stdin.take();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // It may have ended in this moment.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Key and certificate of a party.
fn identity(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    hushwire_party::identity_files(&dir.join(name))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
