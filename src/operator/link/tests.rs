//! The links against a mover of the tests' own, over real sockets and real certificates.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::ca::{Authority, operator_identity};
use api::ReplicationPair;
use protocol::units::{Extent, PairName, PeerName, Point};
use transport::{FrameReader, FrameWriter};
use transport::{Listener, Session, TlsDir};
use wire::control::{
    Activity, ChangeList, EXTENTS_PER_BATCH_MAX, MoverStatus, Refusal, RefusalKind, Request,
    Response,
};
use wire::{Message, decode, encode};

/// What the test's mover does and has seen.
#[derive(Clone)]
struct TestMover {
    status: watch::Receiver<MoverStatus>,
    seen: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<Response>>>,
    greeting: Arc<dyn Fn() -> Message + Send + Sync>,
}

impl TestMover {
    async fn serve(self, mut listener: Listener) {
        while let Ok(session) = listener.accept().await {
            tokio::spawn(self.clone().talk(session));
        }
    }

    async fn talk(mut self, session: Session) {
        let (read, write) = tokio::io::split(session);
        let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
        let hello = encode((self.greeting)()).unwrap();
        writer.send(&hello).await.unwrap();
        while let Ok(Some(frame)) = reader.next().await {
            let response = match decode(frame).unwrap() {
                Message::Hello(_) => {
                    reader.after_hello();
                    continue;
                }
                Message::Request(asked) => self.answer(asked.request).await,
                other => panic!("{other:?}"),
            };
            let response = encode(Message::Response(Box::new(response))).unwrap();
            if writer.send(&response).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, request: Request) -> Response {
        if let Request::Status { after, wait_ms } = request {
            let newer = self.status.wait_for(|status| status.version > after);
            let limit = Duration::from_millis(wait_ms.into());
            let _ = tokio::time::timeout(limit, newer).await;
            let status = self.status.borrow().clone();
            return Response::Status(Box::new(status));
        }
        self.seen.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Response::Accepted)
    }
}

struct Bench {
    links: MoverLinks,
    woken: mpsc::Receiver<ObjectRef<ReplicationPair>>,
    key: MoverKey,
    status: watch::Sender<MoverStatus>,
    mover: TestMover,
    identity: Arc<TlsDir>,
    task: tokio::task::JoinHandle<()>,
}

fn status(version: u64) -> MoverStatus {
    MoverStatus {
        version,
        site: "east".parse().unwrap(),
        superblock: None,
        superblock_error: None,
        device_bytes: None,
        activity: Activity::Idle,
        progress: None,
        decision: None,
        change_source: None,
        last: None,
        unwritten: Vec::new(),
    }
}

fn leaf(authority: &Authority, site: &str) -> Arc<TlsDir> {
    let name: PeerName = format!("ferry://{site}/shop/orders").parse().unwrap();
    let leaf = authority.issue(&name, Timestamp::now()).unwrap();
    Arc::new(TlsDir::in_memory(leaf.ca, leaf.certificate, leaf.key))
}

fn greeting() -> Message {
    let hello = connection::greeting(&MoverKey {
        pair: pair(),
        site: "east".parse().unwrap(),
        pod_uid: String::new(),
        address: String::new(),
    });
    Message::Hello(Box::new(hello))
}

fn pair() -> PairName {
    "shop/orders".parse().unwrap()
}

async fn bench(certificate_site: &str) -> Bench {
    let authority = Authority::create(Timestamp::now()).unwrap();
    let identity = leaf(&authority, certificate_site);
    let listener = Listener::bind("127.0.0.1:0", identity.clone())
        .await
        .unwrap();
    let key = MoverKey {
        pair: pair(),
        site: "east".parse().unwrap(),
        pod_uid: "uid-1".into(),
        address: listener.address().to_string(),
    };
    let (sender, receiver) = watch::channel(status(1));
    let mover = TestMover {
        status: receiver,
        seen: Arc::default(),
        answers: Arc::default(),
        greeting: Arc::new(greeting),
    };
    let (changed, woken) = mpsc::channel(8);
    let operator = operator_identity(&authority, Timestamp::now()).unwrap();
    Bench {
        links: MoverLinks::new(Arc::new(operator), changed),
        woken,
        key,
        status: sender,
        task: tokio::spawn(mover.clone().serve(listener)),
        mover,
        identity,
    }
}

impl Bench {
    async fn wait_woken(&mut self) {
        let object = tokio::time::timeout(Duration::from_secs(10), self.woken.recv())
            .await
            .expect("the pair was not woken within 10 s")
            .unwrap();
        assert_eq!(
            (object.name.as_str(), object.namespace.as_deref()),
            ("orders", Some("shop"))
        );
    }

    fn sync(&self) {
        self.links.sync(&pair(), std::slice::from_ref(&self.key));
    }

    async fn up(&mut self) {
        self.sync();
        while self.links.state(&self.key) != Some(LinkState::Up) {
            self.wait_woken().await;
        }
    }
}

#[tokio::test]
async fn the_newest_status_is_kept_and_wakes_the_pair() {
    let mut bench = bench("east").await;
    assert!(bench.links.status(&bench.key).is_none());
    bench.up().await;
    assert_eq!(bench.links.status(&bench.key).unwrap().version, 1);
    let mut newer = status(7);
    newer.activity = Activity::Shipping(Point::new(1, 2));
    bench.status.send(newer).unwrap();
    bench.wait_woken().await;
    assert_eq!(bench.links.status(&bench.key).unwrap().version, 7);
}

#[tokio::test]
async fn a_lost_mover_is_unknown_at_once_and_found_again_after_its_restart() {
    let mut bench = bench("east").await;
    bench.up().await;
    bench.status.send(status(40)).unwrap();
    bench.wait_woken().await;
    bench.task.abort();
    let _ = (&mut bench.task).await;
    // The connections of the old process end with it.
    bench.links.sync(&pair(), &[]);
    assert!(bench.links.status(&bench.key).is_none());
    assert!(bench.links.state(&bench.key).is_none());
    bench.sync();
    bench.wait_woken().await;
    assert!(matches!(
        bench.links.state(&bench.key),
        Some(LinkState::Dialling(Some(_)))
    ));
    // Counting starts again in a new process.
    bench.status.send(status(2)).unwrap();
    let listener = Listener::bind(&bench.key.address, bench.identity.clone())
        .await
        .unwrap();
    bench.task = tokio::spawn(bench.mover.clone().serve(listener));
    bench.up().await;
    assert_eq!(bench.links.status(&bench.key).unwrap().version, 2);
}

#[tokio::test]
async fn requests_are_answered_and_refusals_are_reported() {
    let mut bench = bench("east").await;
    let abort = Request::Abort {
        reason: "test".into(),
    };
    let error = bench
        .links
        .ask(&bench.key, abort.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, MoverLinkError::NotLinked { .. }), "{error}");
    bench.up().await;
    bench.links.ask(&bench.key, abort.clone()).await.unwrap();
    let refusal = Refusal {
        kind: RefusalKind::OutOfOrder,
        message: "no cycle is running".into(),
    };
    bench
        .mover
        .answers
        .lock()
        .unwrap()
        .push_back(Response::Refused(refusal));
    let error = bench
        .links
        .ask(&bench.key, abort.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no cycle is running"), "{error}");
    assert_eq!(*bench.mover.seen.lock().unwrap(), [abort.clone(), abort]);
}

#[tokio::test]
async fn nothing_is_sent_to_a_mover_that_is_somebody_else() {
    let mut bench = bench("west").await;
    bench.sync();
    bench.wait_woken().await;
    let Some(LinkState::Dialling(Some(reason))) = bench.links.state(&bench.key) else {
        panic!("{:?}", bench.links.state(&bench.key));
    };
    assert!(reason.contains("ferry://west/shop/orders"), "{reason}");
    let shutdown = bench.links.ask(&bench.key, Request::Shutdown).await;
    assert!(matches!(
        shutdown,
        Err(MoverLinkError::WrongIdentity { .. })
    ));
    assert!(bench.mover.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pod_that_was_replaced_is_another_mover() {
    let mut bench = bench("east").await;
    bench.up().await;
    let replaced = MoverKey {
        pod_uid: "uid-2".into(),
        ..bench.key.clone()
    };
    bench.links.sync(&pair(), std::slice::from_ref(&replaced));
    assert!(bench.links.status(&bench.key).is_none());
    let old = bench.links.ask(&bench.key, Request::Shutdown).await;
    assert!(matches!(old, Err(MoverLinkError::NotLinked { .. })));
    let other: PairName = "shop/other".parse().unwrap();
    bench.links.sync(&other, &[]);
    assert!(
        bench.links.state(&replaced).is_some(),
        "another pair's sync dropped the link"
    );
}

fn extents(count: u64) -> Vec<Extent> {
    (0..count).map(|n| Extent::new(n * 8192, 4096)).collect()
}

#[tokio::test]
async fn a_list_is_fed_in_bounded_batches_and_its_end_is_marked() {
    let mut bench = bench("east").await;
    bench.up().await;
    let cycle = Point::new(1, 2);
    let count = EXTENTS_PER_BATCH_MAX as u64 * 2;
    let all = extents(count);
    let parts: Vec<Result<Vec<Extent>, String>> =
        all.chunks(1000).map(|part| Ok(part.to_vec())).collect();
    let fed = bench
        .links
        .feed_extents(
            &bench.key,
            cycle,
            ChangeList::Allocated,
            stream::iter(parts),
        )
        .await
        .unwrap();
    assert_eq!(
        (fed.extents, fed.bytes, fed.broken),
        (count, count * 4096, None)
    );
    let mut received = Vec::new();
    let seen = bench.mover.seen.lock().unwrap();
    let mut from = 0;
    for (index, request) in seen.iter().enumerate() {
        let Request::Extents(batch) = request else {
            panic!("{request:?}")
        };
        assert!(batch.extents.len() <= EXTENTS_PER_BATCH_MAX);
        assert_eq!((batch.cycle, batch.from), (cycle, from));
        from = batch.extents.last().unwrap().end();
        assert_eq!(batch.last, index == seen.len() - 1);
        received.extend_from_slice(&batch.extents);
    }
    assert_eq!(received, all);
}

#[tokio::test]
async fn an_empty_list_is_a_whole_list() {
    let mut bench = bench("east").await;
    bench.up().await;
    let nothing = stream::iter(Vec::<Result<Vec<Extent>, String>>::new());
    let fed = bench
        .links
        .feed_extents(&bench.key, Point::new(1, 2), ChangeList::Allocated, nothing)
        .await
        .unwrap();
    assert_eq!(fed.broken, None);
    let seen = bench.mover.seen.lock().unwrap();
    assert!(matches!(&seen[..], [Request::Extents(b)] if b.last && b.extents.is_empty()));
}

#[tokio::test]
async fn a_list_that_breaks_is_said_to_have_broken() {
    let mut bench = bench("east").await;
    bench.up().await;
    let parts = vec![Ok(extents(3)), Err("the driver went away".to_string())];
    let fed = bench
        .links
        .feed_extents(
            &bench.key,
            Point::new(1, 2),
            ChangeList::Allocated,
            stream::iter(parts),
        )
        .await
        .unwrap();
    assert_eq!(fed.broken.as_deref(), Some("the driver went away"));
    let seen = bench.mover.seen.lock().unwrap();
    assert!(
        !seen
            .iter()
            .any(|r| matches!(r, Request::Extents(batch) if batch.last)),
        "a broken list was marked as whole"
    );
    assert!(matches!(seen.last(), Some(Request::ExtentsFailed { .. })));
}

#[tokio::test]
async fn a_mover_that_greets_wrongly_is_named() {
    let mut bench = bench("east").await;
    bench.task.abort();
    let _ = (&mut bench.task).await;
    bench.mover.greeting = Arc::new(|| Message::Ping(1));
    let listener = Listener::bind(&bench.key.address, bench.identity.clone())
        .await
        .unwrap();
    bench.task = tokio::spawn(bench.mover.clone().serve(listener));
    bench.sync();
    bench.wait_woken().await;
    let Some(LinkState::Dialling(Some(reason))) = bench.links.state(&bench.key) else {
        panic!("{:?}", bench.links.state(&bench.key));
    };
    assert!(reason.contains("unexpected"), "{reason}");
}
