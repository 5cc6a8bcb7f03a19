//! The client against a service of the tests' own: gRPC over TLS, with breaks, reorderings and every
//! answer that a driver may give.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

use super::discovery::Service;
use super::error::List;
use super::proto::snapshot_metadata_server::{SnapshotMetadata, SnapshotMetadataServer};
use super::proto::{
    BlockMetadata, GetMetadataAllocatedRequest, GetMetadataAllocatedResponse,
    GetMetadataDeltaRequest, GetMetadataDeltaResponse,
};
use super::request::Question;
use super::token::Tokens;
use super::{ExtentStream, MetadataError, RESUMES_MAX, SnapshotName, Trust};
use protocol::units::Extent;

const CAPACITY: i64 = 1 << 20;

/// One attempt as the service plays it: messages, then an end.
#[derive(Clone, Debug)]
struct Attempt {
    messages: Vec<Vec<(i64, i64)>>,
    end: Option<Status>,
}

#[derive(Clone, Default)]
struct Driver {
    attempts: Arc<Mutex<VecDeque<Attempt>>>,
    asked: Arc<Mutex<Vec<GetMetadataDeltaRequest>>>,
}

impl Driver {
    fn play(&self) -> Result<Vec<Result<GetMetadataDeltaResponse, Status>>, Status> {
        let Some(attempt) = self.attempts.lock().unwrap().pop_front() else {
            return Err(Status::unavailable("the driver is not ready"));
        };
        let message = |blocks: Vec<(i64, i64)>| GetMetadataDeltaResponse {
            block_metadata_type: 2,
            volume_capacity_bytes: CAPACITY,
            block_metadata: blocks
                .into_iter()
                .map(|(byte_offset, size_bytes)| BlockMetadata {
                    byte_offset,
                    size_bytes,
                })
                .collect(),
        };
        let messages = attempt.messages.into_iter().map(|m| Ok(message(m)));
        Ok(messages.chain(attempt.end.map(Err)).collect())
    }
}

#[tonic::async_trait]
impl SnapshotMetadata for Driver {
    type GetMetadataAllocatedStream =
        BoxStream<'static, Result<GetMetadataAllocatedResponse, Status>>;
    type GetMetadataDeltaStream = BoxStream<'static, Result<GetMetadataDeltaResponse, Status>>;

    async fn get_metadata_allocated(
        &self,
        _request: Request<GetMetadataAllocatedRequest>,
    ) -> Result<Response<Self::GetMetadataAllocatedStream>, Status> {
        let parts = self.play()?.into_iter().map(|part| {
            part.map(|delta| GetMetadataAllocatedResponse {
                block_metadata_type: delta.block_metadata_type,
                volume_capacity_bytes: delta.volume_capacity_bytes,
                block_metadata: delta.block_metadata,
            })
        });
        Ok(Response::new(futures::stream::iter(parts).boxed()))
    }

    async fn get_metadata_delta(
        &self,
        request: Request<GetMetadataDeltaRequest>,
    ) -> Result<Response<Self::GetMetadataDeltaStream>, Status> {
        self.asked.lock().unwrap().push(request.into_inner());
        let parts = self.play()?;
        Ok(Response::new(futures::stream::iter(parts).boxed()))
    }
}

/// Counts how often a token was refused.
#[derive(Default)]
struct TestTokens {
    forgotten: Mutex<u32>,
}

impl Tokens for TestTokens {
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<String, MetadataError>> {
        let token = format!("token {} for {audience}", self.forgotten.lock().unwrap());
        Box::pin(std::future::ready(Ok(token)))
    }

    fn forget(&self, _audience: &str) {
        *self.forgotten.lock().unwrap() += 1;
    }
}

struct Bench {
    driver: Driver,
    question: Question,
    tokens: Arc<TestTokens>,
}

struct Pki {
    ca: String,
    identity: Identity,
}

fn pki(name: &str) -> Pki {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_key = KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_params(&ca, &ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_string()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    Pki {
        ca: ca_cert.pem(),
        identity: Identity::from_pem(leaf.pem(), key.serialize_pem()),
    }
}

/// A certificate that signs itself, for the server and as the authority, as many drivers have it.
fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pki {
    let mut params = CertificateParams::new([name.to_string()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Pki {
        ca: certificate.pem(),
        identity: Identity::from_pem(certificate.pem(), key.serialize_pem()),
    }
}

async fn bench(list: List, attempts: Vec<Attempt>) -> Bench {
    bench_of(pki("127.0.0.1"), list, attempts).await
}

async fn bench_of(pki: Pki, list: List, attempts: Vec<Attempt>) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let driver = Driver::default();
    *driver.attempts.lock().unwrap() = attempts.into();
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(pki.identity))
        .unwrap()
        .add_service(SnapshotMetadataServer::new(driver.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Bench {
        driver,
        question: Question {
            service: Service {
                driver: "reflink.example".into(),
                address,
                audience: "audience".into(),
                ca_pem: pki.ca,
            },
            list,
            snapshot: SnapshotName {
                namespace: "shop".into(),
                name: "cut".into(),
            },
            base: "handle-1".into(),
        },
        tokens: Arc::default(),
    }
}

impl Bench {
    async fn open(&self) -> Result<ExtentStream, MetadataError> {
        let size = u64::try_from(CAPACITY).unwrap();
        ExtentStream::open(self.question.clone(), self.tokens.clone(), size, size).await
    }

    async fn all(&self) -> Result<Vec<Extent>, MetadataError> {
        let batches: Vec<Vec<Extent>> = self.open().await?.try_collect().await?;
        Ok(batches.concat())
    }

    fn offsets(&self) -> Vec<i64> {
        let asked = self.driver.asked.lock().unwrap();
        asked
            .iter()
            .map(|request| request.starting_offset)
            .collect()
    }
}

fn whole(messages: &[&[(i64, i64)]]) -> Attempt {
    Attempt {
        messages: messages.iter().map(|m| m.to_vec()).collect(),
        end: None,
    }
}

fn breaks(messages: &[&[(i64, i64)]], code: Code) -> Attempt {
    Attempt {
        end: Some(Status::new(code, "cut off")),
        ..whole(messages)
    }
}

#[tokio::test]
async fn a_whole_list_comes_in_joined() {
    let bench = bench(
        List::Delta,
        vec![whole(&[
            &[(0, 4096), (4096, 4096)],
            &[(8192, 10), (16384, 1)],
        ])],
    )
    .await;
    let stream = bench.open().await.unwrap();
    assert_eq!(stream.capacity(), Some(1 << 20));
    let batches: Vec<Vec<Extent>> = stream.try_collect().await.unwrap();
    assert_eq!(
        batches.concat(),
        [Extent::new(0, 8202), Extent::new(16384, 1)]
    );
    let asked = bench.driver.asked.lock().unwrap();
    let [request] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(request.security_token, "token 0 for audience");
    assert_eq!(request.namespace, "shop");
    assert_eq!(request.base_snapshot_id, "handle-1");
    assert_eq!(request.target_snapshot_name, "cut");
    assert!(request.max_results > 0);
}

#[tokio::test]
async fn the_allocated_list_comes_in_and_an_empty_one_is_whole() {
    let allocated = bench(List::Allocated, vec![whole(&[&[(0, 5)]])]).await;
    assert_eq!(allocated.all().await.unwrap(), [Extent::new(0, 5)]);
    for nothing in [whole(&[]), whole(&[&[]])] {
        let bench = bench(List::Delta, vec![nothing]).await;
        assert_eq!(bench.all().await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_broken_list_goes_on_from_the_end_of_its_last_range() {
    let bench = bench(
        List::Delta,
        vec![
            breaks(&[&[(0, 10)], &[(100, 50)]], Code::Unavailable),
            breaks(&[], Code::DeadlineExceeded),
            breaks(&[&[(120, 60), (300, 10)]], Code::Cancelled),
            whole(&[&[(400, 10)]]),
        ],
    )
    .await;
    let extents = bench.all().await.unwrap();
    let expected = [(0, 10), (100, 80), (300, 10), (400, 10)];
    assert_eq!(extents, expected.map(|(o, l)| Extent::new(o, l)));
    assert_eq!(bench.offsets(), [0, 150, 150, 310]);
}

#[tokio::test]
async fn a_list_without_progress_times_out() {
    let bench = bench(List::Delta, vec![breaks(&[&[(0, 10)]], Code::Unavailable)]).await;
    let mut stream = bench.open().await.unwrap();
    let error = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a broken list was taken as whole"),
        }
    };
    assert_eq!(error.trust, Trust::Later);
    assert!(error.because.contains("not ready"), "{error}");
    assert!(stream.next().await.is_none());
    assert_eq!(bench.offsets().len(), 1 + RESUMES_MAX as usize);
}

#[tokio::test]
async fn a_refused_token_is_replaced() {
    let bench = bench(
        List::Delta,
        vec![breaks(&[], Code::Unauthenticated), whole(&[&[(0, 1)]])],
    )
    .await;
    assert_eq!(bench.all().await.unwrap(), [Extent::new(0, 1)]);
    let asked = bench.driver.asked.lock().unwrap();
    assert_eq!(asked[1].security_token, "token 1 for audience");
}

#[tokio::test]
async fn each_answer_says_what_is_still_worth_trying() {
    use List::{Allocated, Delta};
    for (list, code, trust, says) in [
        (
            Delta,
            Code::Unimplemented,
            Trust::NoDelta,
            "does not serve its list of changed",
        ),
        (
            Allocated,
            Code::Unimplemented,
            Trust::None,
            "does not serve its list of allocated",
        ),
        (
            Delta,
            Code::FailedPrecondition,
            Trust::NoDelta,
            "does not track changed blocks",
        ),
        (
            Allocated,
            Code::FailedPrecondition,
            Trust::None,
            "does not track",
        ),
        (
            Delta,
            Code::InvalidArgument,
            Trust::NoDelta,
            "for this volume",
        ),
        (
            Allocated,
            Code::InvalidArgument,
            Trust::None,
            "for this volume",
        ),
        (
            Delta,
            Code::NotFound,
            Trust::NoDelta,
            "does not know the last cycle's snapshot",
        ),
        (Delta, Code::OutOfRange, Trust::NoDelta, "does not know"),
        (Allocated, Code::NotFound, Trust::Later, "NotFound"),
        (Delta, Code::PermissionDenied, Trust::Later, "grant its"),
        (Delta, Code::DataLoss, Trust::Later, "DataLoss"),
    ] {
        let bench = bench(list, vec![breaks(&[], code)]).await;
        let error = bench.open().await.unwrap_err();
        assert_eq!(error.trust, trust, "{list:?} {code:?}");
        assert!(error.because.contains(says), "{error}");
        assert!(error.because.contains("cut off"), "{error}");
        assert!(error.because.contains("reflink.example"), "{error}");
    }
}

#[tokio::test]
async fn a_list_that_contradicts_itself_is_not_resumed() {
    for bad in [
        whole(&[&[(0, 10)], &[(5, 10)]]),
        whole(&[&[(0, 10)], &[(CAPACITY, 1)]]),
        whole(&[&[(0, 10)], &[(CAPACITY - 1, 2)]]),
        whole(&[&[(100, 10), (0, 10)]]),
    ] {
        let bench = bench(List::Delta, vec![bad, whole(&[])]).await;
        let error = bench.all().await.unwrap_err();
        assert_eq!(error.trust, Trust::Broken);
        assert_eq!(bench.offsets(), [0]);
    }
}

#[tokio::test]
async fn only_the_named_authority_is_trusted() {
    let mut bench = bench(List::Delta, vec![whole(&[])]).await;
    bench.question.service.ca_pem = pki("127.0.0.1").ca;
    let error = bench.open().await.unwrap_err();
    assert_eq!(error.trust, Trust::Later);
    assert!(error.because.contains("can't be reached"), "{error}");
    assert!(bench.offsets().is_empty());
    bench.question.service.ca_pem = String::new();
    assert!(bench.open().await.is_err());
}

/// What the ecosystem's own clients take: the service's certificate is the `caCert`, marked as an authority
/// or not. Neither another name, nor another time, nor another certificate of the same name is taken.
#[tokio::test]
async fn a_certificate_that_is_the_anchor_itself_is_trusted() {
    let authority = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let old = |params: &mut CertificateParams| {
        authority(params);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    };
    for pki in [
        self_signed("127.0.0.1", |_| ()),
        self_signed("127.0.0.1", authority),
    ] {
        let bench = bench_of(pki, List::Delta, vec![whole(&[&[(0, 10)]])]).await;
        assert_eq!(bench.all().await.unwrap(), [Extent::new(0, 10)]);
    }
    for (pki, says) in [
        (self_signed("192.0.2.7", authority), "name"),
        (self_signed("127.0.0.1", old), "xpired"),
    ] {
        let bench = bench_of(pki, List::Delta, vec![whole(&[])]).await;
        let error = bench.open().await.unwrap_err();
        assert!(error.because.contains(says), "{error}");
    }
    let served = self_signed("127.0.0.1", authority);
    let mut bench = bench_of(served, List::Delta, vec![whole(&[])]).await;
    bench.question.service.ca_pem = self_signed("127.0.0.1", authority).ca;
    assert!(bench.open().await.is_err());
}
