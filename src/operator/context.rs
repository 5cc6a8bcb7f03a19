//! What every reconcile shares.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt};
use tokio::task::AbortHandle;

use crate::backoff::Backoffs;
use crate::ca::Authority;
use crate::changed_blocks::MetadataClient;
use crate::events::Events;
use crate::link::MoverLinks;
use crate::metrics::Metrics;
use crate::observe::ClassCache;
use crate::requests::Requests;
use api::v1alpha1::ApplicationRef;
use api::{Promotion, ReplicationPair, Resync};
use planner::observe::Timeline;
use planner::render::MoverSettings;
use protocol::units::PairName;

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Sites that this operator was installed for.
    pub sites: BTreeSet<String>,
    /// How movers are run.
    pub movers: MoverSettings,
    /// Links to movers.
    pub links: MoverLinks,
    /// Lists of changes from drivers.
    pub metadata: MetadataClient,
    /// Events.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The install's authority.
    pub authority: RwLock<Arc<Authority>>,
    /// Storage and snapshot classes.
    pub classes: ClassCache,
    /// Kinds of workloads.
    pub kinds: Kinds,
    /// Pairs that work at once.
    pub slots: Slots,
    /// Who may be verified.
    pub verifications: Slots,
    /// Pauses after failed reconciles.
    pub backoffs: Backoffs,
    /// Every pair, as last seen; set when the controller runs.
    pub pairs: OnceLock<Store<ReplicationPair>>,
    /// Requests to move a role.
    pub promotions: Requests<Promotion>,
    /// Consents to discard what only one site holds.
    pub resyncs: Requests<Resync>,
    /// Lists that are being fed now, by pair.
    pub feeds: Mutex<HashMap<PairName, AbortHandle>>,
    /// Why a driver has no list of changes for a volume, by driver and volume handle, so that it is
    /// not asked each cycle. By volume, since a driver may track some of its volumes only.
    pub untracked: Mutex<HashMap<(String, String), String>>,
    /// Marks of time, by pair.
    pub timelines: Mutex<HashMap<PairName, Timeline>>,
}

/// Locks, also when a holder panicked: what is kept here is only ever replaced whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The authority that signs now.
    #[must_use]
    pub fn authority(&self) -> Arc<Authority> {
        self.authority
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Signs with `authority` from now on.
    pub fn set_authority(&self, authority: Arc<Authority>) {
        if let Some(at) = authority.expires_at() {
            self.metrics.set_ca_expiry(at);
        }
        *self
            .authority
            .write()
            .unwrap_or_else(PoisonError::into_inner) = authority;
    }

    /// The marks of time of a pair.
    #[must_use]
    pub fn timeline(&self, pair: &PairName) -> Timeline {
        lock(&self.timelines).get(pair).cloned().unwrap_or_default()
    }

    /// Keeps the marks of time of a pair.
    pub fn keep_timeline(&self, pair: &PairName, timeline: Timeline) {
        lock(&self.timelines).insert(pair.clone(), timeline);
    }

    /// Forgets a pair that is gone.
    pub fn forget(&self, pair: &PairName) {
        lock(&self.timelines).remove(pair);
        if let Some(feed) = lock(&self.feeds).remove(pair) {
            feed.abort();
        }
        self.links.sync(pair, &[]);
        self.slots.release(pair);
        self.verifications.release(pair);
        self.metrics.forget(pair);
    }

    /// Another pair of the namespace with the same claim that has begun before or is older, so that
    /// the claim is its.
    #[must_use]
    pub fn rival(&self, pair: &ReplicationPair) -> Option<String> {
        // A pair that has begun comes before one that never could.
        let age = |pair: &ReplicationPair| {
            let begun = pair.status.as_ref().is_some_and(|s| s.pair_id.is_some());
            let created = pair.metadata.creation_timestamp.clone().map(|time| time.0);
            (!begun, created, pair.name_any())
        };
        let pairs = self.pairs.get()?.state();
        pairs
            .iter()
            .filter(|other| {
                other.namespace() == pair.namespace() && other.name_any() != pair.name_any()
            })
            .filter(|other| other.spec.claim_name == pair.spec.claim_name)
            .find(|other| age(other) < age(pair))
            .map(|other| other.name_any())
    }
}

/// The cap on pairs that have movers at work at once. A pair that finds none free begins its cycle
/// later; moves of the role are never held up by it.
#[derive(Debug)]
pub struct Slots {
    max: usize,
    taken: Mutex<HashSet<PairName>>,
}

impl Slots {
    /// `max` slots.
    #[must_use]
    pub fn new(max: usize) -> Slots {
        Slots {
            max,
            taken: Mutex::default(),
        }
    }

    /// As many as pairs may be verified where `active` pairs may be at work: a verification takes
    /// hours, and must not keep others from their cycles.
    #[must_use]
    pub fn for_verifications(active: usize) -> Slots {
        Slots::new((active / 4).max(1))
    }

    /// Whether `pair` has a slot now: the one it had, or a free one.
    #[must_use]
    pub fn take(&self, pair: &PairName) -> bool {
        let mut taken = lock(&self.taken);
        if taken.contains(pair) {
            return true;
        }
        taken.len() < self.max && taken.insert(pair.clone())
    }

    /// `pair` needs its slot no more.
    pub fn release(&self, pair: &PairName) {
        lock(&self.taken).remove(pair);
    }
}

/// Kinds of workloads that were looked up once.
#[derive(Debug, Default)]
pub struct Kinds(Mutex<HashMap<(String, String), ApiResource>>);

impl Kinds {
    /// The API of the kind that `reference` names.
    ///
    /// # Errors
    /// With a sentence, when the cluster does not serve the kind.
    pub async fn api(
        &self,
        client: &Client,
        namespace: &str,
        reference: &ApplicationRef,
    ) -> Result<Api<DynamicObject>, String> {
        let key = (reference.api_version.clone(), reference.kind.clone());
        let known = lock(&self.0).get(&key).cloned();
        let resource = match known {
            Some(resource) => resource,
            None => {
                let (group, version) = reference
                    .api_version
                    .split_once('/')
                    .unwrap_or(("", &reference.api_version));
                let gvk = GroupVersionKind::gvk(group, version, &reference.kind);
                let (resource, _) =
                    kube::discovery::pinned_kind(client, &gvk)
                        .await
                        .map_err(|error| {
                            format!("{} {}: {error}", reference.api_version, reference.kind)
                        })?;
                lock(&self.0).insert(key, resource.clone());
                resource
            }
        };
        Ok(Api::namespaced_with(client.clone(), namespace, &resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_pairs_than_there_are_slots_and_each_keeps_its_own() {
        let slots = Slots::new(2);
        let pair = |name: &str| PairName::new("shop", name).unwrap();
        assert!(slots.take(&pair("a")) && slots.take(&pair("b")) && slots.take(&pair("a")));
        assert!(!slots.take(&pair("c")));
        slots.release(&pair("a"));
        assert!(slots.take(&pair("c")));
    }
}
