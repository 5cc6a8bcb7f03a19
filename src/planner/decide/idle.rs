//! A pair between two cycles: which mover stays, and when it is looked at again.

use jiff::SignedDuration;

use crate::decide::builder::after;
use crate::decide::{DecisionBuilder, admission, schedule};
use crate::site::MoverDesired;

/// A target mover stays when the next cycle is at most this far away: starting a pod for it would
/// cost more than keeping one.
const LINGER_MAX: SignedDuration = SignedDuration::from_mins(2);

/// After a cycle: the standby's mover goes unless the next cycle is near, and the next one is due.
pub fn rest(d: &mut DecisionBuilder<'_>) {
    if let Some(standby) = d.standby() {
        d.want(&standby.name, MoverDesired::Off);
    }
    d.recheck_at(schedule::next_cycle(d));
    in_sync_until(d);
    linger(d);
}

/// Keeps a target mover that is there already when the next cycle is near.
pub fn linger(d: &mut DecisionBuilder<'_>) {
    let Some(standby) = d.standby() else { return };
    let near = d.settings.interval <= LINGER_MAX && admission::barred(d).is_none();
    let device = standby.replica_claim.as_ref().map(|claim| &claim.name);
    let running = standby
        .pod
        .as_ref()
        .filter(|pod| !pod.deleting && !pod.ended);
    if let (true, Some(device), Some(pod)) = (near, device, running)
        && pod.device_claim.as_ref() == Some(device)
        && d.wanted(&standby.name) == MoverDesired::Off
    {
        d.want(&standby.name, MoverDesired::Writer);
    }
}

/// Wakes when what the standby holds gets too old, so that `InSync` is reported then.
pub fn in_sync_until(d: &mut DecisionBuilder<'_>) {
    let cut = d.status.standby_as_of().cloned();
    if let Some(cut) = cut {
        let end = after(cut.0, d.settings.interval.saturating_mul(2));
        if end > d.observed.now {
            d.recheck_at(end);
        }
    }
}
