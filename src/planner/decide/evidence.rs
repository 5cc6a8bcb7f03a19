//! What movers and pods prove: which cut a standby holds, and which mover stays.

use crate::observe::{MoverPod, SiteView};
use protocol::units::Point;

/// Whether the standby's volume holds `point` completely.
#[must_use]
pub fn applied(standby: &SiteView, point: Point) -> bool {
    let report = standby.live().and_then(|mover| mover.superblock.as_ref());
    report.is_some_and(|report| report.applied == Some(point) || report.committed == Some(point))
}

/// The site's mover, unless it is on its way out.
#[must_use]
pub fn staying(site: &SiteView) -> Option<&MoverPod> {
    site.pod.as_ref().filter(|pod| !pod.deleting)
}
