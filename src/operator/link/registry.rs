//! Which movers are linked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::link::MoverLinkError;
use crate::link::connection::Connection;
use crate::link::poll::{Poller, poll};
use api::ReplicationPair;
use protocol::units::{PairName, SiteName};
use transport::TlsDir;
use wire::Asked;
use wire::control::{MoverStatus, Response};

/// The longest that a request may take to be answered.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the first failed dial; it doubles with each further one.
pub const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest pause between two dials.
pub const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(10);

/// One mover pod. A pod that was replaced has another key, so nothing of the old one is mistaken for
/// the new one's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MoverKey {
    /// The pair that it works for.
    pub pair: PairName,
    /// Its site.
    pub site: SiteName,
    /// The pod's UID.
    pub pod_uid: String,
    /// Where its control port is, `ip:port`.
    pub address: String,
}

/// How a link is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected yet, or again; with what the last try met.
    Dialling(Option<String>),
    /// A status has come in over the present connection.
    Up,
}

/// The registry of links to mover pods. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct MoverLinks {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Mutex<Arc<TlsDir>>,
    changed: mpsc::Sender<ObjectRef<ReplicationPair>>,
    links: Mutex<HashMap<MoverKey, Arc<MoverLink>>>,
}

/// One mover's link: the task that polls it, and the connection for requests.
#[derive(Debug)]
struct MoverLink {
    poller: Arc<Poller>,
    requests: tokio::sync::Mutex<Option<Connection>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for MoverLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for MoverLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.links().keys()).finish()
    }
}

impl MoverLinks {
    /// No links yet. `identity` is the operator's own; a pair's reference goes into `changed` when
    /// one of its movers has a new status or is lost.
    #[must_use]
    pub fn new(
        identity: Arc<TlsDir>,
        changed: mpsc::Sender<ObjectRef<ReplicationPair>>,
    ) -> MoverLinks {
        MoverLinks {
            shared: Arc::new(Shared {
                identity: Mutex::new(identity),
                changed,
                links: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Uses `identity` for connections from now on.
    pub fn set_identity(&self, identity: Arc<TlsDir>) {
        *lock(&self.shared.identity) = identity;
    }

    /// Sees to it that exactly the pods of `keys` are linked for `pair`: starts what is missing,
    /// drops what is gone. Returns at once. Call it in each observe step with the pods that have an
    /// address, from within the runtime.
    pub fn sync(&self, pair: &PairName, keys: &[MoverKey]) {
        let mut links = self.links();
        links.retain(|key, _| key.pair != *pair || keys.contains(key));
        for key in keys.iter().filter(|key| key.pair == *pair) {
            links.entry(key.clone()).or_insert_with(|| self.link(key));
        }
    }

    /// The newest status, from memory. `None` until one has come in over the present connection, so
    /// that what a process said before it was restarted is not taken for true.
    #[must_use]
    pub fn status(&self, key: &MoverKey) -> Option<Arc<MoverStatus>> {
        self.links().get(key)?.poller.status()
    }

    /// How the link is doing; `None` when there is none.
    #[must_use]
    pub fn state(&self, key: &MoverKey) -> Option<LinkState> {
        Some(self.links().get(key)?.poller.state())
    }

    /// Gives a request and waits for the answer, at most [`REQUEST_TIMEOUT`]. Requests to one mover go
    /// one at a time.
    ///
    /// # Errors
    /// When the mover is not linked, not reachable, somebody else, or refuses.
    pub async fn ask(&self, key: &MoverKey, asked: impl Into<Asked>) -> Result<(), MoverLinkError> {
        let asked = asked.into();
        let link = self.find(key)?;
        let mut requests = link.requests.lock().await;
        // An idle connection may have ended unnoticed; requests are idempotent, so one more try on a
        // new one is safe. A fresh one that fails has failed.
        if let Some(connection) = requests.take() {
            match ask_once(connection, asked.clone(), &mut requests).await {
                Err(MoverLinkError::Unreachable { .. }) => {}
                other => return accepted(key, other?),
            }
        }
        let connection = self.dial(key).await?;
        accepted(key, ask_once(connection, asked, &mut requests).await?)
    }

    /// A new connection to the mover, for a talk of its own.
    pub(super) async fn dial(&self, key: &MoverKey) -> Result<Connection, MoverLinkError> {
        let identity = lock(&self.shared.identity).clone();
        Connection::open(key, &identity).await
    }

    /// Asks for the pair to be reconciled again.
    pub(super) async fn wake(&self, pair: &PairName) {
        let object = ObjectRef::new(pair.name()).within(pair.namespace());
        // The receiver is gone only when the operator ends.
        drop(self.shared.changed.send(object).await);
    }

    fn find(&self, key: &MoverKey) -> Result<Arc<MoverLink>, MoverLinkError> {
        self.links()
            .get(key)
            .cloned()
            .ok_or_else(|| MoverLinkError::NotLinked {
                pod: key.pod_uid.clone(),
            })
    }

    fn link(&self, key: &MoverKey) -> Arc<MoverLink> {
        let poller = Arc::new(Poller::default());
        // The task holds the registry only weakly: the registry owns the task.
        let shared = Arc::downgrade(&self.shared);
        let links = move || shared.upgrade().map(|shared| MoverLinks { shared });
        let task = tokio::spawn(poll(links, key.clone(), poller.clone()));
        Arc::new(MoverLink {
            poller,
            requests: tokio::sync::Mutex::new(None),
            task,
        })
    }

    fn links(&self) -> MutexGuard<'_, HashMap<MoverKey, Arc<MoverLink>>> {
        lock(&self.shared.links)
    }
}

/// Asks, and puts the connection back only when the answer is whole.
async fn ask_once(
    mut connection: Connection,
    asked: Asked,
    keep: &mut Option<Connection>,
) -> Result<Response, MoverLinkError> {
    let response = connection.ask(asked, REQUEST_TIMEOUT).await?;
    *keep = Some(connection);
    Ok(response)
}

/// Takes the answer to a request.
pub(super) fn accepted(key: &MoverKey, response: Response) -> Result<(), MoverLinkError> {
    match response {
        Response::Accepted => Ok(()),
        Response::Refused(refusal) => Err(MoverLinkError::Refused(refusal)),
        Response::Status(_) => Err(MoverLinkError::Protocol {
            address: key.address.clone(),
            reason: "a status as the answer to a request".into(),
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under these locks that could leave half a change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
