//! Keys and certificates that a configuration names.

use std::path::{Path, PathBuf};

use hushwire_net::{Identity, PeerCertificate};

use super::error::{ConfigError, field};

/// The key file and the certificate file that a configuration's `identity` stands for: `key.pem`
/// and `cert.pem` in it if it is a directory, otherwise itself with `.key.pem` and `.cert.pem`
/// appended.
pub fn identity_files(identity: &Path) -> (PathBuf, PathBuf) {
    if identity.is_dir() {
        return (identity.join("key.pem"), identity.join("cert.pem"));
    }
    let with = |ending: &str| {
        let mut path = identity.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    (with(".key.pem"), with(".cert.pem"))
}

/// Loads the own key and certificate.
pub(crate) fn load_identity(identity: &Path) -> Result<Identity, crate::PartyError> {
    let (key, certificate) = identity_files(identity);
    Ok(Identity::load(&key, &certificate)?)
}

/// Loads the certificates of a field.
pub(crate) fn load_certificates(
    name: &'static str,
    paths: &[PathBuf],
) -> Result<Vec<PeerCertificate>, ConfigError> {
    let load = |path: &PathBuf| load_certificate(name, path);
    paths.iter().map(load).collect()
}

/// Loads the certificate of a field.
pub(crate) fn load_certificate(
    name: &'static str,
    path: &Path,
) -> Result<PeerCertificate, ConfigError> {
    PeerCertificate::load(path).map_err(|e| field(name, format!("{}: {e}", path.display())))
}
