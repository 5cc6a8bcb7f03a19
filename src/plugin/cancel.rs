//! `kubectl ferry promote --cancel`: withdraw a request before the role begins to move.

use kube::ResourceExt;

use super::connect::Pairs;
use super::exit::Ended;
use super::output;
use super::spec_patch::{self, Roles};
use super::wait::{self, Patience, Stage};
use api::ReplicationPair;
use api::v1alpha1::{SwitchStatus, SwitchStep};

/// Takes `spec.promotion` away and waits until the operator has let go.
pub(super) async fn run(pairs: &Pairs, name: &str, patience: &Patience) -> anyhow::Result<()> {
    let pair = pairs.get(name).await?;
    let roles = Roles::of(&pair)?;
    check(&pair)?;
    let patch = spec_patch::withdrawal_patch(&roles);
    let requested = spec_patch::send(pairs, name, patch, false).await?;
    if !patience.wait {
        anstream::println!("{} request withdrawn", output::reference(name));
        return Ok(());
    }
    let generation = requested.metadata.generation;
    wait::until(pairs, name, patience, |pair| {
        stage(pair, &roles, generation)
    })
    .await
}

fn running(pair: &ReplicationPair) -> Option<&SwitchStatus> {
    pair.status
        .as_ref()?
        .switch
        .as_ref()
        .filter(|switch| switch.finished_at.is_none())
}

fn check(pair: &ReplicationPair) -> Result<(), Ended> {
    match running(pair) {
        _ if pair.spec.promotion.is_none() => Err(Ended::NothingToDo(format!(
            "{} has no request; a switch that was asked for by spec.primary is withdrawn by setting \
             that back",
            pair.name_any()
        ))),
        Some(switch) if !switch.step.is_before_promotion() => Err(Ended::Refused(format!(
            "the role is being moved already (step {}), and that goes forward only; promote back \
             when it is done",
            switch.step
        ))),
        _ => Ok(()),
    }
}

fn stage(pair: &ReplicationPair, roles: &Roles, generation: Option<i64>) -> Stage {
    let Some(status) = &pair.status else {
        return Stage::Going("the pair's status is gone; waiting for the operator".into());
    };
    match (running(pair), &status.switch) {
        (Some(switch), _) => Stage::Going(format!("the switch is at step {}", switch.step)),
        (None, Some(switch))
            if switch.epoch > roles.epoch
                && switch.to == roles.standby
                && switch.step != SwitchStep::Cancelled =>
        {
            Stage::Refused(format!("too late: {} is primary now", switch.to))
        }
        _ if status.observed_generation >= generation => Stage::Done(format!(
            "{} request withdrawn, {} stays primary",
            output::reference(&pair.name_any()),
            roles.primary
        )),
        _ => Stage::Going("waiting for the operator to let go".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_request_can_be_withdrawn_until_the_role_moves() {
        let mut pair = sample::waiting();
        assert!(matches!(
            check(&sample::shipping()),
            Err(Ended::NothingToDo(_))
        ));
        pair.status.as_mut().unwrap().switch.as_mut().unwrap().step = SwitchStep::StopApplication;
        assert_eq!(check(&pair), Ok(()));
        pair.status.as_mut().unwrap().switch.as_mut().unwrap().step = SwitchStep::Promote;
        assert!(matches!(check(&pair), Err(Ended::Refused(_))));
    }

    #[test]
    fn the_wait_ends_when_the_operator_lets_go() {
        let mut pair = sample::waiting();
        let roles = Roles::of(&pair).unwrap();
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Going(_)));
        let switch = pair.status.as_mut().unwrap().switch.as_mut().unwrap();
        switch.finished_at = Some(sample::ago(0));
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Refused(_)));
        pair.status.as_mut().unwrap().switch.as_mut().unwrap().step = SwitchStep::Cancelled;
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Done(_)));
        assert!(matches!(stage(&pair, &roles, Some(5)), Stage::Going(_)));
    }
}
