//! A cycle, from its tick to its commit. One at a time; each phase is decided from what is there.

use jiff::SignedDuration;

use crate::decide::draft::after;
use crate::decide::{Device, Draft, admission, commit, cut, schedule, ship};
use crate::{switch, verify};
use api::v1alpha1::{CyclePhase, CycleStatus, PointStatus};
use protocol::units::Point;

/// A target mover stays when the next cycle is at most this far away: starting a pod for it would
/// cost more than keeping one.
const LINGER_MAX: SignedDuration = SignedDuration::from_mins(2);

/// How often a pair that waits for its turn looks for one.
const TURN: SignedDuration = SignedDuration::from_secs(2);

/// Goes on with the running cycle, or begins one that is due.
pub fn run(d: &mut Draft<'_>) {
    let epoch = d.epoch();
    if d.cycle().is_some_and(|c| c.point.point().epoch != epoch) {
        // Its primary was put back to an older copy of itself, and the pair to an older epoch: nobody
        // is left who can ship it.
        d.status.cycle = None;
    }
    if d.cycle().is_none() {
        verify::note(d);
    }
    if d.cycle().is_none() && (verify::holds(d) || !begin_if_due(d)) {
        verify::run(d);
        linger(d);
        return;
    }
    let Some(cycle) = d.cycle().cloned() else {
        return;
    };
    let point = cycle.point.point();
    d.line = d.line.of(point);
    d.line.began.get_or_insert(d.o.now);
    for site in &d.o.sites {
        d.keep.insert((site.name.clone(), point));
    }
    match &cycle.phase {
        CyclePhase::Quiescing => cut::hold(d, point),
        CyclePhase::Cutting => cut::cut(d, point),
        CyclePhase::Starting => ship::start(d, point),
        CyclePhase::Shipping | CyclePhase::Applying => ship::watch(d, point),
        CyclePhase::Committing => commit::commit(d, point),
        // Nothing comes here with it: the pass holds before.
        CyclePhase::Unknown(_) => {}
    }
}

fn begin_if_due(d: &mut Draft<'_>) -> bool {
    if admission::barred(d).is_some() {
        return false;
    }
    let due = if d.cycle_now && d.status.last_failure.is_none() {
        d.o.now
    } else {
        schedule::next_cycle(d)
    };
    if due > d.o.now {
        d.visit_at(due);
        in_sync_until(d);
        return false;
    }
    let moving = d.status.switch.as_ref().is_some_and(switch::unfinished);
    if !d.o.slot && !moving {
        d.wait("its turn: as many pairs as may be are at work".into());
        d.visit_in(TURN);
        return false;
    }
    begin(d);
    true
}

/// Begins a cycle with a number that was never used.
fn begin(d: &mut Draft<'_>) {
    let point = Point {
        epoch: d.epoch(),
        seq: d.highest_seq().next(),
    };
    let phase = if d.set.hooks.is_empty() {
        CyclePhase::Cutting
    } else {
        CyclePhase::Quiescing
    };
    d.status.cycle = Some(CycleStatus {
        point: PointStatus::new(point, None),
        phase,
        started_at: d.now(),
        attempt: 1,
        planned_bytes: 0,
        done_bytes: 0,
        wire_bytes: 0,
        bytes_per_second: 0,
        eta_seconds: None,
        cut_done_at: None,
    });
    d.status.last_seq = i64::try_from(point.seq.0).ok();
    d.status
        .last_sync_trigger
        .clone_from(&d.o.pair.spec.sync_trigger);
}

/// After a cycle: the standby's mover goes unless the next cycle is near, and the next one is due.
pub fn rest(d: &mut Draft<'_>) {
    if let Some(standby) = d.standby() {
        d.wanted.remove(&standby.name);
    }
    d.visit_at(schedule::next_cycle(d));
    in_sync_until(d);
    linger(d);
}

/// Keeps a target mover that is there already when the next cycle is near.
fn linger(d: &mut Draft<'_>) {
    let Some(standby) = d.standby() else { return };
    let near = d.set.interval <= LINGER_MAX && admission::barred(d).is_none();
    let device = standby
        .replica_claim
        .as_ref()
        .map(|claim| claim.name.clone());
    let running = standby
        .pod
        .as_ref()
        .filter(|pod| !pod.deleting && !pod.ended);
    if let (true, Some(device), Some(pod)) = (near, device, running)
        && pod.device_claim.as_ref() == Some(&device)
        && !d.wanted.contains_key(&standby.name)
    {
        d.want(&standby.name, Device::Replica(device));
    }
}

/// Wakes when what the standby holds gets too old, so that `InSync` is told then.
fn in_sync_until(d: &mut Draft<'_>) {
    let cut = d.status.standby_as_of().cloned();
    if let Some(cut) = cut {
        let end = after(cut.0, d.set.interval.saturating_mul(2));
        if end > d.o.now {
            d.visit_at(end);
        }
    }
}

/// Whether `site` may hold writes that nobody else has.
#[must_use]
pub fn is_diverged(d: &Draft<'_>, site: &str) -> bool {
    d.status.sites.iter().any(|s| s.name == site && s.diverged)
}

/// Consent to overwrite the standby, if it is given for this very epoch and site.
#[must_use]
pub fn consent(d: &Draft<'_>) -> Option<protocol::units::Epoch> {
    let resolution = d.o.pair.spec.resolution.as_ref()?;
    let standby = d.standby()?;
    let valid = resolution.discard_site == standby.name.as_str()
        && Some(resolution.epoch) == d.status.epoch;
    valid.then(|| d.epoch())
}
