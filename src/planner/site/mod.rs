//! One site: what it is to become, and how it gets there. Pure.
//!
//! `decide` says for each site which point, which role, and when ([`SiteDesired`]); this module says
//! how, from what is there ([`crate::observe::SiteView`]). Whatever is wrong above, three statements
//! hold for what leaves this module, because nothing else makes the actions of a site:
//!
//! 1. The application's claim is bound to the site's volume only while the site's superblock says
//!    that it is primary.
//! 2. A mover is given the site's volume to write only while the superblock does not say that it is
//!    primary. Before the first report nobody knows; the mover then reads it before it opens the volume.
//! 3. The snapshot of the point that the superblock calls committed is not deleted.
//!
//! And nothing at all is done for an epoch below the superblock's.

mod action;
mod decide;
mod describe;
mod desired;
mod drops;
mod local;
mod movers;
mod standing;
#[cfg(test)]
mod tests;
mod volumes;

pub use action::{Action, Device, ProbePlan, ShipPlan, SnapshotRequest, VerifyPlan};
pub use decide::{Refused, SiteDecision, decide};
pub(crate) use describe::{bind, start_mover};
pub use desired::{
    ApplicationDesired, ClaimDesired, CutDesired, HookStep, Keep, MoverDesired, MoverTask, Note,
    ReplicaDesired, SiteDesired, VolumesDesired,
};
pub(crate) use drops::is_settled;
pub use local::{Local, Site, rebinding};
pub(crate) use movers::permitted;
pub use standing::Standing;
pub(crate) use standing::place;
