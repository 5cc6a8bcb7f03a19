//! What a forced promotion loses, as exactly as it can be known, and what can't be known.

use jiff::Timestamp;
use kube::ResourceExt;

use super::exit::Ended;
use super::format;
use super::spec_patch::Roles;
use api::v1alpha1::{Mode, PointStatus};
use api::{ReplicationPair, ReplicationPairStatus};

/// The point that a promotion of the standby brings up.
///
/// # Errors
/// [`Ended::Refused`] when the standby has none, since an empty volume is never promoted, or when
/// it is diverged.
pub(super) fn promotable<'a>(
    pair: &'a ReplicationPair,
    roles: &Roles,
) -> Result<&'a PointStatus, Ended> {
    let status = pair.status.as_ref();
    let sites = status.map_or(&[][..], |status| &status.sites);
    if sites
        .iter()
        .any(|site| site.name == roles.standby && site.diverged)
    {
        return Err(Ended::Refused(format!(
            "{} holds writes of an older epoch that nobody else has, so it is no copy of {} now; \
             kubectl ferry resync {} --discard {} gives them up, and it follows again",
            roles.standby,
            roles.primary,
            pair.name_any(),
            roles.standby
        )));
    }
    status.and_then(|status| status.committed_point.as_ref()).ok_or_else(|| {
        Ended::Refused(format!(
            "{} has no committed point: its first copy is not complete yet, and an empty volume is \
             never promoted",
            roles.standby
        ))
    })
}

/// The text that consent is asked for.
pub(super) fn text(
    pair: &ReplicationPair,
    roles: &Roles,
    point: &PointStatus,
    now: Timestamp,
) -> String {
    let as_of = pair.status.as_ref().and_then(|s| s.standby_as_of());
    let head = format!(
        "FORCED promotion of {}/{}: {} becomes primary (epoch {} to {}).",
        pair.namespace().unwrap_or_default(),
        pair.name_any(),
        roles.standby,
        roles.epoch,
        roles.epoch + 1
    );
    let width = format::width();
    let mut text = format::wrap(&head, width, 2) + "\n";
    let mut bullet = |words: String| {
        text.push_str(&format!("  - {}\n", format::wrap(&words, width, 4)));
    };
    bullet(match as_of {
        Some(cut) => format!(
            "The application will see its data as of {}, point {}: {} ago.",
            format::moment(cut),
            point.label,
            format::age(cut, now)
        ),
        None => format!(
            "The application will see its data as of point {}.",
            point.label
        ),
    });
    bullet(match as_of {
        Some(cut) => format!(
            "Everything written at {} after that is LOST from the live copy: {} seconds of writes \
             until now.",
            roles.primary,
            format::seconds_since(cut, now)
        ),
        None => format!(
            "Everything written at {} after that is LOST from the live copy.",
            roles.primary
        ),
    });
    for words in pair
        .status
        .iter()
        .flat_map(|status| not_shipped(status, point))
    {
        bullet(words);
    }
    if pair.spec.mode == Mode::Snapshot {
        bullet(
            "How many writes that is can't be said: in Snapshot mode writes are not numbered, only \
             cuts are."
                .into(),
        );
    }
    bullet(format!(
        "{}'s volume is kept as it is. When it comes back it stays fenced, and nothing on it is \
         overwritten before you consent with kubectl ferry resync.",
        roles.primary
    ));
    bullet(format!(
        "If {} can still be reached, kubectl ferry promote {} without --force loses nothing.",
        roles.primary,
        pair.name_any()
    ));
    text
}

/// Cuts that exist at the primary but are not complete at the standby.
fn not_shipped(status: &ReplicationPairStatus, point: &PointStatus) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(last) = status.last_cut.as_ref().filter(|last| last.seq > point.seq) {
        let count = last.seq - point.seq;
        words.push(match count {
            1 => format!(
                "1 cut after it, {}, was taken but is not complete at the standby.",
                last.label
            ),
            _ => format!(
                "Up to {count} cuts after it, the newest {}, were taken but are not complete at the \
                 standby.",
                last.label
            ),
        });
    }
    if let Some(cycle) = &status.cycle {
        words.push(format!(
            "The cycle {} is under way ({}, {} sent); unless it is fully staged when the \
             request arrives, it is dropped.",
            cycle.point.label,
            cycle.phase,
            format::bytes(cycle.wire_bytes)
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_loss_is_shown_in_full() {
        let pair = sample::shipping();
        let roles = Roles::of(&pair).unwrap();
        let point = promotable(&pair, &roles).unwrap();
        let text = text(&pair, &roles, point, sample::now());
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= format::width()),
            "{text}"
        );
        insta::assert_snapshot!(text, @r#"
            FORCED promotion of shop/orders: west becomes primary (epoch 3 to 4).
              - The application will see its data as of 2026-11-21 11:56:48Z, point 3.42:
                3m12s ago.
              - Everything written at east after that is LOST from the live copy: 192
                seconds of writes until now.
              - 1 cut after it, 3.43, was taken but is not complete at the standby.
              - The cycle 3.43 is under way (Shipping, 115.1 MiB sent); unless it is fully
                staged when the request arrives, it is dropped.
              - How many writes that is can't be said: in Snapshot mode writes are not
                numbered, only cuts are.
              - east's volume is kept as it is. When it comes back it stays fenced, and
                nothing on it is overwritten before you consent with kubectl ferry resync.
              - If east can still be reached, kubectl ferry promote orders without --force
                loses nothing.
        "#);
    }

    #[test]
    fn an_empty_volume_is_never_promoted() {
        let mut pair = sample::shipping();
        let roles = Roles::of(&pair).unwrap();
        pair.status.as_mut().unwrap().committed_point = None;
        assert!(matches!(promotable(&pair, &roles), Err(Ended::Refused(_))));
    }

    #[test]
    fn a_diverged_site_is_never_promoted() {
        let pair = sample::waiting();
        let roles = Roles::of(&pair).unwrap();
        let refused = promotable(&pair, &roles).unwrap_err().to_string();
        assert!(
            refused.contains("resync invoices --discard west"),
            "{refused}"
        );
    }
}
