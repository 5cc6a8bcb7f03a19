//! What can be done: each action is idempotent and small.

use crate::observe::HookTarget;
use crate::observe::SnapshotFacts;
use crate::rebind::DesiredBinding;
use protocol::units::{Epoch, Extent, Point, SiteName};
use wire::control::{BlockImage, Request, Transfer};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the claim of a site's superblock, staging and digests.
    MakeStateClaim {
        /// The site.
        site: SiteName,
        /// Its storage class.
        class: Option<String>,
        /// Its size.
        bytes: u64,
    },
    /// Make the claim that the standby's volume is provisioned for.
    MakeReplicaClaim {
        /// The site.
        site: SiteName,
        /// Its storage class.
        class: Option<String>,
        /// Its size.
        bytes: u64,
    },
    /// Make a claim that an earlier pair has left the pair's replica.
    TakeOver {
        /// The site.
        site: SiteName,
        /// The claim.
        claim: String,
        /// Its UID: another claim of the name is left alone.
        uid: String,
    },
    /// Set a PersistentVolume's reclaim policy to Retain, and label it as the pair's.
    Retain {
        /// The site.
        site: SiteName,
        /// The PersistentVolume.
        volume: String,
        /// The policy that it had, when that was another one.
        before: Option<String>,
    },
    /// Note the change of the role with a state claim.
    Note {
        /// The state claim.
        claim: String,
        /// The change; `None` to remove the note.
        text: Option<String>,
    },
    /// Ask for a larger claim.
    Grow {
        /// The claim.
        claim: String,
        /// The new size.
        bytes: u64,
    },
    /// Make a VolumeSnapshot.
    Cut(SnapshotRequest),
    /// Allow a claim of mode Block to be made from a snapshot of a file-system volume.
    AllowModeChange {
        /// The VolumeSnapshotContent.
        content: String,
    },
    /// Have a VolumeSnapshotContent, and the storage's snapshot, go with its VolumeSnapshot.
    DropWithSnapshot {
        /// The VolumeSnapshotContent.
        content: String,
    },
    /// Make a raw block claim from a cut.
    MakeSourceClaim {
        /// The site.
        site: SiteName,
        /// The cut.
        point: Point,
        /// Storage class: of the cut's own driver.
        class: Option<String>,
        /// Its size.
        bytes: u64,
    },
    /// Start a mover's pod, with its certificate.
    StartMover {
        /// The site.
        site: SiteName,
        /// What its device is.
        device: Device,
    },
    /// Delete a mover's pod.
    StopMover {
        /// The site.
        site: SiteName,
        /// The pod's UID: a newer pod is left alone.
        uid: String,
    },
    /// Delete a VolumeSnapshot.
    DropCut {
        /// Its name.
        name: String,
        /// Its resource version when it was looked at: one that has changed since, because a driver
        /// begins to make it, is left alone.
        version: Option<String>,
    },
    /// Delete a claim that was made from a cut.
    DropSourceClaim {
        /// Its name.
        name: String,
    },
    /// Send a request to a mover.
    Command {
        /// Its site.
        site: SiteName,
        /// The request.
        request: Request,
    },
    /// Tell the source the bandwidth limit that is in force now.
    Pace {
        /// Its site.
        site: SiteName,
        /// Bytes a second; `None` for no limit.
        bytes_per_second: Option<u64>,
    },
    /// Ask the driver whether anything has changed since the committed cut.
    Probe(Box<ProbePlan>),
    /// Find the best list of changes, request the source to ship, and feed it the list.
    Ship(Box<ShipPlan>),
    /// Request the source to compare a slice of the committed image with the target's.
    Verify(Box<VerifyPlan>),
    /// Find the pods that hooks have to run in.
    SelectPods,
    /// Run the `pre` hooks.
    Hold(Vec<HookTarget>),
    /// Run the `post` hooks.
    Release(Vec<HookTarget>),
    /// Set the application's replicas.
    Scale {
        /// How many.
        replicas: i64,
        /// The version that its scale was read at: one that somebody has scaled or changed since is looked
        /// at again first.
        version: Option<String>,
    },
    /// Bind claims to volumes as desired, as far as that goes without waiting.
    Rebind(Box<DesiredBinding>),
}

/// A cut to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The site.
    pub site: SiteName,
    /// The cut.
    pub point: Point,
    /// The claim that is cut.
    pub claim: String,
    /// The snapshot class.
    pub class: Option<String>,
}

/// What a mover's device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// None: only the superblock is of interest.
    None,
    /// The standby's volume, writable.
    Replica(String),
    /// A claim made from a cut, read only.
    Cut(String),
}

impl Device {
    /// The claim, if there is one.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        match self {
            Device::None => None,
            Device::Replica(claim) | Device::Cut(claim) => Some(claim),
        }
    }
}

/// Everything that asking whether anything has changed takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// The new cut.
    pub cycle: Point,
    /// Its VolumeSnapshot.
    pub snapshot: String,
    /// What is known of it.
    pub facts: SnapshotFacts,
    /// What is known of the committed cut's snapshot.
    pub base: SnapshotFacts,
    /// Size of the volume in both, in bytes.
    pub bytes: u64,
}

/// Everything that ordering a cycle's shipment takes.
#[derive(Clone, Debug, PartialEq)]
pub struct ShipPlan {
    /// The cut.
    pub cycle: Point,
    /// The source's site.
    pub source: SiteName,
    /// The target's site.
    pub target: SiteName,
    /// The VolumeSnapshot of the cut.
    pub snapshot: String,
    /// What is known of it.
    pub facts: Option<SnapshotFacts>,
    /// The cut that both sides hold, for a delta; else why there is none.
    pub base: Result<(Point, SnapshotFacts), String>,
    /// Whether a list of what is allocated is of use when there is no delta, or why not.
    pub allocated: Result<(), String>,
    /// Size of the source's device in bytes.
    pub capacity: u64,
    /// What the device has to be where it is of a first cut.
    pub image: Option<BlockImage>,
    /// How to send.
    pub transfer: Transfer,
    /// Consent to overwrite a diverged target.
    pub consent: Option<Epoch>,
}

/// Everything that ordering a slice of a verification takes.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyPlan {
    /// The committed cut.
    pub cycle: Point,
    /// The source's site.
    pub source: SiteName,
    /// The target's site.
    pub target: SiteName,
    /// What is compared.
    pub range: Extent,
    /// The most bytes a second that each side reads.
    pub bytes_per_second: u64,
    /// How to send what differs.
    pub transfer: Transfer,
}
