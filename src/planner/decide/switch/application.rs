//! Stopping the application where the role leaves, and starting it where the role is.

use crate::decide::DecisionBuilder;
use crate::decide::switch::steps::RECHECK_AFTER;
use crate::mutations::Rule;
use crate::observe::Application;
use crate::site::ApplicationDesired;
use api::Reason;
use api::v1alpha1::SwitchStatus;

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
    match from.application.clone() {
        Some(Application::Found { wanted, present }) if wanted > 0 => {
            let kept = !d.observed.rules().breaks(Rule::ReplicasForgotten);
            if let Some(switch) = d.status.switch.as_mut().filter(|_| kept) {
                switch.replicas.get_or_insert(wanted);
            }
            d.wait(format!("the application to stop ({present} replicas)"));
            return false;
        }
        Some(Application::Missing(why)) => {
            d.trouble(
                Reason::WaitingForApplication,
                format!("spec.application can't be scaled: {why}; correct it, or stop the application yourself"),
            );
        }
        _ => {}
    }
    if from.app_users.is_empty() {
        return true;
    }
    let pods: Vec<&str> = from.app_users.iter().map(|pod| pod.name.as_str()).collect();
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
