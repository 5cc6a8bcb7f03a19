//! What a site is to become: the message that a pair's decision sends down to each of its sites.
//!
//! It is complete and idempotent: a site that gets it twice does the same as one that gets it once.

use std::collections::BTreeSet;

use protocol::units::{Epoch, Point, Role, SiteName, VolumeId};
use wire::control::Request;

use crate::observe::HookTarget;
use crate::site::{ProbePlan, ShipPlan, VerifyPlan};

/// What a site is to become.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteDesired {
    /// The site.
    pub site: SiteName,
    /// The epoch in which this was decided; a site that knows a higher one refuses it. `None` while
    /// the pair's identity is still being read from the sites.
    pub epoch: Option<Epoch>,
    /// The site's role in that epoch.
    pub role: Role,
    /// The claims that it has; `None` to leave them as they are.
    pub volumes: Option<VolumesDesired>,
    /// Which mover runs.
    pub mover: MoverDesired,
    /// The mover's pod with this UID is replaced by another.
    pub replace_mover: Option<String>,
    /// What the mover is asked for, in this order.
    pub tasks: Vec<MoverTask>,
    /// A cut that is made.
    pub cut: Option<CutDesired>,
    /// Which cuts stay.
    pub keep_cuts: Keep,
    /// Which claims made from cuts stay; the one that the mover reads always does.
    pub keep_source_claims: Keep,
    /// A cut that is no image of what it names, and goes whatever is kept.
    pub discard: Option<Point>,
    /// What becomes of the hooks.
    pub hooks: Option<HookStep>,
    /// Whether the application runs here.
    pub application: ApplicationDesired,
    /// Which claim is bound to the site's volume; `None` to leave the claims as they are.
    pub claim: Option<ClaimDesired>,
    /// Whether every object of the site's volume is retained and has the pair's labels.
    pub retain: bool,
    /// The change of the role that is noted with the state claim.
    pub note: Note,
}

/// What is noted with a state claim, so that a lost status does not lose it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Note {
    /// Whatever is.
    #[default]
    AsItIs,
    /// Nothing: no role is being moved.
    Nothing,
    /// This change of the role, as the status says it.
    RoleChange(String),
}

/// The claims of a site that Ferry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumesDesired {
    /// Size of a state volume that is made, in bytes.
    pub state_bytes: u64,
    /// A state volume that is there grows to this; not every class lets its claims grow.
    pub state_bytes_min: u64,
    /// The replica, at a standby.
    pub replica: Option<ReplicaDesired>,
}

/// The volume of a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDesired {
    /// Size of one that is made, in bytes.
    pub bytes: u64,
    /// One that is there grows to this.
    pub bytes_min: u64,
}

/// Which mover runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoverDesired {
    /// None.
    Off,
    /// Whatever runs stays, and none is started.
    Leave,
    /// Any: only the superblock is of interest. One that runs stays as it is.
    Probe,
    /// One that reads this cut.
    Reader(Point),
    /// One that writes the standby's volume.
    Writer,
}

/// One thing that a mover is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum MoverTask {
    /// A request of the control protocol.
    Request(Request),
    /// The bandwidth limit that is in force now, in bytes a second; `None` for no limit.
    Pace(Option<u64>),
    /// Find out whether anything has changed. The driver is asked, not the mover.
    Probe(Box<ProbePlan>),
    /// Ship a cut.
    Ship(Box<ShipPlan>),
    /// Compare a slice.
    Verify(Box<VerifyPlan>),
}

/// A cut that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutDesired {
    /// The point.
    pub point: Point,
    /// The snapshot class.
    pub class: Option<String>,
}

/// Which points stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    Everything,
    /// These.
    Only(BTreeSet<Point>),
}

impl Keep {
    /// Whether `point` stays.
    #[must_use]
    pub fn has(&self, point: Point) -> bool {
        match self {
            Keep::Everything => true,
            Keep::Only(points) => points.contains(&point),
        }
    }
}

/// What becomes of the hooks round a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookStep {
    /// The pods are found.
    Select,
    /// `pre` is run in these.
    Hold(Vec<HookTarget>),
    /// `post` is run in these.
    Release(Vec<HookTarget>),
}

/// Whether the application runs at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationDesired {
    /// As its people want it.
    AsItIs,
    /// Not.
    Stop,
    /// With at least so many replicas.
    Run(i64),
}

/// Which claim is bound to a site's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimDesired {
    /// The claim that the application mounts: at the primary.
    App(VolumeId),
    /// The claim by which Ferry holds the volume: at the standby.
    Replica(VolumeId),
    /// The claim that the application mounts, which is gone: the volume is reserved for it.
    Reserved(VolumeId),
    /// None: the application's claim is parked, so that no pod can start on the volume.
    Parked(VolumeId),
}

impl SiteDesired {
    /// Nothing runs and nothing is made or deleted.
    #[must_use]
    pub fn idle(site: SiteName) -> SiteDesired {
        SiteDesired {
            site,
            epoch: None,
            role: Role::Standby,
            volumes: None,
            mover: MoverDesired::Off,
            replace_mover: None,
            tasks: Vec::new(),
            cut: None,
            keep_cuts: Keep::Everything,
            keep_source_claims: Keep::Everything,
            discard: None,
            hooks: None,
            application: ApplicationDesired::AsItIs,
            claim: None,
            retain: false,
            note: Note::AsItIs,
        }
    }
}
