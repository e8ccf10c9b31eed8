//! The configuration of the two parties.

use std::path::{Path, PathBuf};

use hushwire_net::TlsOptions;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigFile, check_clients, check_line, defaults as common, positive, tls};
use crate::{ConfigError, LineConfig, PeerConfig};

/// `server.toml` of encrypted inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedServerConfig {
    /// Address and port to listen at; port 0 lets the system choose.
    pub listen: String,
    /// Own key and certificate, see [`identity_files`](crate::identity_files).
    pub identity: PathBuf,
    /// Certificates of the clients to be served.
    pub clients: Vec<PathBuf>,
    /// The network, an ONNX file.
    pub model: PathBuf,
    /// The encrypted plan.
    pub plan: PathBuf,
    /// Directory for the clients' public keys; made if needed.
    pub state: PathBuf,
    /// How long to wait for a client without progress.
    #[serde(default = "common::timeout")]
    pub timeout_seconds: u64,
    /// Sessions at once; more are declined.
    #[serde(default = "common::sessions")]
    pub max_sessions: usize,
    /// Memory of weights, keys and encrypted values together, in 2^20 bytes: as many sessions are held
    /// at once as fit.
    #[serde(default = "defaults::memory")]
    pub memory_mib: u64,
    /// Clients' keys that are kept on disk, in 2^20 bytes; those used longest ago go first.
    #[serde(default = "defaults::cache")]
    pub cache_mib: u64,
    /// Whether clients are told this process's processor time and peak memory, which other clients'
    /// requests are part of.
    #[serde(default)]
    pub share_usage: bool,
    /// A line to emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LineConfig>,
}

/// `client.toml` of encrypted inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedClientConfig {
    /// Own key and certificate, see [`identity_files`](crate::identity_files).
    pub identity: PathBuf,
    /// Directory for the secret key, and the public ones made from it; made when first needed.
    pub state: PathBuf,
    /// How long to wait for the server without progress: no less than its longest layer takes.
    #[serde(default = "defaults::client_timeout")]
    pub timeout_seconds: u64,
    /// The server.
    pub server: PeerConfig,
    /// A line to emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LineConfig>,
}

mod defaults {
    pub(super) fn client_timeout() -> u64 {
        300
    }
    pub(super) fn memory() -> u64 {
        4096
    }
    pub(super) fn cache() -> u64 {
        16_384
    }
}

impl EncryptedServerConfig {
    /// Reads a file; relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names file and field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        ConfigFile::read(path)
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        tls(self.timeout_seconds, self.link, self.max_sessions)
    }
}

impl ConfigFile for EncryptedServerConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let Self { identity, clients, model, plan, state, .. } = self;
        [identity, model, plan, state].into_iter().chain(clients).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("timeout_seconds", self.timeout_seconds)?;
        positive("max_sessions", self.max_sessions as u64)?;
        positive("memory_mib", self.memory_mib)?;
        positive("cache_mib", self.cache_mib)?;
        check_clients(&self.clients)?;
        check_line(self.link)
    }
}

impl EncryptedClientConfig {
    /// Reads a file; relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names file and field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        ConfigFile::read(path)
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        tls(self.timeout_seconds, self.link, 1)
    }
}

impl ConfigFile for EncryptedClientConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let Self { identity, state, server, .. } = self;
        vec![identity, state, &mut server.certificate]
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("timeout_seconds", self.timeout_seconds)?;
        check_line(self.link)
    }
}
