//! What an operator sees of the cluster: the objects it would list, put together by its own functions.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use rand::Rng;
use uuid::Uuid;

use crate::cluster::scheduler::NODES;
use crate::cluster::server::{Server, handle_of};
use crate::cluster::world::{SITES, World};
use api::{ReplicationPair, names};
use planner::observe::{
    Attachment, Fresh, Listed, NodeSeen, Observed, Surroundings, Timeline, assemble,
    needs_attachments, needs_labelled, needs_volume, read,
};
use planner::rebind::object::ClaimExt as _;
use protocol::units::PairName;

impl World {
    /// All that an operator with these marks of time sees of the pair.
    pub(crate) fn observe(
        &mut self,
        pair: &ReplicationPair,
        name: &PairName,
        timeline: Timeline,
    ) -> Observed {
        let listed = self.list(pair);
        let surroundings = Surroundings {
            now: self.server.now(),
            fresh: Fresh {
                pair_id: self.draw_id(),
                generation: self.draw_id(),
            },
            local_sites: SITES.map(String::from).into(),
            rival: None,
            slot: true,
            verify_slot: true,
            timeline,
            rules: self.server.rules,
        };
        let mut observed = assemble(pair, name, &listed, surroundings);
        for (at, view) in (0..).zip(&mut observed.sites) {
            let pod = view.pod.as_ref();
            let pod = pod.filter(|pod| !pod.ended && !pod.deleting && pod.ip.is_some());
            let mover = self.movers[at].as_ref();
            let mover = mover.filter(|mover| pod.is_some_and(|pod| pod.uid == mover.pod_uid));
            let away = self.away[at] || self.is_hung(at);
            view.mover = mover
                .filter(|_| !away)
                .and_then(|mover| mover.shown.clone());
        }
        observed
    }

    /// The operator's links hear what a mover reports.
    pub(crate) fn poll(&mut self, at: usize) {
        if self.is_cut_off(at) {
            return;
        }
        if let Some(mover) = &mut self.movers[at] {
            let status = mover.host.status();
            if mover.shown.as_ref() != Some(status) {
                mover.shown = Some(status.clone());
                self.server.changed();
            }
        }
    }

    fn draw_id(&mut self) -> Uuid {
        Uuid::from_u128(self.random.random())
    }

    fn list(&self, pair: &ReplicationPair) -> Listed {
        let server = &self.server;
        let ours = |labels: &BTreeMap<String, String>| {
            labels.get(names::PAIR_UID_LABEL) == pair.metadata.uid.as_ref()
        };
        let claims = server.objects.claims.values();
        let claims: Vec<_> = claims
            .filter(|claim| ours(claim.labels()))
            .cloned()
            .collect();
        let named_in_spec = pair.spec.sites.iter();
        let named_in_spec = named_in_spec.filter_map(|site| site.replica_claim_name.as_ref());
        let kept = named_in_spec.filter_map(|name| server.objects.claims.get(name).cloned());
        let kept = kept.collect();
        let app_claim = server.objects.claims.get(&pair.spec.claim_name).cloned();
        let wanted = claims.iter().chain(&app_claim).filter(|c| needs_volume(c));
        let volume = |name: &str| server.objects.volumes.get(name).cloned();
        let volumes = wanted
            .filter_map(|claim| Some((read::volume_name(claim)?, volume(claim.volume_name())?)));
        let labelled = server.objects.volumes.values();
        let snapshots = server.snapshots.values();
        let snapshots = snapshots.filter(|snapshot| ours(snapshot.labels()));
        Listed {
            uid: pair.metadata.uid.clone().unwrap_or_default(),
            promotions: server.asked.promotions.values().cloned().collect(),
            resyncs: server.asked.resyncs.values().cloned().collect(),
            volumes: volumes.collect(),
            app_claim,
            kept,
            claims,
            pods: server.pods.values().cloned().collect(),
            snapshots: snapshots.cloned().collect(),
            contents: server.contents.clone(),
            classes: self.classes.clone(),
            application: server.scale(),
            labelled: labelled
                .filter(|volume| needs_labelled(pair) && ours(volume.labels()))
                .cloned()
                .collect(),
            nodes: server.nodes(),
            attachments: needs_attachments(pair).then(|| server.attachments()),
        }
    }
}

impl Server {
    /// The nodes, as far as they are of interest.
    fn nodes(&self) -> BTreeMap<String, NodeSeen> {
        let seen = |name: &str| NodeSeen {
            name: name.into(),
            trouble: self
                .health
                .dead_nodes
                .contains(name)
                .then(|| "NodeStatusUnknown: Kubelet stopped posting node status.".into()),
        };
        NODES
            .iter()
            .map(|name| ((*name).to_string(), seen(name)))
            .collect()
    }

    /// What is attached where: as every VolumeAttachment names it.
    fn attachments(&self) -> Vec<Attachment> {
        let volumes = self.objects.volumes.values();
        let attached = volumes.filter_map(|volume| {
            Some(Attachment {
                volume: volume.name_any(),
                node: self.attachments.get(&handle_of(volume)?)?.clone(),
            })
        });
        attached.collect()
    }
}
