//! Which movers are linked.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::api::ReplicationPair;
use crate::operator::link::MoverLinkError;
use crate::seam::TlsDir;
use crate::units::{PairName, SiteName};
use crate::wire::control::{MoverStatus, Request};

/// The longest that an order may take to be answered.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
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
    /// Not connected yet, or again; with what the last dial met.
    Dialling(Option<String>),
    /// A status has come in over the present connection.
    Up,
}

/// The registry of links to mover pods. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct MoverLinks {}

impl MoverLinks {
    /// No links yet. `identity` is the operator's own; a pair's reference goes into `changed` when
    /// one of its movers has a new status or is lost.
    #[must_use]
    pub fn new(
        identity: Arc<TlsDir>,
        changed: mpsc::Sender<ObjectRef<ReplicationPair>>,
    ) -> MoverLinks {
        todo!("{identity:?} {changed:?}")
    }

    /// Uses `identity` for connections from now on.
    pub fn set_identity(&self, identity: Arc<TlsDir>) {
        todo!("{identity:?}")
    }

    /// Sees to it that exactly the pods of `keys` are linked for `pair`: starts what is missing,
    /// drops what is gone. Returns at once. Call it in each observe step with the ready pods.
    pub fn sync(&self, pair: &PairName, keys: &[MoverKey]) {
        todo!("{pair} {keys:?}")
    }

    /// The newest status, from memory. `None` until the first has come in.
    #[must_use]
    pub fn status(&self, key: &MoverKey) -> Option<Arc<MoverStatus>> {
        todo!("{key:?}")
    }

    /// How the link is doing; `None` when there is none.
    #[must_use]
    pub fn state(&self, key: &MoverKey) -> Option<LinkState> {
        todo!("{key:?}")
    }

    /// Gives an order and waits for the answer, at most [`ORDER_TIMEOUT`]. Orders to one mover go
    /// one at a time.
    ///
    /// # Errors
    /// When the mover is not linked, not reachable, somebody else, or refuses.
    pub async fn order(&self, key: &MoverKey, request: Request) -> Result<(), MoverLinkError> {
        todo!("{key:?} {request:?}")
    }
}
