//! Movers that do not answer, and pods that do not end (K-9): what runs and does not answer is replaced, and
//! what does not end is named with its node and what to do.

use jiff::{SignedDuration, Timestamp};

use crate::decide::DecisionBuilder;
use crate::decide::builder::after;
use crate::observe::{MoverPod, NodeSeen, PodUse, SiteView};
use crate::site::MoverDesired;
use api::Reason;

/// A mover that runs and does not answer for so long is replaced.
const SILENT_MAX: SignedDuration = SignedDuration::from_mins(2);
/// A pod that should be gone for so long is trouble.
const OVERDUE_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Replaces movers that are needed and do not answer, and names pods that do not end.
pub(super) fn settle(d: &mut DecisionBuilder<'_>) {
    for site in &d.observed.sites {
        let needed = !matches!(
            d.wanted(&site.name),
            MoverDesired::Off | MoverDesired::Leave
        );
        let pod = site.pod.as_ref().filter(|_| needed);
        match pod {
            Some(pod) if pod.deleting => does_not_end(d, pod),
            Some(pod) if is_silent(site, pod) => {
                answers_not(d, site, pod);
                continue;
            }
            _ => {}
        }
        d.timeline.silent.remove(&site.name);
    }
}

fn is_silent(site: &SiteView, pod: &MoverPod) -> bool {
    !pod.ended && pod.ip.is_some() && site.mover.is_none()
}

fn answers_not(d: &mut DecisionBuilder<'_>, site: &SiteView, pod: &MoverPod) {
    let now = d.observed.now;
    let known = d.timeline.silent.get(&site.name);
    let since = known
        .filter(|(uid, _)| uid == &pod.uid)
        .map_or(now, |(_, since)| *since);
    let mark = (pod.uid.clone(), since);
    d.timeline.silent.insert(site.name.clone(), mark);
    if now.duration_since(since) < SILENT_MAX {
        d.recheck_at(after(since, SILENT_MAX));
        return;
    }
    d.at(&site.name).replace_mover = Some(pod.uid.clone());
    d.trouble(
        Reason::MoverNotAnswering,
        format!(
            "pod {}{} runs and has not answered for {} minutes; it is replaced",
            pod.name,
            on(pod.node.as_ref()),
            SILENT_MAX.as_mins()
        ),
    );
}

fn does_not_end(d: &mut DecisionBuilder<'_>, pod: &MoverPod) {
    let now = d.observed.now;
    if let Some(problem) = lingers(&pod.name, pod.overdue, pod.node.as_ref(), now) {
        d.trouble(Reason::MoverNotAnswering, problem);
    }
}

/// What is wrong with a pod that should have been gone for a while, and what to do about it.
#[must_use]
fn lingers(
    pod: &str,
    overdue: Option<Timestamp>,
    node: Option<&NodeSeen>,
    now: Timestamp,
) -> Option<String> {
    let over = overdue.filter(|over| now.duration_since(*over) > OVERDUE_MAX)?;
    let advice = match node {
        Some(NodeSeen {
            name,
            trouble: Some(_),
        }) => format!(
            "if the node is lost for good, taint it (kubectl taint node {name} \
             node.kubernetes.io/out-of-service=nodeshutdown:NoExecute), and its pods and volumes are let go"
        ),
        _ => "see its events and finalizers (kubectl describe pod)".into(),
    };
    Some(format!(
        "pod {pod}{} should have ended at {over} and has not; {advice}",
        on(node)
    ))
}

fn on(node: Option<&NodeSeen>) -> String {
    match node {
        None => String::new(),
        Some(NodeSeen {
            name,
            trouble: None,
        }) => format!(" on node {name}"),
        Some(NodeSeen {
            name,
            trouble: Some(trouble),
        }) => format!(" on node {name}, which is not ready ({trouble}),"),
    }
}

/// A pod that is waited for, with what is wrong with it if it does not end (K-8).
pub(super) fn waited_for(pod: &PodUse, now: Timestamp) -> String {
    lingers(&pod.name, pod.overdue, pod.node.as_ref(), now).map_or_else(
        || pod.name.clone(),
        |problem| format!("{} ({problem})", pod.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::decide;
    use crate::observe::Observed;
    use crate::observe::samples::{at_rest, promotion};
    use crate::site::Action;
    use crate::validate::validate;
    use api::conditions;

    /// A pair whose standby's mover does not answer while it is needed for a move.
    fn silent() -> Observed {
        let mut observed = at_rest();
        observed.sites[1].mover = None;
        let status = observed.pair.status.as_mut().unwrap();
        let epoch = status.epoch.unwrap();
        let mut request = promotion("a", 0, api::v1alpha1::PromotionKind::Forced);
        request.spec.epoch = epoch;
        observed.promotions = vec![request];
        observed
    }

    fn replaces(observed: &mut Observed) -> (bool, String) {
        let validated = validate(observed);
        let mut decision = decide(observed, &validated);
        crate::publish::conditions(observed, &validated, &mut decision);
        observed.timeline = decision.timeline.clone();
        observed.pair.status = Some(decision.status.clone());
        let stops = decision
            .actions
            .iter()
            .any(|a| matches!(a, Action::StopMover { site, .. } if site.as_str() == "west"));
        let degraded = conditions::get(&decision.status.conditions, conditions::DEGRADED);
        (stops, degraded.unwrap().message.clone())
    }

    /// K-9: two minutes without an answer, and not before, the mover is replaced.
    #[test]
    fn k_9_a_mover_that_does_not_answer_is_replaced() {
        let mut observed = silent();
        let mut seconds = 0;
        loop {
            let (stops, message) = replaces(&mut observed);
            if stops {
                assert!(message.contains("orders-west-mover"), "{message}");
                break;
            }
            observed.now = after(observed.now, SignedDuration::from_secs(10));
            seconds += 10;
            assert!(seconds <= 150, "{message}");
        }
        assert!(seconds >= 120, "replaced after {seconds} s");
    }

    /// K-9, K-8: one that does not end is named with its node, the node's condition and what to do.
    #[test]
    fn k_9_a_mover_that_does_not_end_is_named_with_its_node() {
        let mut observed = silent();
        let now = observed.now;
        let pod = observed.sites[1].pod.as_mut().unwrap();
        pod.deleting = true;
        pod.overdue = Some(after(now, SignedDuration::from_secs(-10)));
        pod.node = Some(NodeSeen {
            name: "node-2".into(),
            trouble: Some("NodeStatusUnknown: Kubelet stopped posting node status.".into()),
        });
        drop(replaces(&mut observed));
        let (stops, message) = replaces(&mut observed);
        assert!(!stops);
        for part in [
            "orders-west-mover",
            "node-2",
            "Kubelet stopped posting",
            "out-of-service",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
