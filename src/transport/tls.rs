//! TLS 1.3 both ways, with the certificate's URI as the only name that counts.
//!
//! The files are read again for each connection, so that rotated certificates are in use from the
//! next connection on and running ones are left alone. When a rotation is caught half-way, the last
//! good set is used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use protocol::units::PeerName;

/// The protocol that both ends name in TLS. A peer that speaks another is turned away there.
pub const ALPN: &[u8] = b"ferry/1";

/// A directory with `ca.crt`, `tls.crt` and `tls.key` (PEM), as a Secret is mounted; or the same
/// three in memory.
#[derive(Debug)]
pub struct TlsDir {
    source: Source,
    last_good: Mutex<Option<Arc<TlsConfigs>>>,
}

/// Where the three files come from.
enum Source {
    Directory(PathBuf),
    Memory {
        ca: String,
        certificate: String,
        key: String,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Source").field(&self.path("")).finish()
    }
}

impl Source {
    /// How a file is called in messages.
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Source::Directory(path) => path.join(name),
            Source::Memory { .. } => Path::new("(memory)").join(name),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, TlsError> {
        match self {
            Source::Directory(path) => {
                let path = path.join(name);
                std::fs::read(&path).map_err(|e| TlsError::File {
                    path,
                    source: rustls::pki_types::pem::Error::Io(e),
                })
            }
            Source::Memory { ca, .. } if name == "ca.crt" => Ok(ca.clone().into_bytes()),
            Source::Memory { key, .. } if name == "tls.key" => Ok(key.clone().into_bytes()),
            Source::Memory { certificate, .. } => Ok(certificate.clone().into_bytes()),
        }
    }
}

/// What rustls needs to dial and to listen.
#[derive(Debug)]
pub(super) struct TlsConfigs {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    own_name: PeerName,
}

/// Why TLS can't be set up, or why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is no PEM of the right kind.
    #[error("failed to read {}: {source}; the directory needs ca.crt, tls.crt and tls.key (PEM)", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The files don't fit each other, such as a key of another certificate.
    #[error("failed to use the certificates of {}: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The certificate names no program of ours, or more than one.
    #[error("the certificate must have exactly one URI name, of the form ferry://…: {0}")]
    Name(String),
}

impl TlsDir {
    /// The directory at `path`; nothing is read yet.
    #[must_use]
    pub fn new(path: &Path) -> TlsDir {
        TlsDir {
            source: Source::Directory(path.into()),
            last_good: Mutex::new(None),
        }
    }

    /// The contents of `ca.crt`, `tls.crt` and `tls.key` (PEM), for a program that never writes its
    /// key anywhere.
    #[must_use]
    pub fn in_memory(ca: String, certificate: String, key: String) -> TlsDir {
        TlsDir {
            source: Source::Memory {
                ca,
                certificate,
                key,
            },
            last_good: Mutex::new(None),
        }
    }

    /// The name in our own certificate.
    ///
    /// # Errors
    /// When the files can't be used.
    pub fn own_name(&self) -> Result<PeerName, TlsError> {
        Ok(self.configs()?.own_name.clone())
    }

    /// The newest usable configuration.
    pub(super) fn configs(&self) -> Result<Arc<TlsConfigs>, TlsError> {
        let mut last_good = self
            .last_good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match TlsConfigs::load(&self.source) {
            Ok(configs) => Ok(last_good.insert(Arc::new(configs)).clone()),
            Err(e) => match &*last_good {
                Some(configs) => {
                    tracing::warn!(error = %e, "using the last good certificates");
                    Ok(configs.clone())
                }
                None => Err(e),
            },
        }
    }
}

impl TlsConfigs {
    fn load(source: &Source) -> Result<TlsConfigs, TlsError> {
        let bad = |name: &str| {
            let path = source.path(name);
            move |source| TlsError::File { path, source }
        };
        let dir = source.path("");
        let unusable = |source| TlsError::Unusable {
            path: dir.clone(),
            source,
        };
        let read_certificates = |name: &str| -> Result<Vec<CertificateDer<'static>>, TlsError> {
            CertificateDer::pem_slice_iter(&source.read(name)?)
                .collect::<Result<_, _>>()
                .map_err(bad(name))
        };
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates("ca.crt")? {
            roots.add(certificate).map_err(unusable)?;
        }
        let chain = read_certificates("tls.crt")?;
        let own = chain
            .first()
            .ok_or_else(|| TlsError::Name("tls.crt is empty".into()))?;
        let own_name = name_in(own)?;
        let key = || -> Result<PrivateKeyDer<'static>, TlsError> {
            PrivateKeyDer::from_pem_slice(&source.read("tls.key")?).map_err(bad("tls.key"))
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(UriVerifier::new(Arc::new(roots), &provider).map_err(unusable)?);
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(chain.clone(), key()?)
            .map_err(unusable)?;
        client.alpn_protocols = vec![ALPN.into()];
        // A resumed session would skip the check of the certificate that is valid now.
        client.resumption = rustls::client::Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key()?)
            .map_err(unusable)?;
        server.alpn_protocols = vec![ALPN.into()];
        server.send_tls13_tickets = 0;
        Ok(TlsConfigs {
            client: Arc::new(client),
            server: Arc::new(server),
            own_name,
        })
    }
}

/// The one URI name of a certificate.
pub(super) fn name_in(certificate: &CertificateDer<'_>) -> Result<PeerName, TlsError> {
    let unreadable = |e: &dyn std::fmt::Display| TlsError::Name(e.to_string());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| unreadable(&e))?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|e| unreadable(&e))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => uri.parse().map_err(|e| unreadable(&e)),
        others => Err(TlsError::Name(format!("it has {}", others.len()))),
    }
}

/// Checks the chain against the install's CA and that the leaf names one program of ours. Which
/// program it must be is for the caller to say, before a byte of data.
#[derive(Debug)]
struct UriVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    clients: Arc<dyn ClientCertVerifier>,
}

impl UriVerifier {
    fn new(
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<UriVerifier, rustls::Error> {
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        Ok(UriVerifier {
            roots,
            algorithms: provider.signature_verification_algorithms,
            clients,
        })
    }

    fn check_name(leaf: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        name_in(leaf).map(drop).map_err(|e| {
            tracing::debug!(error = %e, "turned a certificate away");
            rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
        })
    }
}

impl ServerCertVerifier for UriVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        UriVerifier::check_name(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for UriVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.clients.verify_client_cert(leaf, intermediates, now)?;
        UriVerifier::check_name(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
