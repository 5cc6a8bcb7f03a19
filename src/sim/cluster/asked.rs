//! The requests of people as the API server keeps them: created, cancelled, deleted, and answered by the
//! operator.
//!
//! Rules: an object that is created again under its name is another object (its UID differs); its status
//! is empty whatever was applied; creation times have no fractions of a second; a write that names another
//! version than the newest is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;

use crate::cluster::server::{NAMESPACE, Server};
use crate::cluster::world::PAIR;
use api::v1alpha1::{
    PairReference, PromotionKind, PromotionSpec, PromotionStatus, ResyncSpec, ResyncStatus,
};
use api::{Promotion, Resync};
use planner::requests::{RequestWrites, What, Write};

/// The requests that there are, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) promotions: BTreeMap<String, Promotion>,
    pub(crate) resyncs: BTreeMap<String, Resync>,
}

/// What asks for a move of the role.
pub(crate) fn promotion(site: &str, epoch: i64, kind: PromotionKind) -> PromotionSpec {
    PromotionSpec {
        pair_ref: PairReference { name: PAIR.into() },
        site: site.into(),
        epoch,
        kind,
        accept_loss_of: None,
        cancel: false,
    }
}

impl Server {
    /// Creates a promotion, under a new name.
    pub(crate) fn put_promotion(&mut self, spec: PromotionSpec) -> Promotion {
        let mut one = Promotion::new("", spec);
        one.metadata = self.new_object("promotion");
        let name = one.metadata.name.clone().unwrap_or_default();
        self.asked.promotions.insert(name, one.clone());
        self.changed();
        one
    }

    /// Creates a consent, under a new name.
    pub(crate) fn put_resync(&mut self, site: &str, epoch: i64) {
        let spec = ResyncSpec {
            pair_ref: PairReference { name: PAIR.into() },
            discard_site: site.into(),
            epoch,
        };
        let mut one = Resync::new("", spec);
        one.metadata = self.new_object("resync");
        let name = one.metadata.name.clone().unwrap_or_default();
        self.asked.resyncs.insert(name, one);
        self.changed();
    }

    fn new_object(&mut self, kind: &str) -> ObjectMeta {
        let stamp = self.objects.stamp();
        let seconds = self.now().as_second();
        ObjectMeta {
            name: Some(format!("{kind}-{:0>6}", stamp.trim_start_matches('r'))),
            namespace: Some(NAMESPACE.into()),
            uid: Some(format!("uid-{stamp}")),
            resource_version: Some(stamp),
            generation: Some(1),
            creation_timestamp: Timestamp::from_second(seconds).ok().map(Time),
            ..ObjectMeta::default()
        }
    }

    /// Somebody cancels every promotion.
    pub(crate) fn cancel_promotions(&mut self) {
        let stamp = self.objects.stamp();
        for one in self.asked.promotions.values_mut() {
            one.spec.cancel = true;
            one.metadata.generation = one.metadata.generation.map(|generation| generation + 1);
            one.metadata.resource_version = Some(stamp.clone());
        }
        self.changed();
    }

    /// Writes one of what was decided about requests. False when somebody else was before.
    pub(crate) fn answer(&mut self, writes: &mut RequestWrites) -> bool {
        let stamp = self.objects.stamp();
        self.changed();
        if let Some(write) = writes.promotions.pop() {
            // As the API server keeps it: times lose their fractions.
            let set = |one: &mut Promotion, status: PromotionStatus| {
                let text = serde_json::to_string(&status).unwrap_or_default();
                one.status = serde_json::from_str(&text).ok();
            };
            return answer_one(&mut self.asked.promotions, write, stamp, set);
        }
        let Some(write) = writes.resyncs.pop() else {
            return true;
        };
        let set = |one: &mut Resync, status: ResyncStatus| {
            let text = serde_json::to_string(&status).unwrap_or_default();
            one.status = serde_json::from_str(&text).ok();
        };
        answer_one(&mut self.asked.resyncs, write, stamp, set)
    }
}

fn answer_one<K: Resource, S>(
    objects: &mut BTreeMap<String, K>,
    write: Write<S>,
    stamp: String,
    set: fn(&mut K, S),
) -> bool {
    let Some(one) = objects.get_mut(&write.name) else {
        return true;
    };
    let meta = one.meta_mut();
    if meta.uid.as_ref() != Some(&write.uid) || meta.resource_version != write.version {
        return false;
    }
    meta.resource_version = Some(stamp);
    match write.what {
        What::Delete => {
            objects.remove(&write.name);
        }
        What::Own => meta.owner_references = Some(vec![pair_owns()]),
        What::Status(status) => set(one, status),
    }
    true
}

fn pair_owns() -> OwnerReference {
    OwnerReference {
        name: PAIR.into(),
        uid: "pair".into(),
        ..OwnerReference::default()
    }
}
