//! Stopping the application where the role leaves, and starting it where the role is.

use crate::decide::switch::cancel;
use crate::decide::switch::steps::RECHECK_AFTER;
use crate::decide::{DecisionBuilder, silent};
use crate::mutations::Rule;
use crate::observe::{Application, PodUse, SiteView};
use crate::site::ApplicationDesired;
use api::Reason;
use api::v1alpha1::{SwitchKind, SwitchStatus};

/// Who scales the application up so often while it is to be stopped is stronger: the move is cancelled.
const SCALE_UPS_MAX: i64 = 3;

/// Whether nothing uses the claim any more.
pub fn stop_application(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    if d.observed.rules().breaks(Rule::ApplicationNotStopped) {
        return true;
    }
    d.recheck_in(RECHECK_AFTER);
    let Some(from) = d.site_called(&switch.from) else {
        return false;
    };
    d.at(&from.name).application = ApplicationDesired::Stop;
    if !is_scaled_down(d, from) {
        return false;
    }
    let pods = users_of(from);
    let pods: Vec<String> = pods
        .map(|pod| silent::waited_for(pod, d.observed.now))
        .collect();
    if pods.is_empty() {
        return true;
    }
    d.wait(format!(
        "claim {} to be unused; it is used by {}{}",
        d.observed.pair.spec.claim_name,
        pods.join(", "),
        if d.observed.pair.spec.application.is_some() {
            ""
        } else {
            ": stop them, or name the workload in spec.application"
        }
    ));
    false
}

/// The pods that use the application's claim at a site. On a parked one a pod waits and uses nothing.
pub fn users(site: &SiteView) -> Vec<&str> {
    users_of(site).map(|pod| pod.name.as_str()).collect()
}

fn users_of(site: &SiteView) -> impl Iterator<Item = &PodUse> {
    let parked = site.app_claim.as_ref().is_some_and(|claim| claim.parked);
    let pods = site.app_users.iter();
    pods.filter(move |pod| pod.scheduled || !parked)
}

/// Whether nobody wants the application to run. Remembers how many replicas it had, and how often it was
/// scaled up again.
fn is_scaled_down(d: &mut DecisionBuilder<'_>, from: &SiteView) -> bool {
    let (wanted, present, by) = match &from.application {
        Some(Application::Found {
            wanted,
            present,
            scaled_by,
            ..
        }) => (*wanted, *present, scaled_by.clone()),
        Some(Application::Missing(why)) => {
            d.trouble(
                Reason::WaitingForApplication,
                format!("spec.application can't be scaled: {why}; correct it, or stop the application yourself"),
            );
            return true;
        }
        None => return true,
    };
    let kept = !d.observed.rules().breaks(Rule::ReplicasForgotten);
    let Some(switch) = d.status.switch.as_mut() else {
        return false;
    };
    if wanted == 0 {
        switch.stopped = Some(true);
        return true;
    }
    if kept {
        switch.replicas.get_or_insert(wanted);
    }
    if switch.stopped.replace(false) == Some(true) {
        let times = switch.scale_ups.unwrap_or(0) + 1;
        switch.scale_ups = Some(times);
        let planned = switch.kind == SwitchKind::Planned && switch.step.is_before_promotion();
        if times >= SCALE_UPS_MAX && planned {
            let by = by.map_or("somebody".to_string(), |by| format!("field manager {by}"));
            let why = format!(
                "{by} scaled the application up again {times} times while it was stopped for the move: stop \
                 that, and ask again"
            );
            cancel::cancel_by_itself(d, why);
            return false;
        }
    }
    d.wait(format!("the application to stop ({present} replicas)"));
    false
}

/// Starts what was stopped; whether it had to be.
pub fn start_application(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let (Some(replicas), Some(primary)) = (switch.replicas, d.primary()) else {
        return false;
    };
    d.at(&primary.name).application = ApplicationDesired::Run(replicas);
    match &primary.application {
        Some(Application::Found { wanted, .. }) => *wanted < replicas,
        Some(Application::Missing(_)) | None => false,
    }
}
