//! What could not be done when it was tried: it is recorded, tried again after a pause, and keeps nothing
//! from being done but what stands on it (K-8).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::builder::after;
use crate::observe::{Retry, SiteView, Timeline};
use crate::site::{Action, Standing, start_mover};
use api::v1alpha1::{FailingAction, ReplicationPairStatus};

/// The pause before the first repetition of what has failed; it doubles with each further one.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest pause, so that it is done soon after it is allowed again.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(30);
/// The longest pause while the application may be stopped for a move of the role, and where somebody could
/// not be reached, which ends by itself.
const PAUSE_MAX_SHORT: SignedDuration = SignedDuration::from_secs(4);
/// What was not refused, but could not be reached, is shown after this.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// The most that is recorded at a time, and the longest message in bytes.
const RECORDED_MAX: usize = 8;
const MESSAGE_BYTES_MAX: usize = 1024;

/// An action that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What was tried, by [`Action::describe`].
    pub action: String,
    /// Why it failed.
    pub message: String,
    /// Whether it was refused; otherwise somebody could not be reached.
    pub refused: bool,
}

/// What is tried now, of what was decided, and when the first of the rest is. What is not decided any more
/// does not fail any more.
pub(super) fn hold_back(
    actions: Vec<Action>,
    status: &mut ReplicationPairStatus,
    timeline: &mut Timeline,
    (pair, now): (&str, Timestamp),
) -> (Vec<Action>, Option<Timestamp>) {
    let decided = |known: &str| actions.iter().any(|action| action.describe(pair) == known);
    status.failing.retain(|failing| decided(&failing.action));
    timeline.failing.retain(|action, _| decided(action));
    let mut standing = Standing::default();
    let mut due: Option<Timestamp> = None;
    let mut tried = Vec::new();
    for action in actions {
        let again = timeline.failing.get(&action.describe(pair));
        let again = again.map(|retry| retry.at).filter(|at| *at > now);
        if let Some(at) = again {
            due = Some(due.map_or(at, |due| due.min(at)));
        }
        if again.is_some() || standing.bars(&action) {
            standing.fails(&action);
        } else {
            tried.push(action);
        }
    }
    (tried, due)
}

/// Records what has failed of `tried`; the rest of it does not fail any more.
pub fn note(
    status: &mut ReplicationPairStatus,
    timeline: &mut Timeline,
    tried: &[String],
    failed: Vec<Failed>,
    now: Timestamp,
) {
    let moving = status
        .switch
        .as_ref()
        .is_some_and(super::switch::unfinished);
    let before = std::mem::take(&mut status.failing);
    let fails = |known: &str| failed.iter().any(|failed| failed.action == known);
    let kept = |known: &str| !tried.iter().any(|tried| tried == known) || fails(known);
    timeline.failing.retain(|action, _| kept(action));
    let others = before.iter().filter(|known| !tried.contains(&known.action));
    status.failing = others.cloned().collect();
    for failed in failed {
        let times = timeline.failing.get(&failed.action).map_or(0, |r| r.times);
        let longest = match failed.refused && !moving {
            true => PAUSE_MAX,
            false => PAUSE_MAX_SHORT,
        };
        let pause = PAUSE_MIN.saturating_mul(1 << times.min(8)).min(longest);
        let retry = Retry {
            times: times + 1,
            at: after(now, pause),
        };
        timeline.failing.insert(failed.action.clone(), retry);
        let known = before.iter().find(|known| known.action == failed.action);
        let since = known.map_or(Time(now), |known| known.since.clone());
        if status
            .failing
            .iter()
            .any(|known| known.action == failed.action)
        {
            continue;
        }
        status.failing.push(FailingAction {
            action: failed.action,
            message: cut(failed.message),
            refused: failed.refused,
            since,
        });
    }
    status.failing.truncate(RECORDED_MAX);
}

fn cut(mut message: String) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

/// The first failure that a person is reported: a refusal at once, what could not be reached after a while.
#[must_use]
pub fn reported(status: &ReplicationPairStatus, now: Timestamp) -> Option<&FailingAction> {
    let lasts = |failing: &&FailingAction| now.duration_since(failing.since.0) >= PATIENCE;
    let mut all = status.failing.iter();
    let refused = all.clone().find(|failing| failing.refused);
    refused.or_else(|| all.find(lasts))
}

/// Why the mover of a site can't be started, if that was refused.
#[must_use]
pub(super) fn of_mover<'a>(
    status: &'a ReplicationPairStatus,
    pair: &str,
    site: &SiteView,
) -> Option<&'a FailingAction> {
    let start = start_mover(pair, site.name.as_str());
    status
        .failing
        .iter()
        .find(|failing| failing.action == start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn scale() -> Action {
        let version = None;
        Action::Scale {
            replicas: 1,
            version,
        }
    }

    fn failed(message: &str, refused: bool) -> Failed {
        Failed {
            action: scale().describe("orders"),
            message: message.into(),
            refused,
        }
    }

    /// K-8: what is refused is reported at once in its own words, and what can't be reached within ten seconds.
    #[test]
    fn k_8_a_failure_is_reported_in_its_own_words_until_it_is_over() {
        for refused in [true, false] {
            let (mut status, mut line) = Default::default();
            let tried = [scale().describe("orders")];
            let no = failed("exceeded quota", refused);
            note(&mut status, &mut line, &tried, vec![no], at(0));
            assert_eq!(reported(&status, at(0)).is_some(), refused);
            let shown = reported(&status, at(9)).expect("it is reported");
            assert_eq!(shown.message, "exceeded quota");
            note(&mut status, &mut line, &tried, Vec::new(), at(10));
            assert_eq!(reported(&status, at(20)), None);
            assert!(line.failing.is_empty());
        }
    }

    /// K-8: it is tried again after a pause, in which everything else is done.
    #[test]
    fn k_8_what_has_failed_waits_and_the_rest_is_done() {
        let (mut status, mut line) = Default::default();
        let other = Action::DropSourceClaim { name: "c".into() };
        let key = scale().describe("orders");
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let tried = std::slice::from_ref(&key);
            let no = vec![failed("no", true)];
            note(&mut status, &mut line, tried, no, at(now));
            let actions = || vec![scale(), other.clone()];
            let mut held = |seconds| {
                let when = ("orders", at(seconds));
                hold_back(actions(), &mut status, &mut line, when)
            };
            let early = held(now + pause - 1);
            assert_eq!(early, (vec![other.clone()], Some(at(now + pause))));
            assert_eq!(held(now + pause).0, actions());
            now += pause;
        }
        assert_eq!(status.failing[0].since, Time(at(0)));
        // It is not decided any more.
        drop(hold_back(
            vec![other],
            &mut status,
            &mut line,
            ("orders", at(now)),
        ));
        assert!(status.failing.is_empty() && line.failing.is_empty());
    }
}
