//! Steps of a role change in states that no cluster comes to by itself.

use crate::decide::{Action, Decision, decide};
use crate::observe::samples::{at_rest, claim, promotion};
use crate::observe::{Application, Observed, VolumeMode};
use crate::validate::validate;
use api::Reason;
use api::v1alpha1::{PromotionKind, RequestStatus, SwitchKind, SwitchStatus, SwitchStep};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use protocol::units::{Epoch, ImageState, Role};
use uuid::Uuid;

/// A change from east to west that has come to this step.
fn moving(kind: SwitchKind, step: SwitchStep) -> Observed {
    let mut observed = at_rest();
    let now = Time(observed.now);
    observed.pair.status.as_mut().unwrap().switch = Some(SwitchStatus {
        kind,
        from: "east".into(),
        to: "west".into(),
        epoch: 2,
        generation: Uuid::from_u128(5).to_string(),
        replicas: Some(1),
        ..SwitchStatus::at(step, now)
    });
    observed
}

fn decided(observed: &Observed) -> Decision {
    decide(observed, &validate(observed))
}

#[test]
fn the_application_does_not_wait_for_the_standbys_claim() {
    let mut observed = moving(SwitchKind::Planned, SwitchStep::Rebind);
    let status = observed.pair.status.as_mut().unwrap();
    (status.primary, status.epoch) = (Some("west".into()), Some(2));
    for view in &mut observed.sites {
        view.app_claim = Some(claim("data", "west-volume", VolumeMode::Filesystem));
        view.replica_claim = None;
        view.application = Some(Application::Found {
            wanted: 0,
            present: 0,
            scaled_by: None,
            claims_go_when_scaled: false,
            version: None,
        });
        let report = view.mover.as_mut().unwrap().superblock.as_mut().unwrap();
        let west = view.name.as_str() == "west";
        report.role = if west { Role::Primary } else { Role::Standby };
        report.epoch = Epoch(2);
    }
    let actions = decided(&observed).actions;
    let starts = |action: &Action| matches!(action, Action::Scale { replicas: 1, .. });
    assert!(actions.iter().any(starts), "{actions:?}");
    let binds = |action: &Action| matches!(action, Action::Rebind(_));
    assert!(actions.iter().any(binds), "{actions:?}");
}

#[test]
fn an_image_that_was_damaged_before_it_could_be_promoted_is_named_and_the_request_can_be_cancelled()
{
    let mut observed = moving(SwitchKind::Forced, SwitchStep::Promote);
    let request = promotion("a", 0, PromotionKind::Forced);
    let moving = observed.pair.status.as_mut().unwrap().switch.as_mut();
    moving.unwrap().request = Some(RequestStatus::of(&request.metadata));
    observed.promotions = vec![request];
    let report = observed.sites[1].mover.as_mut().unwrap();
    report.superblock.as_mut().unwrap().image = ImageState::Inconsistent;
    let decision = decided(&observed);
    assert_eq!(decision.trouble.unwrap().reason, Reason::NoCommittedPoint);
    assert_eq!(decision.status.primary.as_deref(), Some("east"));
    // Its deletion asks for nothing.
    let kept = std::mem::take(&mut observed.promotions);
    let step = decided(&observed).status.switch.unwrap().step;
    assert_eq!(step, SwitchStep::Promote);
    observed.promotions = kept;
    observed.promotions[0].spec.cancel = true;
    let step = decided(&observed).status.switch.unwrap().step;
    assert!(
        matches!(step, SwitchStep::Unpark | SwitchStep::Cancel),
        "{step}"
    );
}
