//! What of a pair that is deleted may go: never the only copy, nor the promoted one, in whatever state the
//! pair is deleted (K-14). Pure.

use std::collections::BTreeSet;

use api::ReplicationPair;
use api::v1alpha1::{DeletionPolicy, SiteStatus};
use protocol::units::VolumeId;

/// What may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MayGo {
    /// The application's volume gets its own reclaim policy back.
    pub app_policy: bool,
    /// The sites whose replica claim is deleted, after its volume has its own policy back.
    pub replicas: BTreeSet<String>,
}

/// What may go of `pair`, whose application's claim is bound to `app`.
///
/// Only while that claim has the volume that the primary is recorded with is anything of the pair's second
/// to it. A site with writes that nobody else has is kept, and so is everything while nothing is recorded.
#[must_use]
pub fn may_go(pair: &ReplicationPair, app: Option<&VolumeId>) -> MayGo {
    let status = pair.status.as_ref();
    let sites = status.map_or(&[][..], |status| &status.sites);
    let primary = status.and_then(|status| status.primary.as_ref());
    let is_primary = |site: &SiteStatus| Some(&site.name) == primary;
    let recorded = sites.iter().find(|site| is_primary(site));
    let recorded = recorded.and_then(SiteStatus::volume_id);
    if recorded.is_none() || recorded.as_ref() != app {
        return MayGo::default();
    }
    let second =
        |site: &&SiteStatus| !is_primary(site) && !site.diverged && site.volume_id() != recorded;
    let delete = pair.spec.deletion_policy == DeletionPolicy::Delete;
    let replicas = sites.iter().filter(second).filter(|_| delete);
    MayGo {
        app_policy: true,
        replicas: replicas.map(|site| site.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::samples::at_rest;

    fn volume(pair: &ReplicationPair, site: &str) -> VolumeId {
        let sites = &pair.status.as_ref().unwrap().sites;
        let found = sites.iter().find(|s| s.name == site);
        found.unwrap().volume_id().unwrap()
    }

    /// K-14, F9 of the review: in every state in which the application's claim is not on the recorded
    /// primary's volume everything is kept, and the primary's never goes.
    #[test]
    fn k_14_only_what_is_second_to_the_applications_volume_goes() {
        let mut pair = at_rest().pair;
        pair.spec.deletion_policy = DeletionPolicy::Delete;
        let (east, west) = (volume(&pair, "east"), volume(&pair, "west"));
        let empty = VolumeId {
            driver: "d".into(),
            handle: "empty".into(),
        };
        let names = |may: &MayGo| -> Vec<String> { may.replicas.iter().cloned().collect() };
        for primary in ["east", "west"] {
            for diverged in [false, true] {
                for app in [None, Some(&east), Some(&west), Some(&empty)] {
                    let status = pair.status.as_mut().unwrap();
                    status.primary = Some(primary.into());
                    let other = if primary == "east" { "west" } else { "east" };
                    for site in &mut status.sites {
                        site.diverged = diverged && site.name == other;
                    }
                    let home = app == Some(if primary == "east" { &east } else { &west });
                    let may = may_go(&pair, app);
                    assert_eq!(may.app_policy, home);
                    let goes = home && !diverged;
                    assert_eq!(names(&may), if goes { vec![other] } else { vec![] });
                }
            }
        }
        pair.spec.deletion_policy = DeletionPolicy::Retain;
        pair.status.as_mut().unwrap().primary = Some("west".into());
        assert!(may_go(&pair, Some(&west)).replicas.is_empty());
        pair.status = None;
        assert_eq!(may_go(&pair, Some(&east)), MayGo::default());
    }
}
