//! Links over real sockets: who is let in, and what a stranger costs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::seam::{
    HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT, Link, Listener, Session, TlsDir, UNAUTHENTICATED_MAX,
    dial,
};

/// A certificate authority and the leafs that it gives out.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn leaf(&self, names: &[SanType], expired: bool) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, dir: &Path, names: &[SanType], expired: bool) {
        let (certificate, key) = self.leaf(names, expired);
        std::fs::write(dir.join("ca.crt"), &self.pem).unwrap();
        std::fs::write(dir.join("tls.crt"), certificate).unwrap();
        std::fs::write(dir.join("tls.key"), key).unwrap();
    }

    fn dir(&self, names: &[SanType], expired: bool) -> (tempfile::TempDir, Arc<TlsDir>) {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path(), names, expired);
        let tls = Arc::new(TlsDir::new(dir.path()));
        (dir, tls)
    }
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

const EAST: &str = "ferry://east/shop/orders";
const WEST: &str = "ferry://west/shop/orders";

async fn listen(authority: &Authority) -> (Listener, tempfile::TempDir) {
    let (dir, tls) = authority.dir(&[uri(EAST)], false);
    (Listener::bind("127.0.0.1:0", tls).await.unwrap(), dir)
}

/// Whether the server hands the connection out within half a second.
async fn is_taken(listener: &mut Listener) -> bool {
    tokio::time::timeout(Duration::from_millis(500), listener.accept())
        .await
        .is_ok()
}

#[tokio::test]
async fn both_ends_learn_the_name_of_the_other_and_bytes_pass() {
    let authority = Authority::new();
    let (mut listener, _east) = listen(&authority).await;
    let (_west, tls) = authority.dir(&[uri(WEST)], false);
    assert_eq!(tls.own_name().unwrap().to_string(), WEST);
    let address = listener.address().to_string();
    let (client, server) = tokio::join!(dial(&address, &tls), listener.accept());
    let (mut client, mut server): (Session, Session) = (client.unwrap(), server.unwrap());
    assert_eq!(client.peer().to_string(), EAST);
    assert_eq!(server.peer().to_string(), WEST);
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut received = vec![0; sent.len()];
    let send = async {
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
    };
    let receive = server.read_exact(&mut received);
    let ((), n) = tokio::join!(send, receive);
    assert_eq!(n.unwrap(), sent.len());
    assert_eq!(received, sent);
}

#[tokio::test]
async fn strangers_are_turned_away_before_they_are_handed_out() {
    let authority = Authority::new();
    let (mut listener, _east) = listen(&authority).await;
    let address = listener.address().to_string();
    let other = Authority::new();
    let dns = SanType::DnsName("east.example".try_into().unwrap());
    let cases: [(&str, &Authority, Vec<SanType>, bool); 5] = [
        ("another CA", &other, vec![uri(WEST)], false),
        ("expired", &authority, vec![uri(WEST)], true),
        ("no URI", &authority, vec![dns], false),
        ("two URIs", &authority, vec![uri(WEST), uri(EAST)], false),
        ("foreign URI", &authority, vec![uri("spiffe://x/y")], false),
    ];
    for (what, from, names, expired) in cases {
        let (certificate, key) = from.leaf(&names, expired);
        // It trusts the server, so that only the server's judgement is tried here.
        let named = TlsDir::in_memory(authority.pem.clone(), certificate, key);
        // In TLS 1.3 a client may believe itself connected before it is turned away.
        if let Ok(mut session) = dial(&address, &named).await {
            assert!(session.read_u8().await.is_err(), "{what} was served");
        }
        assert!(!is_taken(&mut listener).await, "{what} was handed out");
    }
}

#[tokio::test]
async fn a_client_does_not_talk_to_a_server_of_another_install() {
    let (mut listener, _dir) = listen(&Authority::new()).await;
    let ours = Authority::new();
    let (_west, tls) = ours.dir(&[uri(WEST)], false);
    let error = dial(&listener.address().to_string(), &tls)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("authenticate"), "{error}");
    assert!(!is_taken(&mut listener).await);
}

#[tokio::test]
async fn rotated_files_count_from_the_next_connection_and_half_a_rotation_does_not() {
    let authority = Authority::new();
    let (mut listener, _east) = listen(&authority).await;
    let address = listener.address().to_string();
    let (dir, tls) = authority.dir(&[uri(WEST)], false);
    let name = |s: Session| s.peer().to_string();
    let (first, server) = tokio::join!(dial(&address, &tls), listener.accept());
    assert_eq!(
        (first.is_ok(), name(server.unwrap()).as_str()),
        (true, WEST)
    );
    let (certificate, key) = authority.leaf(&[uri(EAST)], false);
    std::fs::write(dir.path().join("tls.crt"), certificate).unwrap();
    let (half, server) = tokio::join!(dial(&address, &tls), listener.accept());
    assert_eq!((half.is_ok(), name(server.unwrap()).as_str()), (true, WEST));
    std::fs::write(dir.path().join("tls.key"), key).unwrap();
    let (after, server) = tokio::join!(dial(&address, &tls), listener.accept());
    assert_eq!(
        (after.is_ok(), name(server.unwrap()).as_str()),
        (true, EAST)
    );
}

/// What a silent or endless stranger gets: the bytes that it could send and the time until it was
/// cut off.
async fn stranger(address: &str, endless: bool) -> (u64, Duration) {
    let started = Instant::now();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut sent = 0;
    if endless {
        // The beginning of a client hello of the greatest length, in records that never end it.
        let mut record = vec![22, 3, 1, 0x40, 0x00, 1, 0x00, 0xff, 0xff];
        record.resize(5 + 0x4000, 0);
        let more: Vec<u8> = [&[22, 3, 1, 0x40, 0x00][..], &[0; 0x4000]].concat();
        while started.elapsed() < Duration::from_secs(20) {
            let data = if sent == 0 { &record } else { &more };
            if socket.write_all(data).await.is_err() {
                break;
            }
            sent += data.len() as u64;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    } else {
        let mut byte = [0];
        drop(tokio::time::timeout(Duration::from_secs(20), socket.read(&mut byte)).await);
    }
    (sent, started.elapsed())
}

#[tokio::test]
async fn an_unauthenticated_peer_costs_at_most_64_kib_and_5_s() {
    let (mut listener, _east) = listen(&Authority::new()).await;
    let address = listener.address().to_string();
    let (silent, endless) = tokio::join!(stranger(&address, false), stranger(&address, true));
    let limit = HANDSHAKE_TIMEOUT + Duration::from_secs(2);
    assert!(silent.1 < limit, "a silent peer stayed for {:?}", silent.1);
    assert!(
        endless.1 < limit,
        "an endless peer stayed for {:?}",
        endless.1
    );
    // What the kernel had taken before it was cut off is not ours.
    assert!(
        endless.0 < 4 * HANDSHAKE_BYTES_MAX,
        "{} bytes were taken",
        endless.0
    );
    assert!(!is_taken(&mut listener).await);
}

#[tokio::test]
async fn a_crowd_of_strangers_does_not_keep_a_peer_out() {
    let authority = Authority::new();
    let (mut listener, _east) = listen(&authority).await;
    let address = listener.address().to_string();
    let mut crowd = Vec::new();
    for _ in 0..3 * UNAUTHENTICATED_MAX {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    let (_west, tls) = authority.dir(&[uri(WEST)], false);
    let started = Instant::now();
    let (client, server) = tokio::join!(dial(&address, &tls), listener.accept());
    assert!(client.is_ok() && server.is_ok());
    assert!(
        started.elapsed() < HANDSHAKE_TIMEOUT,
        "it had to wait for the crowd"
    );
}
