//! Certificates as the movers and the operator use them: over real sockets, through the one TLS
//! configuration that there is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::seam::{ALPN, Link, Listener, TlsDir, dial};
use crate::units::PeerName;

fn tls(leaf: &LeafPem) -> Arc<TlsDir> {
    Arc::new(TlsDir::in_memory(
        leaf.ca.clone(),
        leaf.certificate.clone(),
        leaf.key.clone(),
    ))
}

fn mover(site: &str) -> PeerName {
    format!("ferry://{site}/shop/orders").parse().unwrap()
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 3600)
}

/// Whether a connection comes about; with whom, as each end sees it.
async fn connect(client: &LeafPem, server: &LeafPem) -> Result<(PeerName, PeerName), String> {
    let mut listener = Listener::bind("127.0.0.1:0", tls(server))
        .await
        .map_err(|e| e.to_string())?;
    let address = listener.address().to_string();
    let dialled = dial(&address, &tls(client))
        .await
        .map_err(|e| e.to_string())?;
    // In TLS 1.3 the client learns only afterwards that it was refused.
    let accepted = tokio::time::timeout(Duration::from_millis(500), listener.accept())
        .await
        .map_err(|_| "the server turned the client away".to_string())?
        .map_err(|e| e.to_string())?;
    Ok((dialled.peer().clone(), accepted.peer().clone()))
}

#[tokio::test]
async fn a_mover_and_the_operator_know_each_other_by_their_uri() {
    let now = Timestamp::now();
    let authority = Authority::create(now).unwrap();
    let operator = authority.issue(&PeerName::Operator, now).unwrap();
    let east = authority.issue(&mover("east"), now).unwrap();
    let (server, client) = connect(&operator, &east).await.unwrap();
    assert_eq!((server, client), (mover("east"), PeerName::Operator));
}

#[tokio::test]
async fn another_authority_is_refused_at_both_ends() {
    let now = Timestamp::now();
    let ours = Authority::create(now).unwrap();
    let theirs = Authority::create(now).unwrap();
    let good = ours.issue(&mover("east"), now).unwrap();
    let bad = theirs.issue(&PeerName::Operator, now).unwrap();
    assert!(connect(&bad, &good).await.is_err());
    assert!(connect(&good, &bad).await.is_err());
    let trusting = LeafPem {
        ca: ours.bundle().into(),
        ..bad
    };
    let error = connect(&trusting, &good).await.unwrap_err();
    assert!(error.contains("turned"), "{error}");
}

#[tokio::test]
async fn an_expired_leaf_and_one_of_the_future_are_refused() {
    let now = Timestamp::now();
    let authority = Authority::create(now - days(30)).unwrap();
    let good = authority.issue(&mover("east"), now).unwrap();
    for wrong in [now - days(8), now + days(1)] {
        let leaf = authority.issue(&PeerName::Operator, wrong).unwrap();
        assert!(connect(&leaf, &good).await.is_err());
        assert!(connect(&good, &leaf).await.is_err());
    }
}

#[tokio::test]
async fn a_leaf_without_our_uri_or_with_two_is_refused() {
    use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
    let now = Timestamp::now();
    let authority = Authority::create(now).unwrap();
    let good = authority.issue(&mover("east"), now).unwrap();
    let data = authority.to_data();
    let text = |name: &str| String::from_utf8(data[name].0.clone()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(
        &text("tls.crt"),
        KeyPair::from_pem(&text("tls.key")).unwrap(),
    )
    .unwrap();
    let uri = |text: &str| SanType::URI(text.to_string().try_into().unwrap());
    for names in [
        vec![],
        vec![uri("https://example.com")],
        vec![uri("ferry://operator"), uri("ferry://east/shop/orders")],
        vec![SanType::DnsName("operator".to_string().try_into().unwrap())],
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.clone();
        let leaf = LeafPem {
            ca: authority.bundle().into(),
            certificate: params.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        };
        // Our own program does not even present such a leaf; one of somebody else's would.
        assert!(connect(&good, &leaf).await.is_err(), "{names:?}");
        assert!(
            dial_stranger(&good, &leaf).await.is_err(),
            "{names:?} was taken as a server"
        );
        assert!(
            strangers_call(&leaf, &good).await.is_err(),
            "{names:?} was taken as a client"
        );
    }
    dial_stranger(&good, &good).await.unwrap();
    strangers_call(&good, &good).await.unwrap();
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn chain(leaf: &LeafPem) -> Chain {
    (
        vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap()],
        PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap(),
    )
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Our client against a server that checks nothing and presents `leaf`.
async fn dial_stranger(client: &LeafPem, leaf: &LeafPem) -> Result<PeerName, String> {
    let (certificates, key) = chain(leaf);
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    config.alpn_protocols = vec![ALPN.into()];
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
            .accept(stream)
            .await
    });
    let dialled = dial(&address, &tls(client))
        .await
        .map_err(|e| e.to_string())?;
    server.await.unwrap().map_err(|e| e.to_string())?;
    Ok(dialled.peer().clone())
}

/// A client that presents `leaf` against our listener.
async fn strangers_call(leaf: &LeafPem, server: &LeafPem) -> Result<PeerName, String> {
    let (certificates, key) = chain(leaf);
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(server.ca.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(verifier.build().unwrap())))
        .with_client_auth_cert(certificates, key)
        .unwrap();
    config.alpn_protocols = vec![ALPN.into()];
    let mut listener = Listener::bind("127.0.0.1:0", tls(server)).await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.address())
        .await
        .unwrap();
    let name = rustls::pki_types::ServerName::try_from("mover").unwrap();
    let _stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|e| e.to_string())?;
    let accepted = tokio::time::timeout(Duration::from_millis(500), listener.accept())
        .await
        .map_err(|_| "the listener turned the client away".to_string())?
        .map_err(|e| e.to_string())?;
    Ok(accepted.peer().clone())
}

/// Takes any server, whatever its name.
#[derive(Debug)]
struct Anyone(Arc<rustls::client::WebPkiServerVerifier>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &rustls::pki_types::ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, leaf, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, leaf, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[test]
fn a_leaf_is_replaced_at_half_of_its_life_and_when_anything_about_it_differs() {
    let now = Timestamp::now();
    let authority = Authority::create(now).unwrap();
    let leaf = authority.issue(&mover("east"), now).unwrap();
    assert!(authority.is_current(&leaf, &mover("east"), now));
    assert!(authority.is_current(&leaf, &mover("east"), now + days(3)));
    assert!(!authority.is_current(&leaf, &mover("east"), now + days(4)));
    assert!(!authority.is_current(&leaf, &mover("west"), now));
    let other = Authority::create(now).unwrap();
    assert!(!other.is_current(&leaf, &mover("east"), now));
    let foreign_key = LeafPem {
        key: other.issue(&mover("east"), now).unwrap().key,
        ..leaf.clone()
    };
    assert!(!authority.is_current(&foreign_key, &mover("east"), now));
}

/// Every step of a rotation: whoever had a leaf before it still talks to whoever got one after it.
#[tokio::test]
async fn rotation_never_refuses_a_connection() {
    let now = Timestamp::now();
    let begun = now + CA_RENEW_BEFORE - CA_OVERLAP - CA_LIFETIME;
    let first = Authority::create(begun).unwrap();
    assert!(first.rotated(begun).unwrap().is_none());
    let trusting = first.rotated(now - CA_OVERLAP).unwrap().unwrap();
    assert!(
        trusting
            .rotated(now - CA_OVERLAP + days(6))
            .unwrap()
            .is_none()
    );
    let second = trusting.rotated(now).unwrap().unwrap();
    assert!(second.rotated(now).unwrap().is_none());
    assert_eq!(second.bundle().matches("BEGIN").count(), 2);

    let old_leaf = first
        .issue(&PeerName::Operator, now - CA_OVERLAP + days(1))
        .unwrap();
    let between = trusting.issue(&PeerName::Operator, now - days(1)).unwrap();
    let new_leaf = second.issue(&mover("east"), now).unwrap();
    for (a, b) in [(&old_leaf, &between), (&between, &new_leaf)] {
        connect(a, b).await.unwrap();
        connect(b, a).await.unwrap();
    }
    // The old authority leaves the bundle by itself once it has expired.
    let later = now + CA_LIFETIME - CA_RENEW_BEFORE;
    let third = second.rotated(later).unwrap().unwrap();
    assert_eq!(third.bundle().matches("BEGIN").count(), 2);
}

#[test]
fn an_authority_reads_back_and_a_damaged_one_is_named() {
    let now = Timestamp::now();
    let authority = Authority::create(now).unwrap();
    let data = authority.to_data();
    assert!(Authority::from_data(&data).unwrap() == authority);
    let other = Authority::create(now).unwrap().to_data();
    let spoilt = |name: &str, bytes: &[u8]| {
        let mut data = data.clone();
        data.insert(name.into(), k8s_openapi::ByteString(bytes.to_vec()));
        Authority::from_data(&data).unwrap_err()
    };
    assert!(spoilt("tls.key", &other["tls.key"].0).contains("another certificate"));
    assert!(spoilt("tls.crt", b"nonsense").contains("no certificate"));
    let leaf = authority.issue(&mover("east"), now).unwrap();
    assert!(spoilt("tls.crt", leaf.certificate.as_bytes()).contains("not an authority"));
    assert!(spoilt("tls.crt", &[0xff, 0xfe]).contains("not text"));
    let mut data = data.clone();
    data.remove("tls.key");
    assert!(Authority::from_data(&data).unwrap_err().contains("missing"));
}
