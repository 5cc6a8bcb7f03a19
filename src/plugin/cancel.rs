//! `kubectl ferry promote --cancel`: take a request back.

use kube::ResourceExt;

use super::connect::Pairs;
use super::exit::Ended;
use super::wait::{self, Patience, Stage};
use super::{output, request};
use api::v1alpha1::{
    PairReference, PromotionKind, PromotionSpec, RequestStatus, SwitchKind, SwitchStatus,
    SwitchStep,
};
use api::{Promotion, ReplicationPair};

/// Cancels the newest promotion that has not ended, and waits until the operator has let go.
pub(super) async fn run(pairs: &Pairs, name: &str, patience: &Patience) -> anyhow::Result<()> {
    let pair = pairs.get(name).await?;
    let newest = request::newest(pairs, name).await?;
    let newest = match orphan(pairs, &pair).await? {
        Some(spec) => {
            let made = request::promotion(&pair, spec);
            request::create(pairs, &made, false).await?.name_any()
        }
        None => {
            let newest = check(&pair, newest.as_ref())?.name_any();
            request::cancel(pairs, &newest).await?;
            newest
        }
    };
    if !patience.wait {
        anstream::println!("{} Promotion {newest} cancelled", output::reference(name));
        return Ok(());
    }
    wait::request(pairs, name, &newest, patience, stage).await
}

/// What cancels a move whose own request somebody has deleted, which by itself cancels nothing.
async fn orphan(pairs: &Pairs, pair: &ReplicationPair) -> anyhow::Result<Option<PromotionSpec>> {
    let Some((own, spec)) = cancelling(pair) else {
        return Ok(None);
    };
    let there = request::get::<Promotion>(pairs, &own.name).await?;
    let there = there.is_some_and(|one| one.uid().as_ref() == Some(&own.uid));
    Ok(Some(spec).filter(|_| !there))
}

/// The request that the running move was begun for, and the one that cancels it where that is gone.
fn cancelling(pair: &ReplicationPair) -> Option<(&RequestStatus, PromotionSpec)> {
    let status = pair.status.as_ref()?;
    let going = |s: &&SwitchStatus| s.finished_at.is_none() && goes_back(&s.step);
    let switch = status.switch.as_ref().filter(going)?;
    let kind = match switch.kind {
        SwitchKind::Planned => PromotionKind::Planned,
        SwitchKind::Forced => PromotionKind::Forced,
        SwitchKind::Unknown(_) => return None,
    };
    let spec = PromotionSpec {
        pair_ref: PairReference {
            name: pair.name_any(),
        },
        site: switch.to.clone(),
        epoch: status.epoch?,
        kind,
        accept_loss_of: None,
        cancel: true,
    };
    Some((switch.request.as_ref()?, spec))
}

/// The request that can be cancelled.
fn check<'a>(
    pair: &ReplicationPair,
    newest: Option<&'a Promotion>,
) -> Result<&'a Promotion, Ended> {
    let Some(newest) = newest else {
        return Err(Ended::NothingToDo(format!(
            "{} has no Promotion that is under way; a move that was asked for by spec.primary is taken back \
             by setting that back",
            pair.name_any()
        )));
    };
    let status = pair.status.as_ref();
    let switch = status.and_then(|status| status.switch.as_ref());
    let uid = newest.uid();
    let running = switch.filter(|switch| {
        let own = switch.request.as_ref().map(|request| &request.uid) == uid.as_ref();
        switch.finished_at.is_none() && own
    });
    match running {
        Some(switch) if !goes_back(&switch.step) => Err(Ended::Refused(format!(
            "the role is being moved already (step {}), and that goes forward only; promote back \
             when it is done",
            switch.step
        ))),
        _ => Ok(newest),
    }
}

/// Whether a move at this step may still be taken back: whether the site has the role by now, the operator
/// finds out.
fn goes_back(step: &SwitchStep) -> bool {
    step.is_before_promotion() || *step == SwitchStep::Promote
}

fn stage(request: &Promotion, pair: Option<&ReplicationPair>) -> Stage {
    let status = pair.and_then(|pair| pair.status.as_ref());
    let primary = status.and_then(|status| status.primary.clone());
    let primary = primary.unwrap_or_else(|| "the old primary".into());
    match super::promote::stage(request, pair) {
        Stage::Refused(_) => Stage::Done(format!(
            "{} Promotion {} cancelled, {primary} is primary",
            output::reference(&request.spec.pair_ref.name),
            request.name_any()
        )),
        Stage::Done(_) => Stage::Refused(format!("too late: {} is primary now", request.spec.site)),
        going => going,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_request_can_be_cancelled_until_the_role_has_moved() {
        let mut pair = sample::waiting();
        assert!(matches!(check(&pair, None), Err(Ended::NothingToDo(_))));
        let request = sample::promotion("a", "Unknown");
        let mut at = |kind: SwitchKind, step: SwitchStep| {
            let switch = pair.status.as_mut().unwrap().switch.as_mut().unwrap();
            switch.request = Some(RequestStatus::of(&request.metadata));
            (switch.kind, switch.step) = (kind, step);
            check(&pair, Some(&request)).is_ok()
        };
        assert!(at(SwitchKind::Planned, SwitchStep::StopApplication));
        assert!(at(SwitchKind::Planned, SwitchStep::Promote));
        assert!(at(SwitchKind::Forced, SwitchStep::Promote));
        assert!(!at(SwitchKind::Planned, SwitchStep::Demote));
    }

    #[test]
    fn a_move_whose_request_is_gone_is_cancelled_by_one_that_is_made_so() {
        let mut pair = sample::waiting();
        let request = sample::promotion("a", "Unknown");
        let switch = pair.status.as_mut().unwrap().switch.as_mut().unwrap();
        switch.request = Some(RequestStatus::of(&request.metadata));
        (switch.kind, switch.finished_at) = (SwitchKind::Forced, None);
        let (site, epoch) = (switch.to.clone(), pair.status.as_ref().unwrap().epoch);
        let (own, spec) = cancelling(&pair).unwrap();
        assert_eq!(own.name, "a");
        assert_eq!((spec.site, Some(spec.epoch)), (site, epoch));
        assert!(spec.cancel && spec.kind == PromotionKind::Forced);
    }

    #[test]
    fn the_wait_ends_when_the_operator_lets_go() {
        let stage_of = |succeeded| stage(&sample::promotion("a", succeeded), None);
        assert!(matches!(stage_of("Unknown"), Stage::Going(_)));
        assert!(matches!(stage_of("False"), Stage::Done(_)));
        assert!(matches!(stage_of("True"), Stage::Refused(_)));
    }
}
