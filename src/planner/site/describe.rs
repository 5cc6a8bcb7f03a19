//! An action in words: what is tried, with the object's name. The words are also what it is known by
//! while it fails, so they are the same at each try.

use crate::site::Action;
use api::names;

impl Action {
    /// What is tried, as people read it after "failed to".
    #[must_use]
    pub fn describe(&self, pair: &str) -> String {
        match self {
            Action::MakeStateClaim { site, .. } => {
                format!("create claim {}", names::state_claim(pair, site.as_str()))
            }
            Action::MakeReplicaClaim { site, .. } => {
                format!("create claim {}", names::replica_claim(pair, site.as_str()))
            }
            Action::MakeSourceClaim { site, point, .. } => format!(
                "create claim {}",
                names::source_claim(pair, site.as_str(), *point)
            ),
            Action::TakeOver { claim, .. } => format!("take over claim {claim}"),
            Action::DropWithSnapshot { content } => {
                format!("set the deletion policy of VolumeSnapshotContent {content}")
            }
            Action::Retain { volume, .. } => format!("retain PersistentVolume {volume}"),
            Action::Note { claim, .. } => format!("note the role change with claim {claim}"),
            Action::Grow { claim, bytes } => format!("grow claim {claim} to {bytes} bytes"),
            Action::Cut(cut) => format!(
                "create VolumeSnapshot {}",
                names::snapshot(pair, cut.site.as_str(), cut.point)
            ),
            Action::AllowModeChange { content } => {
                format!("annotate VolumeSnapshotContent {content}")
            }
            Action::StartMover { site, .. } => start_mover(pair, site.as_str()),
            Action::StopMover { site, .. } => {
                format!("delete pod {}", names::mover(pair, site.as_str()))
            }
            Action::DropCut { name, .. } => format!("delete VolumeSnapshot {name}"),
            Action::DropSourceClaim { name } => format!("delete claim {name}"),
            Action::Command { site, .. } | Action::Pace { site, .. } => {
                format!("send a request to the mover at site {site}")
            }
            Action::Probe(_) => "ask the driver what has changed".into(),
            Action::Ship(plan) => format!("have the mover at site {} ship", plan.source),
            Action::Verify(plan) => format!("have the mover at site {} compare", plan.source),
            Action::SelectPods => "find the pods of the hooks".into(),
            Action::Hold(_) => "run the pre hooks".into(),
            Action::Release(_) => "run the post hooks".into(),
            Action::Scale { replicas, .. } => format!("scale the application to {replicas}"),
            Action::Rebind(desired) => bind(&desired.app_claim),
        }
    }
}

/// How [`Action::describe`] names a re-binding.
pub(crate) fn bind(app_claim: &str) -> String {
    format!("bind claim {app_claim}")
}

/// How [`Action::describe`] names the start of a site's mover.
pub(crate) fn start_mover(pair: &str, site: &str) -> String {
    format!("create pod {}", names::mover(pair, site))
}
