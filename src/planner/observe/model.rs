//! What a reconcile sees of a pair: plain data, so that the steps after `observe` need no cluster.
//!
//! Everything about a site stands in its [`SiteView`]. In one cluster the operator fills both from
//! its own API server; for a site in another cluster the peer's operator will supply the view.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::mutations::Rules;
use crate::observe::{Application, SnapshotFacts, Timeline};
use api::v1alpha1::{PointStatus, SiteRole, SiteStatus};
use api::{Promotion, ReplicationPair, Resync, names};
use protocol::units::{Epoch, Point, Role, SiteName, VolumeId};
use wire::control::MoverStatus;

/// All that one reconcile knows.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The reconcile's one clock reading; no later step reads a clock.
    pub now: Timestamp,
    /// Random identities, used only where a new one is needed: `decide` draws nothing itself.
    pub fresh: Fresh,
    /// The pair's object.
    pub pair: ReplicationPair,
    /// The two sites, in the order of the spec.
    pub sites: Vec<SiteView>,
    /// The requests to move its role, in any order.
    pub promotions: Vec<Promotion>,
    /// The consents to discard what only one site holds, in any order.
    pub resyncs: Vec<Resync>,
    /// Another, older pair of this namespace that has the same claim.
    pub rival: Option<String>,
    /// Whether a cycle may begin, as to how many pairs are at work already.
    pub slot: bool,
    /// Whether its verification may go on, as to how many pairs are being verified.
    pub verify_slot: bool,
    /// Millisecond marks of the running cycle, kept in memory only.
    pub timeline: Timeline,
}

/// Identities drawn for this reconcile.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// For a new pair.
    pub pair_id: Uuid,
    /// For a new epoch.
    pub generation: Uuid,
}

/// One site of the pair.
#[derive(Clone, Debug)]
pub struct SiteView {
    /// The site.
    pub name: SiteName,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
    /// Whether this operator was installed for the site.
    pub known: bool,
    /// The storage class for volumes made here: the named one or the cluster's default.
    pub storage_class: Option<StorageClassView>,
    /// The snapshot classes that could serve this site, see [`SnapshotClasses`].
    pub snapshot_classes: SnapshotClasses,
    /// Storage classes whose claims are bound without a pod.
    pub immediate_classes: BTreeSet<String>,
    /// Whether VolumeSnapshots are served here at all.
    pub snapshots_served: bool,
    /// The claim that the application mounts, as it is here. In one cluster both sites see the same.
    pub app_claim: Option<Claim>,
    /// Pods that use the application's claim here and are not Ferry's.
    pub app_users: Vec<PodUse>,
    /// The workload of `spec.application` here, when one is named.
    pub application: Option<Application>,
    /// The claim that holds the volume while the site is standby.
    pub replica_claim: Option<Claim>,
    /// A claim of the replica's name that is not the pair's, and that the spec says may be taken over.
    pub kept_replica: Option<Claim>,
    /// The claim of the superblock, staging and digests.
    pub state_claim: Option<Claim>,
    /// The change of the role that is noted with the state claim.
    pub noted: Option<String>,
    /// The site's volume by its labels; read only where the status lacks it, and while the role moves.
    pub labelled_volume: Option<Volume>,
    /// The site that the volume behind the application's claim was at before, by its labels.
    pub app_volume_site: Option<String>,
    /// The claim that the labelled volume is bound to or reserved for.
    pub labelled_for: Option<String>,
    /// The PersistentVolume objects of the site's volume that were read.
    pub volumes: Vec<VolumeObject>,
    /// Where the site's volume is attached or in use, as sentences' ends; `None` while that was not
    /// read.
    pub attached: Option<Vec<String>>,
    /// Pods that use the replica claim and are not Ferry's.
    pub replica_users: Vec<PodUse>,
    /// Snapshots of this pair at this site, oldest point first.
    pub cuts: Vec<Cut>,
    /// Those of an older epoch that were not cut yet when the site was promoted: they hold something else.
    pub late_cuts: Vec<Cut>,
    /// Claims made from those snapshots.
    pub source_claims: Vec<SourceClaim>,
    /// The mover's pod.
    pub pod: Option<MoverPod>,
    /// What the mover in `pod` reported last; `None` while it can't be reached.
    pub mover: Option<MoverStatus>,
    /// What the superblock said when a mover reported it last, from the status.
    pub remembered: Option<SuperblockSeen>,
}

/// What of a superblock decides what may be done at its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockSeen {
    /// The role.
    pub role: Role,
    /// The epoch.
    pub epoch: Epoch,
    /// The committed point.
    pub committed: Option<Point>,
}

impl SuperblockSeen {
    /// What `site` of a status remembers; `None` for what no version that we know has written.
    #[must_use]
    pub fn remembered(site: &SiteStatus) -> Option<SuperblockSeen> {
        let seen = site.superblock.as_ref()?;
        let role = match seen.role {
            SiteRole::Primary => Role::Primary,
            SiteRole::Standby => Role::Standby,
            SiteRole::Unknown(_) => return None,
        };
        Some(SuperblockSeen {
            role,
            epoch: Epoch(u64::try_from(seen.epoch).ok()?),
            committed: seen.committed.as_ref().map(PointStatus::point),
        })
    }
}

/// A storage class, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageClassView {
    /// Its name.
    pub name: String,
    /// Its CSI driver.
    pub driver: String,
    /// Whether claims of it can grow.
    pub expandable: bool,
}

/// The snapshot classes that the spec names for a site, or that its driver has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotClasses {
    /// The class named for this very site, and its driver if it exists.
    pub named_here: Option<(String, Option<String>)>,
    /// The class named for both sites, and its driver if it exists.
    pub named_for_both: Option<(String, Option<String>)>,
    /// Every class there is, as (name, driver, default of its driver).
    pub all: Vec<(String, String, bool)>,
}

/// How a claim presents its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeMode {
    /// A mounted file system.
    Filesystem,
    /// A raw block device.
    Block,
}

/// A claim and, when it is bound, its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Bytes asked for.
    pub requested_bytes: u64,
    /// Bytes there are; 0 while it is not bound.
    pub capacity_bytes: u64,
    /// Whether it has a volume.
    pub bound: bool,
    /// How it presents the volume.
    pub mode: VolumeMode,
    /// Its storage class.
    pub storage_class: Option<String>,
    /// Its volume, once bound.
    pub volume: Option<Volume>,
    /// Whether it names a volume that does not exist, so that no pod can start on it.
    pub parked: bool,
}

/// A PersistentVolume object that stands for a site's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeObject {
    /// Its name.
    pub name: String,
    /// The driver and the handle.
    pub volume: VolumeId,
    /// Its reclaim policy.
    pub policy: String,
    /// Whether it has this pair's labels and this site's.
    pub labelled: bool,
}

impl VolumeObject {
    /// Whether its policy keeps the storage.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.policy == "Retain"
    }
}

/// A PersistentVolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its CSI driver; `None` for volumes that are not CSI's.
    pub driver: Option<String>,
    /// Its handle at the driver.
    pub handle: Option<String>,
}

impl Volume {
    /// Which volume it is, where that is known.
    #[must_use]
    pub fn id(&self) -> Option<VolumeId> {
        Some(VolumeId {
            driver: self.driver.clone()?,
            handle: self.handle.clone()?,
        })
    }
}

/// What is known of a standby's copy before its mover starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Which volume it is on.
    pub volume: Option<VolumeId>,
    /// The committed point at which it does not count any more, where somebody else has used it.
    pub doubted: Option<String>,
}

/// A pod that uses a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUse {
    /// The pod.
    pub name: String,
    /// Its first container.
    pub container: String,
    /// Whether it runs, so that a hook can be run in it.
    pub running: bool,
    /// Whether it was given a node; before, it uses nothing.
    pub scheduled: bool,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Since when it should be gone: it is being deleted, and its time is over.
    pub overdue: Option<Timestamp>,
    /// Its node, where that was read.
    pub node: Option<NodeSeen>,
}

/// A node, as far as the pods on it depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Why it is not ready, in its own words.
    pub trouble: Option<String>,
}

/// A VolumeSnapshot of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The VolumeSnapshot.
    pub name: String,
    /// Its resource version: as of when all this is.
    pub version: Option<String>,
    /// The cut.
    pub point: Point,
    /// When the storage made it; the application may go on from then.
    pub created: Option<Timestamp>,
    /// Whether it can be restored from.
    pub ready: bool,
    /// What the snapshotter says is wrong.
    pub error: Option<String>,
    /// Its VolumeSnapshotContent.
    pub content: Option<String>,
    /// Whether the driver was asked for it and has not answered for good.
    pub being_created: bool,
    /// What its content says; a list of changes can be asked for only with this.
    pub facts: Option<SnapshotFacts>,
    /// Whether its content stays when it is deleted.
    pub retained: bool,
    /// How far its time is from any that is possible, where that is more than a minute.
    pub clock_off: Option<SignedDuration>,
    /// Whether a claim of another volume mode may be made from it.
    pub mode_change_allowed: bool,
    /// Bytes that a claim made from it needs.
    pub restore_bytes: Option<u64>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A claim that was made from a cut, for the source mover to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceClaim {
    /// Its name.
    pub name: String,
    /// The cut that it was made from.
    pub point: Point,
    /// Its storage class.
    pub storage_class: Option<String>,
    /// Whether it has a volume.
    pub bound: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A mover's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoverPod {
    /// Its name.
    pub name: String,
    /// Its UID; another UID is another mover.
    pub uid: String,
    /// Its address.
    pub ip: Option<String>,
    /// The claim whose volume is its device.
    pub device_claim: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Since when it should be gone: it is being deleted, and its time is over.
    pub overdue: Option<Timestamp>,
    /// Its node, where that was read.
    pub node: Option<NodeSeen>,
    /// Whether its mover has ended, well or badly, whatever runs beside it.
    pub ended: bool,
    /// Why it does not start, when Kubernetes says so.
    pub problem: Option<String>,
}

impl Observed {
    /// Which rule is broken; none in the product.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.sites
            .first()
            .map_or(Rules::default(), |site| site.rules)
    }

    /// The view of the site called `name`.
    #[must_use]
    pub fn site(&self, name: &SiteName) -> Option<&SiteView> {
        self.sites.iter().find(|site| &site.name == name)
    }

    /// The copy that a site's mover is to write to.
    #[must_use]
    pub fn replica(&self, name: &SiteName) -> Replica {
        let claim = self.site(name).and_then(|site| site.replica_claim.as_ref());
        let status = self.pair.status.as_ref();
        let mut known = status.iter().flat_map(|status| &status.sites);
        Replica {
            volume: claim.and_then(|claim| claim.volume.as_ref()?.id()),
            doubted: known
                .find(|site| site.name == name.as_str())
                .and_then(|site| site.doubted.clone()),
        }
    }

    /// The other site than `name`.
    #[must_use]
    pub fn other(&self, name: &SiteName) -> Option<&SiteView> {
        self.sites.iter().find(|site| &site.name != name)
    }

    /// The site that is primary now: what the data says; where that is not known, the site whose label
    /// the application's volume has (K-13); and for a new pair what the spec says.
    #[must_use]
    pub fn primary_site(&self) -> Option<SiteName> {
        let status = self.pair.status.as_ref();
        if let Some(primary) = status.and_then(|status| status.primary.as_ref()) {
            return primary.parse().ok();
        }
        self.labelled_primary()
            .or_else(|| self.pair.spec.primary.parse().ok())
    }

    /// The one site whose labelled volume is bound to the application's claim, or reserved for it; where no
    /// volume says so, the other one than the one site whose volume is its own replica claim's.
    fn labelled_primary(&self) -> Option<SiteName> {
        let only = |of: &dyn Fn(&SiteView) -> String| {
            let for_claim = |site: &&SiteView| site.labelled_for == Some(of(site));
            let mut all = self.sites.iter().filter(for_claim);
            all.next().filter(|_| all.next().is_none())
        };
        let leading = only(&|_| self.pair.spec.claim_name.clone());
        let follows = || only(&|site| names::replica_claim(self.name(), site.name.as_str()));
        let leading = leading.or_else(|| self.other(&follows()?.name));
        leading.map(|site| site.name.clone())
    }

    /// The claim that the application mounts, where it belongs: at the primary.
    #[must_use]
    pub fn app_claim(&self) -> Option<&Claim> {
        self.site(&self.primary_site()?)?.app_claim.as_ref()
    }

    /// The pair's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.pair.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether the pair is being deleted.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.pair.metadata.deletion_timestamp.is_some()
    }
}

impl SiteView {
    /// A site at which there is nothing.
    #[must_use]
    pub fn empty(name: SiteName) -> SiteView {
        SiteView {
            name,
            rules: Default::default(),
            known: false,
            storage_class: None,
            snapshot_classes: SnapshotClasses::default(),
            immediate_classes: BTreeSet::new(),
            snapshots_served: false,
            app_claim: None,
            app_users: Vec::new(),
            application: None,
            replica_claim: None,
            kept_replica: None,
            state_claim: None,
            noted: None,
            labelled_volume: None,
            app_volume_site: None,
            labelled_for: None,
            volumes: Vec::new(),
            attached: None,
            replica_users: Vec::new(),
            cuts: Vec::new(),
            late_cuts: Vec::new(),
            source_claims: Vec::new(),
            pod: None,
            mover: None,
            remembered: None,
        }
    }

    /// The snapshot of the cut `point` that is not being deleted.
    #[must_use]
    pub fn cut(&self, point: Point) -> Option<&Cut> {
        self.cuts
            .iter()
            .find(|cut| cut.point == point && !cut.deleting)
    }

    /// The claim that was made from the cut `point` and is not being deleted.
    #[must_use]
    pub fn source_claim(&self, point: Point) -> Option<&SourceClaim> {
        self.source_claims
            .iter()
            .find(|claim| claim.point == point && !claim.deleting)
    }

    /// What the superblock says: by the mover that runs, else by the last one that did. A mover that
    /// finds none says that there is none; one that can't read it says nothing.
    #[must_use]
    pub fn superblock(&self) -> Option<SuperblockSeen> {
        let read = |mover: &&MoverStatus| mover.superblock_error.is_none();
        let Some(mover) = self.live().filter(read) else {
            return self.remembered;
        };
        mover.superblock.as_ref().map(|report| SuperblockSeen {
            role: report.role,
            epoch: report.epoch,
            committed: report.committed,
        })
    }

    /// The mover's report, if its pod is up and not on its way out.
    #[must_use]
    pub fn live(&self) -> Option<&MoverStatus> {
        let up = self
            .pod
            .as_ref()
            .is_some_and(|pod| !pod.deleting && !pod.ended);
        self.mover.as_ref().filter(|_| up)
    }
}
