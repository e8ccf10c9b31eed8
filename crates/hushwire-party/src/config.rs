//! The parties' configuration: TOML files, or the same values from code.

mod error;
mod identity;
mod line;

use std::path::{Path, PathBuf};

use hushwire_mpc::Comparison;
use hushwire_net::TlsOptions;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub(crate) use error::field;
pub use identity::identity_files;
pub(crate) use identity::{load_certificate, load_certificates, load_identity};
pub(crate) use line::{check_line, tls};

/// Most bundles of a client: their names fit into one message.
const MAX_STORED: u32 = 1_000_000;

/// A party to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Host and port.
    pub address: String,
    /// Its certificate, a PEM file.
    pub certificate: PathBuf,
}

/// A slower line to emulate, for measurements on one machine; set it at every party.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
    /// Bandwidth of each direction in 10^6 bits per second; unlimited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbit: Option<f64>,
}

/// `server.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen at; port 0 lets the system choose.
    pub listen: String,
    /// Own key and certificate, see [`identity_files`].
    pub identity: PathBuf,
    /// Certificates of the clients to be served.
    pub clients: Vec<PathBuf>,
    /// The network, an ONNX file.
    pub model: PathBuf,
    /// The calibrated plan.
    pub plan: PathBuf,
    /// Directory for the model's key and stored preprocessing; made if needed.
    pub state: PathBuf,
    /// How long to wait for a peer without progress.
    #[serde(default = "defaults::timeout")]
    pub timeout_seconds: u64,
    /// Sessions at once; more are declined.
    #[serde(default = "defaults::sessions")]
    pub max_sessions: usize,
    /// Samples of a request at most.
    #[serde(default = "defaults::batch")]
    pub max_batch: u32,
    /// Bundles that a client may have in store.
    #[serde(default = "defaults::stored")]
    pub max_stored: u32,
    /// Age at which the model's key is replaced; the masked weights are then uploaded again.
    #[serde(default = "defaults::renewal")]
    pub key_renewal_days: u64,
    /// Age at which stored bundles that were not used are given up.
    #[serde(default = "defaults::stored_days")]
    pub stored_days: u64,
    /// Preprocessing of a request that is held in memory, in 2^20 bytes; what is beyond goes to a file
    /// in `state`.
    #[serde(default = "defaults::memory")]
    pub memory_mib: u64,
    /// Whether clients are told this process's processor time and peak memory, which other clients'
    /// requests are part of.
    #[serde(default)]
    pub share_usage: bool,
    /// The helper.
    pub helper: PeerConfig,
    /// A line to emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LineConfig>,
}

/// `helper.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelperConfig {
    /// Address and port to listen at; port 0 lets the system choose.
    pub listen: String,
    /// Own key and certificate, see [`identity_files`].
    pub identity: PathBuf,
    /// Certificates of the servers to be helped.
    pub servers: Vec<PathBuf>,
    /// Certificates of the clients to be helped.
    pub clients: Vec<PathBuf>,
    /// Directory for masked weights; made if needed.
    pub state: PathBuf,
    /// How long to wait for a peer without progress.
    #[serde(default = "defaults::timeout")]
    pub timeout_seconds: u64,
    /// Sessions at once; more are declined.
    #[serde(default = "defaults::sessions")]
    pub max_sessions: usize,
    /// Samples of a request at most.
    #[serde(default = "defaults::batch")]
    pub max_batch: u32,
    /// Masked weights that are kept, on disk and in memory, in 2^20 bytes each.
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

/// `client.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Own key and certificate, see [`identity_files`].
    pub identity: PathBuf,
    /// Directory for stored preprocessing; made when first needed.
    pub state: PathBuf,
    /// How long to wait for a peer without progress.
    #[serde(default = "defaults::timeout")]
    pub timeout_seconds: u64,
    /// Hash of the network that must be served; any will do if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Preprocessing of a request that is held in memory, in 2^20 bytes; what is beyond goes to a file
    /// in `state`.
    #[serde(default = "defaults::memory")]
    pub memory_mib: u64,
    /// How signs are compared: "digits" sends least, "dcf" takes fewest round trips.
    #[serde(default = "defaults::comparison")]
    pub comparison: Comparison,
    /// The server.
    pub server: PeerConfig,
    /// The helper.
    pub helper: PeerConfig,
    /// A line to emulate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LineConfig>,
}

pub(crate) mod defaults {
    use hushwire_mpc::Comparison;

    pub(crate) fn timeout() -> u64 {
        30
    }
    pub(crate) fn sessions() -> usize {
        16
    }
    pub(super) fn batch() -> u32 {
        256
    }
    pub(super) fn stored() -> u32 {
        1000
    }
    pub(super) fn renewal() -> u64 {
        30
    }
    pub(super) fn stored_days() -> u64 {
        30
    }
    pub(super) fn cache() -> u64 {
        4096
    }
    pub(super) fn memory() -> u64 {
        512
    }
    pub(super) fn comparison() -> Comparison {
        Comparison::Digits
    }
}

/// What all configuration files have.
pub(crate) trait ConfigFile: DeserializeOwned {
    /// Paths that are relative to the file.
    fn paths(&mut self) -> Vec<&mut PathBuf>;

    /// Refuses values that cannot be.
    fn check(&self) -> Result<(), ConfigError>;

    /// Reads a file.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|e| ConfigError::Syntax { path: path.to_owned(), source: Box::new(e) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.paths().into_iter().for_each(|path| *path = folder.join(&*path));
        config.check()?;
        Ok(config)
    }
}

/// Refuses a server that no client may connect to.
pub(crate) fn check_clients(clients: &[PathBuf]) -> Result<(), ConfigError> {
    if clients.is_empty() {
        return Err(field("clients", "nobody may connect; list a client's certificate"));
    }
    Ok(())
}

pub(crate) fn positive(name: &'static str, value: u64) -> Result<(), ConfigError> {
    if value == 0 { Err(field(name, "0 is too little; give at least 1")) } else { Ok(()) }
}

impl ServerConfig {
    /// Reads a file; relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names file and field.
    pub fn load(path: &Path) -> Result<ServerConfig, ConfigError> {
        ConfigFile::read(path)
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        tls(self.timeout_seconds, self.link, self.max_sessions)
    }
}

impl ConfigFile for ServerConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let ServerConfig { identity, clients, model, plan, state, helper, .. } = self;
        let single = [identity, model, plan, state, &mut helper.certificate];
        single.into_iter().chain(clients).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("timeout_seconds", self.timeout_seconds)?;
        positive("max_sessions", self.max_sessions as u64)?;
        positive("max_batch", self.max_batch.into())?;
        positive("key_renewal_days", self.key_renewal_days)?;
        positive("stored_days", self.stored_days)?;
        if self.max_stored > MAX_STORED {
            return Err(field("max_stored", format!("at most {MAX_STORED} are possible")));
        }
        check_clients(&self.clients)?;
        check_line(self.link)
    }
}

impl HelperConfig {
    /// Reads a file; relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names file and field.
    pub fn load(path: &Path) -> Result<HelperConfig, ConfigError> {
        ConfigFile::read(path)
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        tls(self.timeout_seconds, self.link, 2 * self.max_sessions)
    }
}

impl ConfigFile for HelperConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let HelperConfig { identity, servers, clients, state, .. } = self;
        [identity, state].into_iter().chain(servers).chain(clients).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("timeout_seconds", self.timeout_seconds)?;
        positive("max_sessions", self.max_sessions as u64)?;
        positive("max_batch", self.max_batch.into())?;
        positive("cache_mib", self.cache_mib)?;
        if self.servers.is_empty() {
            return Err(field("servers", "nobody to help; list a server's certificate"));
        }
        if self.clients.is_empty() {
            return Err(field("clients", "nobody to help; list a client's certificate"));
        }
        check_line(self.link)
    }
}

impl ClientConfig {
    /// Reads a file; relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names file and field.
    pub fn load(path: &Path) -> Result<ClientConfig, ConfigError> {
        ConfigFile::read(path)
    }

    /// The network that must be served.
    pub(crate) fn pin(&self) -> Result<Option<crate::Hash>, ConfigError> {
        let parsed = self.network.as_ref().map(|text| text.parse());
        parsed.transpose().map_err(|reason: String| field("network", reason))
    }

    pub(crate) fn tls(&self) -> TlsOptions {
        tls(self.timeout_seconds, self.link, 1)
    }
}

impl ConfigFile for ClientConfig {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let ClientConfig { identity, state, server, helper, .. } = self;
        vec![identity, state, &mut server.certificate, &mut helper.certificate]
    }

    fn check(&self) -> Result<(), ConfigError> {
        positive("timeout_seconds", self.timeout_seconds)?;
        self.pin()?;
        check_line(self.link)
    }
}
