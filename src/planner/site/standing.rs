//! Which action of a decision stands on which other, and in which order they are done.
//!
//! Nothing of one decision waits for an object that another action of it creates. So when an action fails,
//! only what is named here waits for it, and everything else goes on (K-8):
//!
//! | action | stands on |
//! |---|---|
//! | a request to a mover | the requests to that mover before it |
//! | ship, verify | the requests to both movers |
//! | the first superblock of a site, shipping to it | retaining its volume: no copy goes with a claim (K-2) |
//! | a cut | finding and holding the application's pods |
//! | a claim made from a cut | the leave to make one of another mode |
//! | scaling the application to nothing | retaining the volumes: its claims may go with it (K-2, K-21) |
//! | re-binding claims | scaling the application, the requests to the site that gets the application |

use protocol::units::SiteName;
use wire::control::Request;

use crate::site::Action;

/// What later actions stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ground {
    Mover(SiteName),
    Hooks,
    ModeChange,
    Volume(SiteName),
    Volumes,
    Application,
}

/// What has failed while the actions of one decision are done.
#[derive(Debug, Default)]
pub struct Standing {
    broken: Vec<Ground>,
}

impl Standing {
    /// An action has failed, or was not tried.
    pub fn fails(&mut self, action: &Action) {
        self.broken.extend(ground(action));
    }

    /// Whether an action stands on one that has failed.
    #[must_use]
    pub fn bars(&self, action: &Action) -> bool {
        stands_on(action)
            .iter()
            .any(|ground| self.broken.contains(ground))
    }
}

/// What stands on an action stands on this.
fn ground(action: &Action) -> Vec<Ground> {
    match action {
        Action::Retain { site, .. } => vec![Ground::Volume(site.clone()), Ground::Volumes],
        Action::AllowModeChange { .. } => vec![Ground::ModeChange],
        Action::Command { site, .. } | Action::Pace { site, .. } => {
            vec![Ground::Mover(site.clone())]
        }
        Action::Ship(plan) => vec![Ground::Mover(plan.source.clone())],
        Action::Verify(plan) => vec![Ground::Mover(plan.source.clone())],
        Action::SelectPods | Action::Hold(_) => vec![Ground::Hooks],
        Action::Scale { .. } => vec![Ground::Application],
        Action::MakeStateClaim { .. }
        | Action::MakeReplicaClaim { .. }
        | Action::TakeOver { .. }
        | Action::DropWithSnapshot { .. }
        | Action::Note { .. }
        | Action::Grow { .. }
        | Action::Cut(_)
        | Action::MakeSourceClaim { .. }
        | Action::StartMover { .. }
        | Action::StopMover { .. }
        | Action::DropCut { .. }
        | Action::DropSourceClaim { .. }
        | Action::Probe(_)
        | Action::Release(_)
        | Action::Rebind(_) => Vec::new(),
    }
}

fn stands_on(action: &Action) -> Vec<Ground> {
    match action {
        Action::Command {
            site,
            request: Request::Init(_),
        } => vec![Ground::Mover(site.clone()), Ground::Volume(site.clone())],
        Action::Command { site, .. } | Action::Pace { site, .. } => {
            vec![Ground::Mover(site.clone())]
        }
        Action::Ship(plan) => vec![
            Ground::Mover(plan.source.clone()),
            Ground::Mover(plan.target.clone()),
            Ground::Volume(plan.target.clone()),
        ],
        Action::Verify(plan) => vec![
            Ground::Mover(plan.source.clone()),
            Ground::Mover(plan.target.clone()),
        ],
        Action::Cut(_) | Action::Hold(_) => vec![Ground::Hooks],
        Action::MakeSourceClaim { .. } => vec![Ground::ModeChange],
        Action::Scale { replicas: 0, .. } => vec![Ground::Volumes],
        Action::Rebind(desired) => {
            let leads = desired.primary.iter();
            let leads = leads.map(|leads| Ground::Mover(leads.site.clone()));
            leads.chain([Ground::Application]).collect()
        }
        _ => Vec::new(),
    }
}

/// When an action's turn is: the application is released whatever else is refused, volumes are retained
/// before anything else is touched, and what only adds an object comes last.
pub(crate) fn place(action: &Action) -> u8 {
    match action {
        Action::Release(_) => 0,
        // What is done for a change of the role is noted before.
        Action::Retain { .. } | Action::Note { .. } => 1,
        Action::MakeStateClaim { .. }
        | Action::MakeReplicaClaim { .. }
        | Action::MakeSourceClaim { .. } => 3,
        Action::StartMover { .. } => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Device;
    use protocol::units::{Epoch, Generation, PairId, Point, Role, Seq};
    use uuid::Uuid;
    use wire::control::InitRequest;

    fn site(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    fn command(at: &str) -> Action {
        let reason = "test".into();
        Action::Command {
            site: site(at),
            request: Request::Abort { reason },
        }
    }

    fn scale(replicas: i64) -> Action {
        let version = None;
        Action::Scale { replicas, version }
    }

    fn init(at: &str) -> Action {
        let request = InitRequest {
            pair_id: PairId(Uuid::nil()),
            role: Role::Standby,
            epoch: Epoch::FIRST,
            generation: Generation(Uuid::nil()),
            start: Seq(1),
            never_writable: true,
            requested_primary: site("west"),
            over_damage: false,
        };
        Action::Command {
            site: site(at),
            request: Request::Init(request),
        }
    }

    /// K-8: one that is refused keeps nothing from being done but what stands on it.
    #[test]
    fn k_8_what_does_not_stand_on_a_failed_action_is_done() {
        let grow = Action::Grow {
            claim: "state".into(),
            bytes: 1,
        };
        let start = Action::StartMover {
            site: site("east"),
            device: Device::None,
        };
        let read = Action::MakeSourceClaim {
            site: site("east"),
            point: Point::new(1, 2),
            class: None,
            bytes: 1,
        };
        let allow = Action::AllowModeChange {
            content: "c".into(),
        };
        let stop = scale(0);
        let run = scale(1);
        let retain = Action::Retain {
            site: site("east"),
            volume: "pv".into(),
            before: None,
        };
        let all = [&grow, &start, &read, &allow, &stop, &run, &retain];
        let barred_by = |failed: &Action| -> Vec<&Action> {
            let mut standing = Standing::default();
            standing.fails(failed);
            let barred = all.into_iter().filter(|action| standing.bars(action));
            barred.collect()
        };
        assert!(barred_by(&grow).is_empty());
        assert!(barred_by(&start).is_empty());
        assert_eq!(barred_by(&allow), [&read]);
        assert_eq!(barred_by(&retain), [&stop]);
        let mut standing = Standing::default();
        standing.fails(&retain);
        assert!(
            standing.bars(&init("east")),
            "a copy would go with its claim"
        );
        assert!(!standing.bars(&init("west")));
        assert!(!standing.bars(&command("east")));
        let mut standing = Standing::default();
        standing.fails(&command("east"));
        assert!(standing.bars(&command("east")));
        assert!(!standing.bars(&command("west")));
    }

    /// K-2, K-8: what scaling stands on is done before it, whatever order it was decided in.
    #[test]
    fn k_2_volumes_are_retained_before_the_application_is_scaled() {
        let retain = Action::Retain {
            site: site("east"),
            volume: "pv".into(),
            before: None,
        };
        assert!(place(&retain) < place(&scale(0)));
        assert!(place(&Action::Release(Vec::new())) < place(&retain));
    }
}
