//! `hushwire encrypted`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hushwire_data::Preprocess;
use hushwire_party::{
    EncryptedClient, EncryptedClientConfig, EncryptedServer, EncryptedServerConfig, KeyProgress,
    PartyReport,
};
use serde::Serialize;

use crate::answer::{self, Answer, Inputs};
use crate::args::JsonArg;
use crate::output::{self, bytes, seconds};
use crate::progress;
use crate::serving;

/// Inference on encrypted images, by client and server alone
///
/// The server computes on what it cannot read; no helper takes part. See `docs/encrypted.md`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    party: Party,
}

#[derive(clap::Subcommand)]
enum Party {
    /// Serve a network to clients who encrypt
    ///
    /// The configuration names the address, the own identity (see `hushwire keys`), the clients'
    /// certificates, the model and its encrypted plan, and a folder for the clients' public keys. One
    /// line on standard output says when the server listens; SIGINT and SIGTERM end it after its
    /// sessions.
    Server {
        #[command(flatten)]
        serving: serving::PartyArgs,
    },
    /// Ask a server about images that it cannot read
    ///
    /// The configuration names the own identity, the server, and a folder for the secret key. Public
    /// keys are made and uploaded at the first session.
    Client {
        /// The configuration, a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Images, PNG or JPEG; they are scaled and cut as the network's metadata says
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        input: Vec<PathBuf>,
        /// Write segmentation maps as PNG files to this folder
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArg,
    },
}

#[derive(Serialize)]
struct Report {
    outputs: Vec<Answer>,
    /// Runs: as many images go into one as the plan says.
    runs: usize,
    /// Bytes of keys that were uploaded; none if the server had them.
    uploaded_key_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// At the client, from images to logits.
    seconds: f64,
    server_seconds: f64,
    client: PartyReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<PartyReport>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.party {
        Party::Server { serving } => {
            let config = EncryptedServerConfig::load(&serving.config)?;
            serving::run("encrypted server", serving, || EncryptedServer::start(config))
        }
        Party::Client { config, input, output, json } => {
            let report = infer(config, input, output.as_deref(), json.json)?;
            output::report(&report, json.json, human)
        }
    }
}

fn infer(config: &Path, files: &[PathBuf], folder: Option<&Path>, json: bool) -> Result<Report> {
    serving::log("warn");
    let config = EncryptedClientConfig::load(config)?;
    let bar = progress::bar(json, None, "keys");
    let mut uploaded = 0;
    let told = |state: KeyProgress| match state {
        KeyProgress::Made(made, of) => bar.set_message(format!("{made} of {of} made")),
        KeyProgress::Uploaded(sent, of) => {
            uploaded = sent;
            bar.set_message(format!("{} of {} uploaded", bytes(sent), bytes(of)));
        }
    };
    let client = EncryptedClient::connect(&config, told).context("the client cannot connect");
    bar.finish_and_clear();
    let mut client = client?;
    let graph = client.graph().clone();
    let preprocess = Preprocess::for_graph(&graph)
        .context("the served network does not say how images are preprocessed")?;
    let inputs = Inputs::load(&graph, files, preprocess)?;
    let mut report = Report {
        outputs: Vec::new(),
        runs: 0,
        uploaded_key_bytes: uploaded,
        sent_bytes: 0,
        received_bytes: 0,
        seconds: 0.0,
        server_seconds: 0.0,
        client: PartyReport::default(),
        server: None,
    };
    let images: Vec<&[f32]> = inputs.values.iter().map(Vec::as_slice).collect();
    let parts = images.chunks(client.max_batch());
    let bar = progress::bar(json, Some(parts.len() * client.values()), "running");
    let mut logits = Vec::new();
    for part in parts {
        let outcome = client.infer(part, |name| {
            bar.inc(1);
            bar.set_message(name.to_owned());
        })?;
        report.runs += 1;
        report.sent_bytes += outcome.sent_bytes;
        report.received_bytes += outcome.received_bytes;
        report.seconds += outcome.seconds;
        report.server_seconds += outcome.server_seconds;
        report.client = add(report.client, outcome.client);
        if let Some(server) = outcome.server {
            report.server = Some(add(report.server.unwrap_or_default(), server));
        }
        logits.extend(outcome.logits);
    }
    bar.finish_and_clear();
    client.close()?;
    report.outputs = inputs.answers(&graph, &logits, folder)?;
    Ok(report)
}

fn add(a: PartyReport, b: PartyReport) -> PartyReport {
    PartyReport {
        peak_memory_bytes: a.peak_memory_bytes.max(b.peak_memory_bytes),
        cpu_seconds: a.cpu_seconds + b.cpu_seconds,
    }
}

fn human(report: &Report) -> String {
    format!(
        "{}\n{} runs in {}, of which the server computed {}; {} sent ({} of keys), {} received",
        answer::table(&report.outputs),
        report.runs,
        seconds(report.seconds),
        seconds(report.server_seconds),
        bytes(report.sent_bytes),
        bytes(report.uploaded_key_bytes),
        bytes(report.received_bytes)
    )
}
