//! What every pair has: a state claim at each site, and the standby's volume.

use jiff::{SignedDuration, Timestamp};

use crate::decide::{DecisionBuilder, movers, switch};
use crate::mutations::Rule;
use crate::observe::{PodUse, SiteView, SuperblockSeen};
use crate::site::{ClaimDesired, MoverDesired, ReplicaDesired, VolumesDesired, bind};
use crate::validate::{Settings, pinned};
use api::names;
use api::v1alpha1::{
    PointStatus, PromotedStatus, SiteRole, SiteStatus, SuperblockStatus, SwitchStatus, SwitchStep,
};
use protocol::units::Role;

/// The smallest state claim: room for the superblock, digests, and the staging of a small volume.
const STATE_BYTES_MIN: u64 = 512 << 20;
/// A state claim is this part of its volume when the spec does not say: one tenth.
const STATE_PART: u64 = 10;

/// A claim that is still gone is looked after again after this.
const RESTORE_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Asks for what is missing, and reports what each site has.
pub fn ensure(d: &mut DecisionBuilder<'_>) {
    let moving = d.status.switch.as_ref().is_some_and(switch::rebinding);
    if let (Some(settings), false) = (d.validated.usable(), moving) {
        claims(d, settings);
    }
    if !moving {
        adopt(d);
        report_sites(d);
        retain(d);
        restore(d);
    }
    note_promotion(d);
}

/// Consent to another volume behind the application's claim counts once (K-1).
fn adopt(d: &mut DecisionBuilder<'_>) {
    if let Some(consent) = pinned::adopts(d.observed) {
        d.status.adopted_by.clone_from(&consent.metadata.uid);
    }
}

/// A claim that somebody has deleted: the application's volume is reserved for it, so that whoever
/// creates it again gets what it was bound to, never an empty volume; the standby's is made again, for
/// the same volume (K-1).
fn restore(d: &mut DecisionBuilder<'_>) {
    if d.observed.rules().breaks(Rule::VolumeNotReserved) {
        return;
    }
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return;
    };
    // A namespace that is deleted takes all claims along: then nothing is kept for a claim that will never
    // come, and the storage is not left behind. Nobody deletes the state claims but with it.
    let goes = |site: &SiteView| {
        let state = site.state_claim.as_ref();
        state.is_none_or(|claim| claim.deleting)
    };
    let gone = primary.app_claim.is_none() || standby.replica_claim.is_none();
    if !gone || goes(primary) || goes(standby) {
        d.timeline.restored = None;
        return;
    }
    let idle = d
        .status
        .switch
        .as_ref()
        .is_none_or(|s| !switch::unfinished(s));
    let recorded = |site: &SiteView| {
        let mut sites = d.status.sites.iter();
        sites.find(|s| s.name == site.name.as_str())?.volume_id()
    };
    let (one, other) = (recorded(primary), recorded(standby));
    if other.is_some()
        && standby.replica_claim.is_none()
        && let Some(volumes) = &mut d.at(&standby.name).volumes
    {
        volumes.replica = None;
    }
    if primary.superblock().is_none() {
        // Whether it is primary is read first: the application's claim is bound to no other volume.
        d.want(&primary.name, MoverDesired::Probe);
        movers::ready(d, primary);
        return;
    }
    if let (true, Some(one), Some(other)) = (idle, one, other) {
        let now = d.observed.now;
        let lately = |at: Timestamp| now.duration_since(at) < RESTORE_AGAIN_AFTER;
        // What was refused has its own pauses, and is said as long as it is decided.
        let mut failing = d.status.failing.iter();
        let action = bind(&d.observed.pair.spec.claim_name);
        let refused = failing.any(|failing| failing.action == action);
        if !refused && d.timeline.restored.is_some_and(lately) {
            return;
        }
        d.timeline.restored = Some(now);
        d.at(&primary.name).claim = Some(ClaimDesired::Reserved(one));
        d.at(&standby.name).claim = Some(ClaimDesired::Replica(other));
    }
}

/// Both volumes are retained and labelled from the first reconcile that sees them (K-2). A claim that
/// belongs to another pair is that pair's.
fn retain(d: &mut DecisionBuilder<'_>) {
    let problem = d.validated.problem();
    if problem.is_none_or(|problem| !problem.bars_forced_promotion()) {
        for site in &d.observed.sites {
            // A foreign volume is not the pair's to keep and to label.
            d.at(&site.name).retain = !pinned::replaced(d.observed, site);
        }
    }
}

fn claims(d: &mut DecisionBuilder<'_>, settings: &Settings) {
    let Some(app) = d.app_claim().filter(|claim| claim.volume.is_some()) else {
        return;
    };
    let part = app.capacity_bytes / STATE_PART;
    let state_bytes = settings
        .state_volume_bytes
        .unwrap_or_else(|| part.max(STATE_BYTES_MIN).next_multiple_of(1 << 20));
    // The standby grows first; the source mover's device is compared again before anything is
    // shipped.
    let replica = ReplicaDesired {
        bytes: app.capacity_bytes.max(app.requested_bytes),
        bytes_min: app.capacity_bytes,
    };
    let standby = d.standby().map(|site| site.name.clone());
    for site in &d.observed.sites {
        d.at(&site.name).volumes = Some(VolumesDesired {
            state_bytes,
            // Only as far as was asked for: not every class lets its claims grow.
            state_bytes_min: settings.state_volume_bytes.unwrap_or(0),
            replica: Some(replica).filter(|_| standby.as_ref() == Some(&site.name)),
        });
    }
}

/// Remembers what the superblocks say while movers report it: what may be done at a site depends on
/// it, also while no mover runs there.
pub fn remember(d: &mut DecisionBuilder<'_>) {
    let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for view in &d.observed.sites {
        let known = d.status.sites.iter_mut();
        let Some(site) = known
            .into_iter()
            .find(|site| site.name == view.name.as_str())
        else {
            continue;
        };
        let seen = view.superblock();
        if seen == SuperblockSeen::remembered(site) {
            continue;
        }
        site.superblock = seen.map(|seen| SuperblockStatus {
            role: match seen.role {
                Role::Primary => SiteRole::Primary,
                Role::Standby => SiteRole::Standby,
            },
            epoch: int(seen.epoch.0),
            committed: seen.committed.map(|point| PointStatus::new(point, None)),
        });
    }
}

fn report_sites(d: &mut DecisionBuilder<'_>) {
    let reports: Vec<SiteStatus> = d
        .observed
        .sites
        .iter()
        .map(|site| report(d, site))
        .collect();
    for (view, now) in d.observed.sites.iter().zip(&reports) {
        let before = d.status.sites.iter().find(|site| site.name == now.name);
        let known = before.and_then(|before| before.doubted.as_ref());
        if let (Some(pod), true) = (&view.pod, now.doubted.is_some() && known.is_none()) {
            // It was started before, and takes the copy for what it was.
            d.at(&view.name).replace_mover = Some(pod.uid.clone());
        }
    }
    d.status.sites = reports;
}

/// The committed point of a copy that somebody else was seen to use, until a newer one is committed: the
/// mover compares such a copy completely before it counts again (D-3). A salvage only reads.
fn doubted(site: &SiteView, before: &SiteStatus) -> Option<String> {
    let committed = before.superblock.as_ref()?.committed.as_ref()?;
    let salvages = |user: &PodUse| {
        let part = user.labels.get(names::PART_LABEL).map(String::as_str);
        part == Some(names::SALVAGE_PART)
    };
    let used = site.replica_users.iter().any(|user| !salvages(user));
    let known = before.doubted.as_ref() == Some(&committed.label);
    (used || known).then(|| committed.label.clone())
}

/// Remembers with which snapshots a site is promoted: from then on the application may write what any other
/// would hold.
fn note_promotion(d: &mut DecisionBuilder<'_>) {
    let promotes = |switch: &&SwitchStatus| switch.step == SwitchStep::Promote;
    let Some(switch) = d.status.switch.as_ref().filter(promotes) else {
        return;
    };
    let mut sites = d.observed.sites.iter();
    let mut known = d.status.sites.iter_mut();
    if let Some(view) = sites.find(|site| site.name.as_str() == switch.to)
        && let Some(site) = known.find(|site| site.name == switch.to)
    {
        let cut = view.cuts.iter().filter(|cut| cut.created.is_some());
        site.promoted = Some(PromotedStatus {
            epoch: switch.epoch,
            snapshots: cut.map(|cut| cut.point.to_string()).collect(),
        });
    }
}

fn report(d: &DecisionBuilder<'_>, site: &SiteView) -> SiteStatus {
    let primary = d.status.primary.as_deref() == Some(site.name.as_str());
    let before = d.status.sites.iter().find(|s| s.name == site.name.as_str());
    let claim = if primary {
        site.app_claim.as_ref()
    } else {
        site.replica_claim.as_ref()
    };
    let volume = claim.and_then(|claim| claim.volume.as_ref());
    // Another volume than the pair's is not what its data is in (K-1).
    let replaced = pinned::replaced(d.observed, site);
    let own = !replaced || primary && pinned::adopts(d.observed).is_some();
    // A status that was wiped learns it by the labels, where the site has been the pair's before: what an
    // earlier pair of the name has left is nobody's to take over.
    let known = site.superblock().is_some();
    let labelled = site.labelled_volume.as_ref().filter(|_| known);
    let volume = volume.filter(|_| own).or(labelled);
    // A claim that is gone for a moment does not make its volume unknown.
    let kept = |new: Option<String>, old: fn(&SiteStatus) -> &Option<String>| {
        new.or_else(|| before.and_then(|b| old(b).clone()))
    };
    SiteStatus {
        name: site.name.to_string(),
        role: if primary { "Primary" } else { "Standby" }.into(),
        claim: claim.map(|c| c.name.clone()),
        volume: kept(volume.map(|v| v.name.clone()), |s| &s.volume),
        driver: kept(volume.and_then(|v| v.driver.clone()), |s| &s.driver),
        handle: kept(volume.and_then(|v| v.handle.clone()), |s| &s.handle),
        state_claim: site
            .state_claim
            .as_ref()
            .map(|_| names::state_claim(d.observed.name(), site.name.as_str())),
        snapshots: site
            .cuts
            .iter()
            .filter(|c| !c.deleting)
            .map(|c| c.name.clone())
            .collect(),
        promoted: before.and_then(|b| b.promoted.clone()),
        diverged: before.is_some_and(|b| b.diverged),
        doubted: before
            .filter(|_| !primary)
            .and_then(|before| doubted(site, before)),
        superblock: before.and_then(|b| b.superblock.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::samples::at_rest;
    use protocol::units::Point;

    /// D-3: a foreign pod that is seen on a copy is remembered until a newer point is committed there.
    #[test]
    fn a_copy_that_somebody_else_uses_is_doubted_until_the_next_commit() {
        let mut site = at_rest().sites[1].clone();
        let at = |seq| SiteStatus {
            superblock: Some(SuperblockStatus {
                role: SiteRole::Standby,
                epoch: 1,
                committed: Some(PointStatus::new(Point::new(1, seq), None)),
            }),
            ..SiteStatus::default()
        };
        assert_eq!(doubted(&site, &at(7)), None);
        let user = |part: &str| PodUse {
            name: "stray".into(),
            container: "sh".into(),
            running: true,
            scheduled: true,
            labels: [(names::PART_LABEL.to_string(), part.to_string())].into(),
            overdue: None,
            node: None,
        };
        site.replica_users = vec![user(names::SALVAGE_PART)];
        assert_eq!(doubted(&site, &at(7)), None, "it only reads");
        site.replica_users.push(user("job"));
        assert_eq!(
            doubted(&site, &SiteStatus::default()),
            None,
            "there is no copy"
        );
        let seen = doubted(&site, &at(7));
        assert_eq!(seen.as_deref(), Some("1.7"));
        site.replica_users.clear();
        let before = |seq| SiteStatus {
            doubted: seen.clone(),
            ..at(seq)
        };
        assert_eq!(doubted(&site, &before(7)), seen);
        assert_eq!(doubted(&site, &before(8)), None);
    }

    /// What was cut when a site was promoted counts, whatever came later does not; and a promotion that was
    /// withdrawn changes nothing.
    #[test]
    fn a_snapshot_of_an_older_epoch_that_came_after_the_promotion_is_late() {
        let promoted = PromotedStatus {
            epoch: 2,
            snapshots: vec!["1.7".into()],
        };
        assert!(!promoted.is_late(Point::new(1, 7), Some(2)));
        assert!(promoted.is_late(Point::new(1, 8), Some(2)));
        assert!(promoted.is_late(Point::new(1, 8), Some(3)));
        assert!(!promoted.is_late(Point::new(2, 9), Some(2)));
        assert!(!promoted.is_late(Point::new(1, 8), Some(1)));
        assert!(!promoted.is_late(Point::new(1, 8), None));
    }
}
