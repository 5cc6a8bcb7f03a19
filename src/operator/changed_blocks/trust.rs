//! Whose certificate a driver's service may have: one that the object's `caCert` vouches for, or that it
//! is.
//!
//! Many drivers are installed with a certificate that signs itself, and that certificate as `caCert`.
//! Whoever made it has often marked it as an authority, which a server's certificate must not be by the
//! rules; the clients of the ecosystem, which are written in Go, take it nevertheless. It is the very
//! certificate that the object names, so nothing is believed that was not given.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

/// The side of TLS that trusts what is in `ca_pem`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn client_of(ca_pem: &str) -> Result<ClientConfig, String> {
    let anchors: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(ca_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    for anchor in &anchors {
        roots.add(anchor.clone()).map_err(|e| e.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| e.to_string())?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { anchors, chains }))
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(client)
}

/// Takes what a chain proves, and an anchor itself.
#[derive(Debug)]
struct Verifier {
    anchors: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.anchors.iter().any(|anchor| anchor == leaf) {
            is_valid(leaf, now)?;
            verify_server_name(&ParsedCertificate::try_from(leaf)?, server)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.chains
            .verify_server_cert(leaf, intermediates, server, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether it is within the time that the certificate is valid for; of a chain that is checked with all
/// the rest.
fn is_valid(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let invalid = rustls::Error::InvalidCertificate;
    let (_, parsed) =
        X509Certificate::from_der(leaf).map_err(|_| invalid(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs())
        .ok()
        .map(ASN1Time::from_timestamp);
    let Some(Ok(now)) = now else {
        return Err(invalid(CertificateError::Expired));
    };
    match parsed.validity() {
        validity if now < validity.not_before => Err(invalid(CertificateError::NotValidYet)),
        validity if now > validity.not_after => Err(invalid(CertificateError::Expired)),
        _ => Ok(()),
    }
}
