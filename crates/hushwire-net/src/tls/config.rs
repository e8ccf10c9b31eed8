//! TLS settings: 1.3 only, `ring` only, no resumption.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::identity::{Identity, IdentityError};
use super::pin::{PeerCertificate, Pins};

/// What both sides must agree to speak.
pub(super) const ALPN: &[u8] = b"hushwire/1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        // The protocol's own keys have 128 bits, and this is the fastest.
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    })
}

pub(super) fn server(
    identity: &Identity,
    trusted: Vec<PeerCertificate>,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let failed = |e: rustls::Error| unusable(identity, &e);
    let provider = provider();
    let pins = Pins::new(trusted, provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(pins)
        .with_single_cert(identity.chain(), identity.private_key())
        .map_err(failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(super) fn client(
    identity: &Identity,
    trusted: PeerCertificate,
) -> Result<Arc<ClientConfig>, IdentityError> {
    let failed = |e: rustls::Error| unusable(identity, &e);
    let provider = provider();
    let pins = Pins::new(vec![trusted], provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(pins)
        .with_client_auth_cert(identity.chain(), identity.private_key())
        .map_err(failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn unusable(identity: &Identity, error: &rustls::Error) -> IdentityError {
    IdentityError::Unusable { certificate: identity.fingerprint(), reason: error.to_string() }
}
