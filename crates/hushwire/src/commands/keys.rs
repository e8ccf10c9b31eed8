//! `hushwire keys`

use std::path::PathBuf;

use anyhow::{Context, Result};
use hushwire_net::{Identity, PeerCertificate};
use hushwire_party::identity_files;
use serde::Serialize;

use crate::args::JsonArg;
use crate::output;

/// Make and show identities
///
/// A party's identity is a private key and a certificate. Parties trust exactly the certificates
/// that their configurations list: exchange them over a way you trust, or compare fingerprints.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a new identity: DIR/NAME.key.pem, which stays here, and DIR/NAME.cert.pem for peers
    ///
    /// In a configuration write `identity = "DIR/NAME"`.
    New {
        /// Name of the party, for people to read
        #[arg(long)]
        name: String,
        /// Folder for the two files; made if needed
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Print the fingerprint of a certificate
    Show {
        /// The certificate, a PEM file
        #[arg(value_name = "CERT")]
        certificate: PathBuf,
        #[command(flatten)]
        json: JsonArg,
    },
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    certificate: String,
    fingerprint: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let (report, json) = match &args.action {
        Action::New { name, out, json } => {
            let file = name.trim();
            anyhow::ensure!(
                !file.is_empty() && !file.contains(['/', '\\']),
                "`{name}` cannot be the name of a file; take one without slashes"
            );
            std::fs::create_dir_all(out)
                .with_context(|| format!("cannot make the folder {}", out.display()))?;
            let (key, certificate) = identity_files(&out.join(file));
            let identity = Identity::generate(name)?;
            identity.save(&key, &certificate)?;
            let report = Report {
                key: Some(key.display().to_string()),
                certificate: certificate.display().to_string(),
                fingerprint: identity.fingerprint().to_string(),
            };
            (report, json.json)
        }
        Action::Show { certificate, json } => {
            let loaded = PeerCertificate::load(certificate)
                .with_context(|| format!("cannot use the certificate {}", certificate.display()))?;
            let report = Report {
                key: None,
                certificate: certificate.display().to_string(),
                fingerprint: loaded.fingerprint().to_string(),
            };
            (report, json.json)
        }
    };
    output::report(&report, json, |report| {
        let key = report.key.as_ref().map(|key| format!("key          {key}\n"));
        let key = key.unwrap_or_default();
        format!("{key}certificate  {}\nfingerprint  {}", report.certificate, report.fingerprint)
    })
}
