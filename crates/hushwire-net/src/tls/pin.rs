//! Pinned certificates: trust is a list, compared byte for byte.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::identity::{IdentityError, encode_pem, read};

/// The SHA-256 of a certificate, for people to compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The certificate of a party, as its peers keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    der: CertificateDer<'static>,
}

impl PeerCertificate {
    pub(crate) fn from_der(der: CertificateDer<'static>) -> PeerCertificate {
        PeerCertificate { der }
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`IdentityError::Pem`] if there is none.
    pub fn from_pem(pem: &str) -> Result<PeerCertificate, IdentityError> {
        let parsed = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = parsed
            .map_err(|e| IdentityError::Pem { what: "certificate", reason: e.to_string() })?;
        Ok(PeerCertificate { der })
    }

    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// [`IdentityError::Read`] or [`IdentityError::Pem`].
    pub fn load(path: &Path) -> Result<PeerCertificate, IdentityError> {
        PeerCertificate::from_pem(&read(path)?)
    }

    /// The certificate as PEM, to hand to peers.
    pub fn to_pem(&self) -> String {
        encode_pem("CERTIFICATE", &self.der)
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.der).into())
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whether these are the certificate's bytes, in time that depends on their length only.
    pub(crate) fn is(&self, der: &[u8]) -> bool {
        self.der.as_ref().ct_eq(der).into()
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({})", self.fingerprint())
    }
}

/// A certificate that is on no list.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {0} is not trusted")]
pub(crate) struct Untrusted(pub(crate) Fingerprint);

/// Accepts exactly the certificates of a list, whose key must have signed the handshake.
#[derive(Debug)]
pub(crate) struct Pins {
    trusted: Vec<PeerCertificate>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pins {
    pub(crate) fn new(
        trusted: Vec<PeerCertificate>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Arc<Pins> {
        Arc::new(Pins { trusted, algorithms })
    }

    fn check(&self, presented: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        // Every pin is compared, so that the time does not tell which one matched.
        let found = self.trusted.iter().fold(false, |found, pin| found | pin.is(presented));
        if found {
            return Ok(());
        }
        let fingerprint = Fingerprint(Sha256::digest(presented).into());
        Err(CertificateError::Other(OtherError(Arc::new(Untrusted(fingerprint)))).into())
    }

    fn check_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not offered, so its signatures never come up.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
