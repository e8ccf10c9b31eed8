//! A party's own key and certificate.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::pin::{Fingerprint, PeerCertificate};

/// A party's private key (Ed25519) and self-signed certificate.
pub struct Identity {
    key: Zeroizing<Vec<u8>>,
    certificate: PeerCertificate,
}

impl Identity {
    /// Makes a new key and a certificate for it. The name is for people to read; peers compare the
    /// whole certificate.
    ///
    /// # Errors
    /// [`IdentityError::Generate`] if there is no randomness or the name cannot be encoded.
    pub fn generate(name: &str) -> Result<Identity, IdentityError> {
        let failed = |e: rcgen::Error| IdentityError::Generate { reason: e.to_string() };
        let pair = Zeroizing::new(KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&*pair).map_err(failed)?;
        Ok(Identity {
            key: Zeroizing::new(pair.serialize_der()),
            certificate: PeerCertificate::from_der(certificate.der().clone()),
        })
    }

    /// Writes the key, readable by its owner only, and the certificate. Neither file may exist.
    ///
    /// # Errors
    /// [`IdentityError::Write`] if a file exists or cannot be written.
    pub fn save(&self, key: &Path, certificate: &Path) -> Result<(), IdentityError> {
        let key_pem = Zeroizing::new(encode_pem("PRIVATE KEY", &self.key));
        write(key, &key_pem, 0o600)?;
        write(certificate, &self.certificate.to_pem(), 0o644)
    }

    /// Reads a key and its certificate.
    ///
    /// # Errors
    /// [`IdentityError::KeyPermissions`] if others may read the key, [`IdentityError::Read`] or
    /// [`IdentityError::Pem`] if a file cannot be read. Whether key and certificate belong together
    /// shows when they are used.
    pub fn load(key: &Path, certificate: &Path) -> Result<Identity, IdentityError> {
        let key_pem = Zeroizing::new(read_private(key)?);
        let parsed = PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes());
        let parsed = parsed
            .map_err(|e| IdentityError::Pem { what: "private key", reason: e.to_string() })?;
        Ok(Identity {
            key: Zeroizing::new(parsed.secret_pkcs8_der().to_vec()),
            certificate: PeerCertificate::load(certificate)?,
        })
    }

    /// The certificate, to hand to peers.
    pub fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// The certificate's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

/// What is wrong with a key or certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A key or certificate could not be made.
    #[error("cannot make a key and certificate: {reason}")]
    Generate {
        /// What the certificate maker said.
        reason: String,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file exists or could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the private key.
    #[error(
        "the private key {} has permissions {mode:03o}: others may have read it; make it 600 if you \
         are sure they have not, else make a new identity",
        path.display()
    )]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A PEM text is not what it should be.
    #[error("no {what} in PEM form: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are unusable, or do not belong together.
    #[error("the key and certificate {certificate} cannot be used: {reason}")]
    Unusable {
        /// The certificate.
        certificate: Fingerprint,
        /// What the TLS library said.
        reason: String,
    },
}

/// A PEM text; the caller wipes it if the contents are secret.
pub(super) fn encode_pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 48 bytes make a line of 64 digits; room for all of it, so that growing leaves no copies.
    let mut pem = String::with_capacity(2 * der.len() + 2 * label.len() + 64);
    pem.extend(["-----BEGIN ", label, "-----\n"]);
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let word = group.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
            let word = word << (8 * (3 - group.len()));
            for digit in 0..4 {
                let index = (word >> (18 - 6 * digit)) as usize & 63;
                pem.push(if digit <= group.len() { char::from(DIGITS[index]) } else { '=' });
            }
        }
        pem.push('\n');
    }
    pem.extend(["-----END ", label, "-----\n"]);
    pem
}

pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

fn read_private(path: &Path) -> Result<String, IdentityError> {
    let failed = |source| IdentityError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Of the open file, so that it is this one's permissions.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::KeyPermissions { path: path.to_owned(), mode });
        }
    }
    let mut text = String::with_capacity(4096);
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|source| IdentityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_survives_for_every_length() {
        for len in 1..200u8 {
            let der: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            let pem = encode_pem("CERTIFICATE", &der);
            assert_eq!(PeerCertificate::from_pem(&pem).unwrap().der().as_ref(), der);
        }
    }

    #[test]
    fn saved_identities_load_unless_others_may_read_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
        let identity = Identity::generate("test").unwrap();
        identity.save(&key, &certificate).unwrap();
        let loaded = Identity::load(&key, &certificate).unwrap();
        assert_eq!(loaded.fingerprint(), identity.fingerprint());
        assert_eq!(loaded.key, identity.key);
        assert!(matches!(identity.save(&key, &certificate), Err(IdentityError::Write { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| {
                std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            };
            assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
            mode(0o640);
            let error = Identity::load(&key, &certificate).unwrap_err();
            assert!(matches!(error, IdentityError::KeyPermissions { mode: 0o640, .. }), "{error}");
        }
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}
