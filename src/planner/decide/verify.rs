//! A verification: the standby's image is compared with the committed cut, slice by slice.
//!
//! Each slice is compared, and what differs in it repaired, at the committed point of that moment, so
//! a verification lives through any number of cycles: a cycle that is due goes first, at most one
//! slice later, and the next slice goes on where the last one ended. Where it stands is in the
//! status; a status that is lost costs reading, never data.

use jiff::{SignedDuration, Timestamp};

use crate::decide::admission::barred;
use crate::decide::consent::is_diverged;
use crate::decide::movers::ready;
use crate::decide::receive::receive;
use crate::decide::{DecisionBuilder, switch};
use crate::observe::{SiteView, VerifyMark};
use crate::site::{MoverDesired, MoverTask, VerifyPlan};
use crate::validate::Verification;
use api::Reason;
use api::v1alpha1::{PointStatus, RunningVerification, VerificationStatus};
use protocol::units::{Extent, Point};
use wire::control::{Activity, CycleOutcome, MoverStatus, RefusalKind, Request, VerifyReport};

/// A slice is what is read in this time at the rate in force.
const SLICE: u64 = 10;

/// Slices are whole multiples of this many bytes: what the movers ask each other for at once.
const SLICE_STEP: u64 = 16 << 20;

/// How many of these a slice has that has to fit into any staging.
const SMALL_SLICE_STEPS: u64 = 2;

/// A cycle that is due waits this long at most for the slice under way. Beyond it the slice is
/// abandoned: cycles come first.
const SLICE_WAIT_MAX: SignedDuration = SignedDuration::from_secs(20);

/// The pause after a slice that failed.
const RETRY: SignedDuration = SignedDuration::from_mins(1);

/// How often to look at movers that have reported nothing.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// How often one that waits for a free slot checks for it.
const SLOT: SignedDuration = SignedDuration::from_secs(5);

/// The most ranges that the status names.
const DIFFERENCES_MAX: usize = 16;

/// Whether one is under way, as the status has it.
#[must_use]
pub fn running(status: Option<&VerificationStatus>) -> Option<&RunningVerification> {
    status.and_then(|verification| verification.running.as_ref())
}

/// Whether a slice is under way that a cycle which is due may wait for.
#[must_use]
pub fn holds(d: &DecisionBuilder<'_>) -> bool {
    let Some(mark) = &d.timeline.verify else {
        return false;
    };
    let young = d.observed.now.duration_since(mark.since) < SLICE_WAIT_MAX;
    let under_way = d
        .primary()
        .and_then(SiteView::live)
        .is_some_and(|source| Some(source.activity) == d.committed().map(Activity::Shipping));
    young && under_way && !d.cycle_now && may(d)
}

/// Goes on with the verification, or begins one that is due. False when there is none.
pub fn run(d: &mut DecisionBuilder<'_>) -> bool {
    // Right after a move of the role the newest common point is the old primary's: the next cycle
    // brings one of this epoch.
    let epoch = d.epoch();
    let Some(point) = d.committed().filter(|point| may(d) && point.epoch == epoch) else {
        return false;
    };
    let stale = running(d.status.verification.as_ref())
        .and_then(|running| running.point.as_ref())
        .is_some_and(|at| at.point().epoch != point.epoch);
    if stale {
        // The roles have changed: what was compared until now was another primary's.
        d.status.verification.get_or_insert_default().running = None;
    }
    if running(d.status.verification.as_ref()).is_none() {
        begin_if_due(d);
        return false;
    }
    if !d.observed.verify_slot {
        d.wait(
            "a free slot for its verification: as many pairs as may be are verified already".into(),
        );
        d.recheck_in(SLOT);
        return false;
    }
    slice(d, point)
}

fn may(d: &DecisionBuilder<'_>) -> bool {
    let diverged = d
        .standby()
        .is_some_and(|site| is_diverged(d, site.name.as_str()));
    let moving = d.status.switch.as_ref().is_some_and(switch::unfinished);
    barred(d).is_none() && !moving && !diverged
}

fn begin_if_due(d: &mut DecisionBuilder<'_>) {
    let trigger = d.observed.pair.spec.verify_trigger.clone();
    match due(d) {
        Some(due) if due <= d.observed.now => {}
        Some(due) => return d.recheck_at(due),
        None => return,
    }
    let started_at = d.now();
    d.timeline.verify = None;
    d.status.verification.get_or_insert_default().running = Some(RunningVerification {
        started_at,
        trigger,
        point: None,
        compared_bytes: 0,
        size_bytes: 0,
        differing_bytes: 0,
        differences: Vec::new(),
    });
    // It is recorded before any of it is done; the slot for it is asked for at the next look.
    d.recheck_at(d.observed.now);
}

/// When the next one begins: now for a new trigger, else at the interval, else never.
fn due(d: &DecisionBuilder<'_>) -> Option<Timestamp> {
    let known = d.status.verification.as_ref();
    let trigger = d.observed.pair.spec.verify_trigger.as_ref();
    if trigger.is_some() && trigger != known.and_then(|known| known.trigger.as_ref()) {
        return Some(d.observed.now);
    }
    let interval = d.settings.verify.interval?;
    match known.and_then(|known| known.last_time.as_ref()) {
        None => Some(d.observed.now),
        Some(last) => Some(last.0.checked_add(interval).unwrap_or(Timestamp::MAX)),
    }
}

/// One slice: the movers, the request, and what came of it.
fn slice(d: &mut DecisionBuilder<'_>, point: Point) -> bool {
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return false;
    };
    if primary.cut(point).is_none_or(|cut| !cut.ready) {
        // The next cycle brings one.
        d.wait(format!("a snapshot of {point} at site {}", primary.name));
        return false;
    }
    d.want(&primary.name, MoverDesired::Reader(point));
    d.want(&standby.name, MoverDesired::Writer);
    d.recheck_in(RECHECK_AFTER);
    let [Some(source), Some(target)] = [primary, standby].map(|site| ready(d, site)) else {
        return true;
    };
    if !waits(d, source, point) {
        request(d, primary, standby, (source, target), point);
    }
    true
}

/// Takes in a slice that is done, whatever comes next: a cycle that is due must not lose it.
pub fn note(d: &mut DecisionBuilder<'_>) {
    let (Some(point), Some(source)) = (d.committed(), d.primary().and_then(SiteView::live)) else {
        return;
    };
    if let Some(report) = done(d, source, point) {
        d.timeline.verify = None;
        count(d, report, point, source.device_bytes.unwrap_or(0));
    }
}

/// The report of the slice that was asked for, when it has come.
fn done<'a>(
    d: &DecisionBuilder<'_>,
    source: &'a MoverStatus,
    point: Point,
) -> Option<&'a VerifyReport> {
    let mark = d.timeline.verify.as_ref()?;
    let Some(CycleOutcome::Verified(report)) = &source.last else {
        return None;
    };
    let ours = report.cycle.cycle == point && report.range.offset == mark.position;
    // A report of before the request may be of an earlier verification.
    let newer = source.version > mark.version && source.activity == Activity::Idle;
    (ours && newer && mark.position == position(d)).then_some(report.as_ref())
}

/// Whether the slice is under way, or failed so lately that the next try has to wait.
fn waits(d: &mut DecisionBuilder<'_>, source: &MoverStatus, point: Point) -> bool {
    if source.activity == Activity::Shipping(point) {
        // One that an earlier process has asked for is taken over.
        let mark = VerifyMark {
            position: position(d),
            version: source.version,
            since: d.observed.now,
            retry_at: None,
        };
        let since = d.timeline.verify.get_or_insert(mark).since;
        // A cycle may be due by then.
        let patient = since.checked_add(SLICE_WAIT_MAX).unwrap_or(since);
        if patient > d.observed.now {
            d.recheck_at(patient);
        }
        return true;
    }
    let failure = match &source.last {
        Some(CycleOutcome::Failed { cycle, cause, .. }) if *cycle == point => cause,
        _ => return false,
    };
    let (now, version) = (d.observed.now, source.version);
    let Some(mark) = d.timeline.verify.as_mut().filter(|m| version > m.version) else {
        return false;
    };
    let until = *mark
        .retry_at
        .get_or_insert(now.checked_add(RETRY).unwrap_or(now));
    if until <= now {
        return false;
    }
    d.recheck_at(until);
    let reason = match failure.kind {
        RefusalKind::PrimaryDamaged => Reason::PrimaryDamaged,
        _ => Reason::VerifyFailed,
    };
    d.trouble(
        reason,
        format!(
            "comparing the images of {point} failed and is tried again: {}",
            failure.message
        ),
    );
    true
}

/// Counts a slice that is done, and ends the verification with the last one.
fn count(d: &mut DecisionBuilder<'_>, report: &VerifyReport, point: Point, size: u64) {
    let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let now = d.now();
    let verification = d.status.verification.get_or_insert_default();
    let Some(running) = verification.running.as_mut() else {
        return;
    };
    running.point = Some(PointStatus::new(point, None));
    running.size_bytes = int(size);
    running.compared_bytes = int(report.range.end());
    running.differing_bytes += int(report.cycle.data_bytes + report.cycle.zero_bytes);
    for extent in &report.differing {
        if running.differences.len() < DIFFERENCES_MAX {
            let text = format!("{} bytes at {}", extent.len, extent.offset);
            running.differences.push(text);
        }
    }
    if report.range.end() < size {
        return;
    }
    if let Some(running) = verification.running.take() {
        let took = now.0.duration_since(running.started_at.0).as_secs();
        *verification = VerificationStatus {
            running: None,
            last_time: Some(now),
            point: running.point.map(|point| point.label),
            compared_bytes: running.compared_bytes,
            differing_bytes: running.differing_bytes,
            repaired_bytes: running.differing_bytes,
            differences: running.differences,
            duration_seconds: took.max(0),
            trigger: running.trigger.or(verification.trigger.take()),
        };
    }
}

fn request(
    d: &mut DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    (source, target): (&MoverStatus, &MoverStatus),
    point: Point,
) {
    if source.activity != Activity::Idle {
        let reason = "the operator verifies the committed image".into();
        d.ask(&primary.name, Request::Abort { reason });
    }
    receive(d, primary, standby, target, point);
    let position = position(d);
    let Verification { rate, .. } = d.settings.verify;
    let plan = VerifyPlan {
        cycle: point,
        source: primary.name.clone(),
        target: standby.name.clone(),
        range: Extent::new(position, slice_bytes(rate, source)),
        bytes_per_second: rate,
        transfer: d.settings.transfer,
    };
    d.task(&primary.name, MoverTask::Verify(Box::new(plan)));
    d.timeline.verify = Some(VerifyMark {
        position,
        version: source.version,
        since: d.observed.now,
        retry_at: None,
    });
}

/// Everything below this byte is compared.
fn position(d: &DecisionBuilder<'_>) -> u64 {
    running(d.status.verification.as_ref())
        .and_then(|running| u64::try_from(running.compared_bytes).ok())
        .unwrap_or(0)
}

/// How much is compared at once at this rate, in bytes; little, where all that differed did not fit
/// into staging.
fn slice_bytes(rate: u64, source: &MoverStatus) -> u64 {
    let overflowed = matches!(
        &source.last,
        Some(CycleOutcome::Failed { cause, .. }) if cause.kind == RefusalKind::StagingTooSmall
    );
    let steps = match overflowed {
        true => SMALL_SLICE_STEPS,
        false => rate.saturating_mul(SLICE) / SLICE_STEP,
    };
    steps.max(1).saturating_mul(SLICE_STEP)
}
