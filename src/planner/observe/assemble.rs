//! What is known of a pair, from the objects that were read. Pure: whoever reads them, the operator
//! from an API server or the simulator from its own, sees the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use crate::decide::switch;
use crate::mutations::Rules;
use crate::observe::{
    Application, Claim, Classes, Cut, Fresh, MoverPod, NodeSeen, Observed, PodUse, SiteView,
    SuperblockSeen, Timeline, VolumeObject, read,
};
use crate::rebind::labels;
use crate::rebind::object::VolumeExt as _;
use api::snapshots::VolumeSnapshot;
use api::v1alpha1::{SiteSpec, SiteStatus, SwitchKind};
use api::{Promotion, ReplicationPair, Resync, conditions, names};
use protocol::units::{PairName, SiteName, VolumeId};

/// Everything of one pair that was listed.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The UID of the pair's object.
    pub uid: String,
    /// The requests to move the pair's role.
    pub promotions: Vec<Promotion>,
    /// The consents to discard what only one of its sites holds.
    pub resyncs: Vec<Resync>,
    /// The claim that the application mounts.
    pub app_claim: Option<PersistentVolumeClaim>,
    /// The pair's own claims, by label.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Claims of replicas' names that the spec says may be taken over, whoever's they are.
    pub kept: Vec<PersistentVolumeClaim>,
    /// The volumes of those claims that [`needs_volume`] names, by name.
    pub volumes: BTreeMap<String, PersistentVolume>,
    /// All pods of the namespace.
    pub pods: Vec<Pod>,
    /// The pair's snapshots.
    pub snapshots: Vec<VolumeSnapshot>,
    /// The contents of those snapshots, by name.
    pub contents: BTreeMap<String, serde_json::Value>,
    /// The cluster's classes.
    pub classes: Classes,
    /// The workload of `spec.application`.
    pub application: Option<Application>,
    /// Volumes with the pair's labels, read where [`needs_labelled`].
    pub labelled: Vec<PersistentVolume>,
    /// The nodes that [`needs_node`] names, by name.
    pub nodes: BTreeMap<String, NodeSeen>,
    /// What is attached where, read where [`needs_attachments`].
    pub attachments: Option<Vec<Attachment>>,
}

impl Listed {
    /// Whether an object is the pair's: by its label, whatever its name is (K-3).
    #[must_use]
    pub fn owns<K: ResourceExt>(&self, object: &K) -> bool {
        object.labels().get(names::PAIR_UID_LABEL) == Some(&self.uid)
    }
}

/// A volume that is attached to a node, or used there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The PersistentVolume (of a VolumeAttachment), or the unique name (of `node.status.volumesInUse`).
    pub volume: String,
    /// The node.
    pub node: String,
}

/// What no object of the cluster says.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The one clock reading.
    pub now: Timestamp,
    /// Random identities.
    pub fresh: Fresh,
    /// The sites that this operator was installed for.
    pub local_sites: BTreeSet<String>,
    /// Another, older pair with the same claim.
    pub rival: Option<String>,
    /// Whether a cycle may begin.
    pub slot: bool,
    /// Whether a verification may go on.
    pub verify_slot: bool,
    /// What is kept in memory only.
    pub timeline: Timeline,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
}

/// Whether volumes have to be found by their labels: the status does not say which is whose, or they may
/// be bound to no claim.
#[must_use]
pub fn needs_labelled(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    let known = status.is_some_and(|status| {
        status.sites.len() == 2 && status.sites.iter().all(|site| site.handle.is_some())
    });
    let moving = status.and_then(|status| status.switch.as_ref());
    !known || moving.is_some_and(switch::unfinished)
}

/// Whether it is of interest where the volumes are attached: until the old one is known to be closed.
#[must_use]
pub fn needs_attachments(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    let moving = status.and_then(|status| status.switch.as_ref());
    moving.is_some_and(|s| switch::unfinished(s) && s.kind == SwitchKind::Planned)
}

/// Whether it is of interest who scales the application, and what becomes of its claims then.
#[must_use]
pub fn needs_workload(pair: &ReplicationPair, promotions: &[Promotion]) -> bool {
    let status = pair.status.as_ref();
    let moving = status.and_then(|status| status.switch.as_ref());
    let primary = status.and_then(|status| status.primary.as_ref());
    moving.is_some_and(switch::unfinished)
        || primary.is_some_and(|primary| *primary != pair.spec.primary)
        || promotions.iter().any(|one| {
            let status = one.status.as_ref();
            !status.is_some_and(|status| conditions::is_over(&status.conditions))
        })
}

/// The node of a pod that the pair waits for, where it matters how that node is (K-9).
#[must_use]
pub fn needs_node<'a>(pair: &ReplicationPair, pod: &'a Pod) -> Option<&'a str> {
    let ours = pod.labels().get(names::PAIR_UID_LABEL) == pair.metadata.uid.as_ref();
    let uses = || {
        let claim = pair.spec.claim_name.as_str();
        read::claims_of(pod).any(|(_, used)| used == claim)
    };
    read::doubtful_node(pod).filter(|_| ours || uses())
}

/// What the status remembers of a site's superblock.
#[must_use]
pub fn remembered(pair: &ReplicationPair, site: &SiteName) -> Option<SuperblockSeen> {
    let known = &pair.status.as_ref()?.sites;
    let known = known.iter().find(|known| known.name == site.as_str())?;
    SuperblockSeen::remembered(known)
}

/// Whether the volume behind a claim is of interest.
#[must_use]
pub fn needs_volume(claim: &PersistentVolumeClaim) -> bool {
    let part = claim.labels().get(names::PART_LABEL).map(String::as_str);
    !matches!(part, Some("source" | "metadata"))
}

/// The pair as it is observed; what the movers report is not in it yet.
#[must_use]
pub fn assemble(
    pair: &ReplicationPair,
    name: &PairName,
    listed: &Listed,
    surroundings: Surroundings,
) -> Observed {
    let users = |claim: &str| -> Vec<PodUse> {
        listed
            .pods
            .iter()
            .filter(|pod| {
                !read::ended(pod)
                    && pod
                        .labels()
                        .get(names::PART_LABEL)
                        .is_none_or(|part| part != "mover")
            })
            .filter(|pod| read::claims_of(pod).any(|(_, used)| used == claim))
            .map(|pod| PodUse {
                node: node(listed, pod),
                ..read::pod_use(pod)
            })
            .collect()
    };
    let sites: Vec<SiteView> = pair
        .spec
        .sites
        .iter()
        .filter_map(|site| {
            let site_name: SiteName = site.name.parse().ok()?;
            let mut view = site_view(name, &site_name, listed, surroundings.now);
            view.rules = surroundings.rules;
            view.kept_replica = kept(listed, site);
            view.known = surroundings.local_sites.contains(&site.name);
            view.storage_class = listed.classes.storage_class(site);
            view.snapshot_classes = listed.classes.snapshot_classes(
                site.volume_snapshot_class_name.as_ref(),
                pair.spec.snapshot.volume_snapshot_class_name.as_ref(),
            );
            view.immediate_classes = listed.classes.immediate.clone();
            view.snapshots_served = listed.classes.snapshots_served;
            view.app_users = users(&pair.spec.claim_name);
            view.application = listed.application.clone();
            view.remembered = remembered(pair, &site_name);
            late(&mut view, pair);
            volumes(&mut view, pair, name, listed);
            view.replica_users = users(&names::replica_claim(name.name(), &site.name));
            Some(view)
        })
        .collect();
    Observed {
        now: surroundings.now,
        fresh: surroundings.fresh,
        pair: pair.clone(),
        sites,
        promotions: listed.promotions.clone(),
        resyncs: listed.resyncs.clone(),
        rival: surroundings.rival,
        slot: surroundings.slot,
        verify_slot: surroundings.verify_slot,
        timeline: surroundings.timeline,
    }
}

/// Snapshots that came too late for their point count for nothing.
fn late(view: &mut SiteView, pair: &ReplicationPair) {
    let Some(status) = &pair.status else { return };
    let mut sites = status.sites.iter();
    let site = sites.find(|site| site.name == view.name.as_str());
    if let Some(promoted) = site.and_then(|site| site.promoted.as_ref()) {
        let late = |cut: &mut Cut| promoted.is_late(cut.point, status.epoch);
        view.late_cuts = view.cuts.extract_if(.., late).collect();
    }
}

/// The objects of the site's volume, and where it is attached.
fn volumes(view: &mut SiteView, pair: &ReplicationPair, name: &PairName, listed: &Listed) {
    let Some(key) = own_volume(view, pair, listed) else {
        return;
    };
    let uid = pair.metadata.uid.as_deref().unwrap_or_default();
    let labels = labels(name, uid, &view.name);
    let all = listed.volumes.values().chain(&listed.labelled);
    let mut objects = BTreeMap::new();
    for volume in all.filter(|volume| volume.volume_id().as_ref() == Some(&key)) {
        let has = |(key, value): (&String, &String)| volume.labels().get(key) == Some(value);
        objects.insert(
            volume.name_any(),
            VolumeObject {
                name: volume.name_any(),
                volume: key.clone(),
                policy: volume.policy().into(),
                labelled: labels.iter().all(has),
            },
        );
    }
    let in_use = format!("kubernetes.io/csi/{}^{}", key.driver, key.handle);
    view.attached = listed.attachments.as_ref().map(|all| {
        let ours = all.iter();
        let ours = ours.filter(|a| a.volume == in_use || objects.contains_key(&a.volume));
        let places: BTreeSet<String> = ours.map(|a| a.node.clone()).collect();
        places.into_iter().collect()
    });
    view.volumes = objects.into_values().collect();
}

/// The site's volume: what was recorded, else what has its label, else what its claim is bound to, unless
/// that has the label of the other site.
fn own_volume(view: &SiteView, pair: &ReplicationPair, listed: &Listed) -> Option<VolumeId> {
    let status = pair.status.as_ref();
    let known = status.and_then(|s| s.sites.iter().find(|s| s.name == view.name.as_str()));
    let recorded = known.and_then(SiteStatus::volume_id);
    let primary = status.and_then(|status| status.primary.as_deref());
    let claim = if primary.unwrap_or(&pair.spec.primary) == view.name.as_str() {
        view.app_claim.as_ref()
    } else {
        view.replica_claim.as_ref()
    };
    let labelled = || view.labelled_volume.as_ref()?.id();
    let others = |id: &VolumeId| {
        listed
            .labelled
            .iter()
            .any(|v| v.volume_id().as_ref() == Some(id))
    };
    let bound = || claim?.volume.as_ref()?.id().filter(|id| !others(id));
    recorded.or_else(labelled).or_else(bound)
}

/// The claim that may be taken over at a site, while it is not the pair's (K-3).
fn kept(listed: &Listed, site: &SiteSpec) -> Option<Claim> {
    let name = site.replica_claim_name.as_ref()?;
    let mut kept = listed.kept.iter();
    let kept = kept.find(|claim| claim.name_any() == *name && !listed.owns(*claim));
    kept.map(|claim| model_claim(claim, listed))
}

/// The site that the application's volume was at before, by the label that any pair of the namespace has
/// left on it (K-15).
fn app_volume_site(name: &PairName, listed: &Listed) -> Option<String> {
    let volume = read::volume_name(listed.app_claim.as_ref()?)?;
    let labels = listed.volumes.get(&volume)?.labels();
    let here = labels.get(names::PAIR_NAMESPACE_LABEL).map(String::as_str);
    labels
        .get(names::SITE_LABEL)
        .filter(|_| here == Some(name.namespace()))
        .cloned()
}

fn node(listed: &Listed, pod: &Pod) -> Option<NodeSeen> {
    let name = pod.spec.as_ref()?.node_name.as_ref()?;
    listed.nodes.get(name).cloned()
}

fn model_claim(claim: &PersistentVolumeClaim, listed: &Listed) -> Claim {
    let volume = read::volume_name(claim).and_then(|name| listed.volumes.get(&name));
    read::claim(claim, volume)
}

/// The change of the role that is noted with the site's state claim.
fn noted(name: &PairName, site: &SiteName, listed: &Listed) -> Option<String> {
    let state = names::state_claim(name.name(), site.as_str());
    let mut claims = listed.claims.iter();
    let claim = claims.find(|claim| claim.name_any() == state)?;
    claim
        .annotations()
        .get(names::ROLE_CHANGE_ANNOTATION)
        .cloned()
}

fn site_view(name: &PairName, site: &SiteName, listed: &Listed, now: Timestamp) -> SiteView {
    let claim = |wanted: String| {
        listed
            .claims
            .iter()
            .find(|claim| claim.name_any() == wanted)
            .map(|claim| model_claim(claim, listed))
    };
    let mut cuts: Vec<_> = listed
        .snapshots
        .iter()
        .filter(|snapshot| read::is_part(*snapshot, site, "cut"))
        .filter_map(|snapshot| {
            let content = snapshot
                .status
                .as_ref()
                .and_then(|s| s.bound_volume_snapshot_content_name.as_ref());
            read::cut(
                snapshot,
                content.and_then(|content| listed.contents.get(content)),
                now,
            )
        })
        .collect();
    cuts.sort_by_key(|cut| cut.point);
    let pod_name = names::mover(name.name(), site.as_str());
    let labelled = listed.labelled.iter().find(|volume| {
        listed.owns(*volume)
            && volume.labels().get(names::SITE_LABEL).map(String::as_str) == Some(site.as_str())
    });
    SiteView {
        app_volume_site: app_volume_site(name, listed),
        app_claim: listed
            .app_claim
            .as_ref()
            .map(|claim| model_claim(claim, listed)),
        replica_claim: claim(names::replica_claim(name.name(), site.as_str())),
        state_claim: claim(names::state_claim(name.name(), site.as_str())),
        noted: noted(name, site, listed),
        labelled_volume: labelled.map(read::volume),
        labelled_for: labelled
            .and_then(|volume| volume.spec.as_ref()?.claim_ref.as_ref()?.name.clone()),
        cuts,
        source_claims: listed
            .claims
            .iter()
            .filter(|claim| read::is_part(*claim, site, "source"))
            .filter_map(read::source_claim)
            .collect(),
        pod: listed
            .pods
            .iter()
            .find(|pod| pod.name_any() == pod_name && listed.owns(*pod))
            .map(|pod| MoverPod {
                node: node(listed, pod),
                ..read::mover_pod(pod)
            }),
        ..SiteView::empty(site.clone())
    }
}
