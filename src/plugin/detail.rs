//! One pair in detail, in lines that a person reads from top to bottom.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::format::{self, NONE};
use super::verify;
use api::v1alpha1::{CycleStatus, FinishedCycle, PointStatus, SwitchStatus};
use api::{ReplicationPair, ReplicationPairStatus, conditions, names};

/// Columns that the names on the left take.
const LABEL_WIDTH: usize = 12;

/// The pair at `now`, ending in a newline.
pub(super) fn render(pair: &ReplicationPair, now: Timestamp) -> String {
    let mut page = Page::default();
    page.line(
        "Pair",
        &format!(
            "{}/{}",
            pair.namespace().unwrap_or_default(),
            pair.name_any()
        ),
    );
    let spec = &pair.spec;
    page.line(
        "Claim",
        &format!(
            "{}, {:?} mode, a cut every {}",
            spec.claim_name, spec.mode, spec.snapshot.interval
        ),
    );
    if let Some(since) = &pair.metadata.deletion_timestamp {
        page.line("Deleted", &deleted(pair, since, now));
    }
    let Some(status) = &pair.status else {
        page.line(
            "Status",
            "none yet: the operator has not reconciled this pair",
        );
        return page.text;
    };
    roles(&mut page, status, now);
    cycles(&mut page, status, now);
    moves(&mut page, status, now);
    page.text.push_str(&all_conditions(&status.conditions, now));
    page.text
}

/// What a pair that is being deleted still waits for.
fn deleted(pair: &ReplicationPair, since: &Time, now: Timestamp) -> String {
    let holders = pair.finalizers().join(", ");
    format!(
        "{} ago, and waits for {holders}. {} is the operator's, which gives the volumes back: where none \
         runs, install Ferry again, and the pair ends by itself",
        format::age(since, now),
        names::FINALIZER
    )
}

fn roles(page: &mut Page, status: &ReplicationPairStatus, now: Timestamp) {
    page.line("Ready", &ready(status));
    page.line(
        "Epoch",
        &status
            .epoch
            .map_or_else(|| NONE.into(), |epoch| epoch.to_string()),
    );
    for site in &status.sites {
        let mut text = format!(
            "{}, claim {}, volume {}",
            site.name,
            site.claim.as_deref().unwrap_or(NONE),
            site.volume.as_deref().unwrap_or(NONE)
        );
        if site.diverged {
            text.push_str("; may hold writes that the other side lacks");
        }
        page.line(&site.role, &text);
    }
    page.line(
        "Committed",
        &committed(status.committed_point.as_ref(), now),
    );
    if let Some(cut) = status.unchanged_cut() {
        page.line("", &unchanged(cut, now));
    }
}

fn cycles(page: &mut Page, status: &ReplicationPairStatus, now: Timestamp) {
    if let Some(cycle) = &status.cycle {
        page.line("Cycle", &running(cycle, now));
    }
    if let Some(cycle) = &status.last_cycle {
        page.line("Last cycle", &times(cycle));
        page.line("", &moved(cycle));
    }
    if let Some(failure) = &status.last_failure {
        page.line(
            "Failed",
            &format!(
                "cycle {}, {} time(s) in a row, last {} ago: {}: {}",
                failure.point,
                failure.attempts,
                format::age(&failure.at, now),
                failure.reason,
                failure.message
            ),
        );
    }
    if let Some(verification) = &status.verification {
        page.line("Verified", &verify::words(verification, now));
    }
    if let Some(change_source) = &status.change_source {
        page.line(
            "Source",
            &format!("{}: {}", change_source.source, change_source.reason),
        );
    }
}

fn moves(page: &mut Page, status: &ReplicationPairStatus, now: Timestamp) {
    if let Some(quiesce) = &status.quiesce {
        let said = quiesce
            .message
            .as_deref()
            .map(|m| format!(": {m}"))
            .unwrap_or_default();
        page.line(
            "Quiesce",
            &format!(
                "{} for {}, held {}{said}",
                quiesce.state,
                quiesce.point,
                format::millis(quiesce.held_ms)
            ),
        );
    }
    if let Some(switch) = &status.switch {
        page.line("Switch", &switching(switch, now));
    }
    if let Some(wait) = &status.waiting {
        page.line(
            "Waiting",
            &format!("{}, for {}", format::age(&wait.since, now), wait.what),
        );
    }
}

/// Lines of a name on the left and a text on the right, wrapped at [`format::width`].
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        let wrapped = format::wrap(text, format::width(), LABEL_WIDTH);
        self.text
            .push_str(&format!("{label:LABEL_WIDTH$}{wrapped}\n"));
    }
}

fn ready(status: &ReplicationPairStatus) -> String {
    match conditions::get(&status.conditions, conditions::READY) {
        Some(c) => format!("{} ({}): {}", c.status, c.reason, c.message),
        None => "Unknown".into(),
    }
}

fn committed(point: Option<&PointStatus>, now: Timestamp) -> String {
    let Some(point) = point else {
        return "nothing yet: there is no whole copy, and a promotion would be refused".into();
    };
    match &point.cut_at {
        Some(cut) => {
            format!(
                "{}, cut {} ago ({})",
                point.label,
                format::age(cut, now),
                format::moment(cut)
            )
        }
        None => point.label.clone(),
    }
}

fn unchanged(cut: &PointStatus, now: Timestamp) -> String {
    let age = cut.cut_at.as_ref().map(|at| format::age(at, now));
    format!(
        "nothing had changed at the primary {} ago (cut {})",
        age.unwrap_or_else(|| "some time".into()),
        cut.label
    )
}

/// The running cycle as one sentence: phase, share, rate and what is left.
pub(super) fn running(cycle: &CycleStatus, now: Timestamp) -> String {
    let mut text = format!("{} {}", cycle.point.label, cycle.phase);
    if cycle.attempt > 1 {
        text.push_str(&format!(", attempt {}", cycle.attempt));
    }
    if let Some(percent) = format::percent(cycle.done_bytes, cycle.planned_bytes) {
        text.push_str(&format!(
            ", {percent}% ({} of {})",
            format::bytes(cycle.done_bytes),
            format::bytes(cycle.planned_bytes)
        ));
    }
    if cycle.bytes_per_second > 0 {
        text.push_str(&format!(
            ", {}/s on the wire",
            format::bytes(cycle.bytes_per_second)
        ));
    }
    if let Some(eta) = cycle.eta_seconds.and_then(|eta| u64::try_from(eta).ok()) {
        text.push_str(&format!(", about {} left", format::span(eta)));
    }
    text.push_str(&format!(
        ", begun {} ago",
        format::age(&cycle.started_at, now)
    ));
    text
}

fn times(cycle: &FinishedCycle) -> String {
    let parts = [
        ("snapshot", cycle.snapshot_ms),
        ("start", cycle.start_ms),
        ("handshake", cycle.handshake_ms),
        ("ship", cycle.ship_ms),
        ("apply", cycle.apply_ms),
        ("commit", cycle.commit_ms),
    ];
    let split: Vec<String> = parts
        .iter()
        .map(|(name, ms)| format!("{name} {}", format::millis(*ms)))
        .collect();
    format!(
        "{} in {}: {}",
        cycle.point,
        format::millis(cycle.total_ms),
        split.join(", ")
    )
}

fn moved(cycle: &FinishedCycle) -> String {
    format!(
        "changed {} and {} of zeros, read {}, sent {}; held the application {}",
        format::bytes(cycle.data_bytes),
        format::bytes(cycle.zero_bytes),
        format::bytes(cycle.read_bytes),
        format::bytes(cycle.wire_bytes),
        format::millis(cycle.held_ms)
    )
}

fn switching(switch: &SwitchStatus, now: Timestamp) -> String {
    let mut text = format!(
        "{} from {} to {}, epoch {}",
        switch.kind, switch.from, switch.to, switch.epoch
    );
    match &switch.finished_at {
        Some(end) => {
            let took = end.0.as_second() - switch.started_at.0.as_second();
            let took = format::span(u64::try_from(took).unwrap_or(0));
            text.push_str(&format!(
                ", done {} ago, took {took}",
                format::age(end, now)
            ));
        }
        None => text.push_str(&format!(
            ", at {} since it was asked for {} ago",
            switch.step,
            format::age(&switch.started_at, now)
        )),
    }
    if let Some(point) = &switch.promoted_point {
        text.push_str(&format!(", promoted {}", point.label));
    }
    if let Some(loss) = &switch.loss {
        text.push_str(&format!("; lost: {loss}"));
    }
    text
}

fn all_conditions(conditions: &[Condition], now: Timestamp) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let width = conditions.iter().map(|c| c.type_.len()).max().unwrap_or(0) + 2;
    let mut text = String::from("Conditions\n");
    for condition in conditions {
        let head = format!(
            "  {:width$}{:9}{}, {}",
            condition.type_,
            condition.status,
            condition.reason,
            format::age(&condition.last_transition_time, now)
        );
        text.push_str(head.trim_end());
        text.push('\n');
        // The message of Ready already stands at the top.
        if condition.type_ != conditions::READY && !condition.message.is_empty() {
            let indent = width + 11;
            let message = format::wrap(&condition.message, format::width(), indent);
            text.push_str(&format!("{}{message}\n", " ".repeat(indent)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn fits(text: &str) {
        let widest = text
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        assert!(widest <= format::width(), "{widest} columns:\n{text}");
    }

    /// K-22: where no operator runs, the page says what a deletion waits for.
    #[test]
    fn a_deletion_names_what_holds_it() {
        let mut pair = sample::shipping();
        pair.metadata.deletion_timestamp = Some(sample::ago(90));
        pair.metadata.finalizers = Some(vec![names::FINALIZER.into()]);
        let text = render(&pair, sample::now());
        assert!(
            text.contains("90s ago, and waits for ferry.dev/teardown"),
            "{text}"
        );
    }

    #[test]
    fn a_pair_in_a_cycle() {
        let text = render(&sample::shipping(), sample::now());
        fits(&text);
        insta::assert_snapshot!(text, @r#"
            Pair        shop/orders
            Claim       data, Snapshot mode, a cut every 5m
            Ready       True (AllGood): west can be promoted to 3.42
            Epoch       3
            Primary     east, claim data, volume pvc-5c0ffee5-1111-4222-8333-944455566677
            Standby     west, claim orders-west-replica, volume
                        pvc-aaaaaaaa-1111-4222-8333-944455566677
            Committed   3.42, cut 3m12s ago (2026-11-21 11:56:48Z)
            Cycle       3.43 Shipping, 44% (460.7 MiB of 1.0 GiB), 23.0 MiB/s on the wire,
                        about 24s left, begun 21s ago
            Last cycle  3.42 in 4.1s: snapshot 810ms, start 1.2s, handshake 90ms, ship 1.0s,
                        apply 600ms, commit 400ms
                        changed 21.0 MiB and 3.0 MiB of zeros, read 24.0 MiB, sent 17.0 MiB;
                        held the application 12ms
            Source      Delta: the driver's SnapshotMetadata names the changed extents since
                        3.42
            Conditions
              Ready     True     AllGood, 24h
              InSync    True     AllGood, 24h
                                 the committed point is 3m12s old
              Degraded  False    AllGood, 24h
        "#);
    }

    #[test]
    fn a_pair_that_waits_for_the_application() {
        let text = render(&sample::waiting(), sample::now());
        fits(&text);
        insta::assert_snapshot!(text, @r#"
            Pair        shop/invoices
            Claim       invoices, Snapshot mode, a cut every 5m
            Ready       False (SwitchInProgress): the primary role is being moved to west
            Epoch       1
            Primary     east, claim invoices, volume pvc-1
            Standby     west, claim invoices-west-replica, volume pvc-2; may hold writes
                        that the other side lacks
            Committed   1.7, cut 16m ago (2026-11-21 11:44:00Z)
            Failed      cycle 1.8, 3 time(s) in a row, last 6m ago: SnapshotFailed:
                        VolumeSnapshot invoices-east-1-8: the pool is full. Free space in
                        it.
            Source      FullRead: the driver has no SnapshotMetadata service, and no digests
                        are kept yet
            Switch      Planned from east to west, epoch 2, at StopApplication since it was
                        asked for 2m ago
            Waiting     2m, for pods web-0 and web-1 to stop using the claim invoices: scale
                        the application down, or name it in spec.application
            Conditions
              Ready     False    SwitchInProgress, 2m
              InSync    False    Behind, 6m
                                 the committed point 1.7 is older than twice the interval
              Diverged  True     Diverged, 10m
                                 west holds writes that east does not have: kubectl ferry
                                 resync invoices --discard west gives them up
        "#);
    }

    #[test]
    fn a_pair_that_was_never_reconciled() {
        let text = render(&sample::fresh(), sample::now());
        insta::assert_snapshot!(text, @r#"
            Pair        shop/fresh
            Claim       data, Snapshot mode, a cut every 5m
            Status      none yet: the operator has not reconciled this pair
        "#);
    }
}
