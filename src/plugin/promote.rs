//! `kubectl ferry promote`: make the standby the primary. Planned, it loses nothing or does not
//! happen; forced, it shows what is lost and asks first. It writes `spec.promotion` and nothing
//! else: the manifest's `primary` stays a request of whoever owns the manifest.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::confirm::{Question, consent};
use super::connect::{Pairs, Target};
use super::exit::Ended;
use super::spec_patch::{self, Roles};
use super::wait::{self, Patience, Stage};
use super::{cancel, loss_report, output, plan};
use api::v1alpha1::{Promotion, PromotionKind, SwitchStatus, SwitchStep};
use api::{Reason, ReplicationPair, conditions};

/// What `promote` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// The site to promote; the present standby when left out.
    #[arg(long, value_name = "SITE")]
    to: Option<String>,
    /// Promote the committed point as it is, discarding what was written after it. Shows the loss
    /// and asks for consent, which holds for the present epoch only.
    #[arg(long)]
    force: bool,
    /// Consent to what is shown without being asked.
    #[arg(short, long)]
    yes: bool,
    /// Print the steps for the real objects and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Withdraw a request, which works until the role begins to move.
    #[arg(long, conflicts_with_all = ["to", "force", "dry_run"])]
    cancel: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Moves the primary role to the standby.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    if args.cancel {
        return cancel::run(&pairs, &args.pair, &args.patience).await;
    }
    let kind = if args.force {
        PromotionKind::Forced
    } else {
        PromotionKind::Planned
    };
    let request = PromoteRequest {
        name: args.pair,
        to: args.to,
        kind,
        yes: args.yes,
        dry_run: args.dry_run,
        patience: args.patience,
    };
    carry_out(&pairs, request).await
}

/// A move of the primary role, from whichever verb.
pub(super) struct PromoteRequest {
    /// The pair.
    pub(super) name: String,
    /// The site to promote; the standby when `None`.
    pub(super) to: Option<String>,
    /// Planned or forced.
    pub(super) kind: PromotionKind,
    /// Consent was given on the command line.
    pub(super) yes: bool,
    /// Change nothing.
    pub(super) dry_run: bool,
    /// How long to wait for the end.
    pub(super) patience: Patience,
}

/// Checks, shows, asks, requests and waits.
pub(super) async fn carry_out(pairs: &Pairs, request: PromoteRequest) -> anyhow::Result<()> {
    let pair = pairs.get(&request.name).await?;
    let roles = Roles::of(&pair)?;
    check(&pair, &roles, request.to.as_deref())?;
    let point = loss_report::promotable(&pair, &roles)?;
    match request.kind {
        PromotionKind::Forced => {
            anstream::eprint!(
                "{}",
                loss_report::text(&pair, &roles, point, Timestamp::now())
            );
        }
        PromotionKind::Planned => anstream::eprintln!("{}", intent(&pair, &roles)),
    }
    if request.dry_run {
        return dry_run(pairs, &pair, &roles, request.kind).await;
    }
    if request.kind == PromotionKind::Forced {
        consent(&Question::TypeName(&request.name), request.yes)?;
    }
    let promotion = promotion(&pair, &roles, request.kind);
    let patch = spec_patch::promotion_patch(&roles, &promotion);
    let requested = spec_patch::send(pairs, &request.name, patch, false).await?;
    if !request.patience.wait {
        anstream::println!(
            "{} promotion of {} requested",
            output::reference(&request.name),
            roles.standby
        );
        return Ok(());
    }
    let generation = requested.metadata.generation;
    wait::until(pairs, &request.name, &request.patience, |pair| {
        stage(pair, &roles, generation)
    })
    .await?;
    if pair.spec.primary != roles.standby {
        anstream::eprintln!(
            "The manifest still says primary: {}. Change it to {} when convenient; until then the \
             condition PrimaryDisagrees says so, and the role stays where it is.",
            pair.spec.primary,
            roles.standby
        );
    }
    Ok(())
}

/// Whether the role can be moved to `to` at all.
fn check(pair: &ReplicationPair, roles: &Roles, to: Option<&str>) -> Result<(), Ended> {
    let to = to.unwrap_or(&roles.standby);
    if to == roles.primary {
        return Err(Ended::NothingToDo(format!("{to} is primary already")));
    }
    if to != roles.standby {
        return Err(Ended::Refused(format!(
            "{to} is no site of this pair: its sites are {} and {}",
            roles.primary, roles.standby
        )));
    }
    let status = pair.status.as_ref();
    match status
        .and_then(|status| status.switch.as_ref())
        .filter(|s| s.finished_at.is_none())
    {
        Some(switch) if switch.to != roles.standby => Err(Ended::Refused(format!(
            "a switch to {} is under way, at {}; wait for its end",
            switch.to, switch.step
        ))),
        _ => Ok(()),
    }
}

fn intent(pair: &ReplicationPair, roles: &Roles) -> String {
    let application = match &pair.spec.application {
        Some(app) => format!("Ferry stops {} {} and starts it again", app.kind, app.name),
        None => format!(
            "Ferry waits until no pod uses the claim {}",
            pair.spec.claim_name
        ),
    };
    format!(
        "{}/{}: {} becomes primary instead of {} (epoch {} to {}), losing nothing.\n{application}.",
        pair.namespace().unwrap_or_default(),
        pair.name_any(),
        roles.standby,
        roles.primary,
        roles.epoch,
        roles.epoch + 1
    )
}

/// The request; one that was cancelled before gets another number.
fn promotion(pair: &ReplicationPair, roles: &Roles, kind: PromotionKind) -> Promotion {
    let new = Promotion {
        site: roles.standby.clone(),
        epoch: roles.epoch,
        kind,
        attempt: None,
    };
    let status = pair.status.as_ref();
    let cancelled = status.and_then(|status| status.cancelled_promotion.as_ref());
    let same = |old: &&Promotion| (&old.site, old.epoch) == (&new.site, new.epoch);
    let attempt = cancelled
        .filter(same)
        .map(|old| old.attempt.unwrap_or(0) + 1);
    Promotion { attempt, ..new }
}

/// Prints the steps, and lets the API server judge the request without keeping it.
async fn dry_run(
    pairs: &Pairs,
    pair: &ReplicationPair,
    roles: &Roles,
    kind: PromotionKind,
) -> anyhow::Result<()> {
    let promotion = promotion(pair, roles, kind);
    let patch = spec_patch::promotion_patch(roles, &promotion);
    spec_patch::send(pairs, &pair.name_any(), patch, true).await?;
    anstream::print!("{}", plan::text(pairs, pair, roles, kind).await?);
    anstream::println!(
        "{} promotion of {} was not requested (dry run)",
        output::reference(&pair.name_any()),
        roles.standby
    );
    Ok(())
}

/// How far the request of `roles`, written in `generation`, has come.
fn stage(pair: &ReplicationPair, roles: &Roles, generation: Option<i64>) -> Stage {
    let Some(status) = &pair.status else {
        return Stage::Going("the pair's status is gone; waiting for the operator".into());
    };
    // One that goes back has the sites exchanged.
    let ours = |switch: &&SwitchStatus| {
        let asked = switch.to == roles.standby || switch.cancelled.is_some();
        switch.epoch > roles.epoch && asked && status.observed_generation >= generation
    };
    if let Some(switch) = status.switch.as_ref().filter(ours) {
        if switch.step == SwitchStep::Cancelled && tried(pair) {
            let why = switch
                .cancelled
                .as_deref()
                .unwrap_or("the request was withdrawn");
            return Stage::Refused(format!("cancelled: {why}; the role stays where it is"));
        }
        if switch.finished_at.is_some() {
            return Stage::Done(done(pair, switch));
        }
        let waiting = status
            .waiting
            .as_ref()
            .map(|wait| format!(": waiting for {}", wait.what));
        return Stage::Going(format!("{}{}", switch.step, waiting.unwrap_or_default()));
    }
    if status.epoch.is_some_and(|epoch| epoch > roles.epoch) {
        return Stage::Refused(format!(
            "the epoch moved to {} by another request, which voids this one",
            status.epoch.unwrap_or_default()
        ));
    }
    let answer = |kind| {
        conditions::get(&status.conditions, kind).filter(|c| c.observed_generation >= generation)
    };
    let idle = |c: &Condition| c.reason == Reason::NoSwitch || c.reason == Reason::SwitchInProgress;
    match (answer(conditions::SWITCHING), answer(conditions::VALIDATED)) {
        (Some(c), _) if c.status == "False" && !idle(c) => {
            Stage::Refused(format!("{}: {}", c.reason, c.message))
        }
        (_, Some(c)) if c.status == "False" => Stage::Going(format!(
            "nothing is moved before this is fixed: {}",
            c.message
        )),
        (Some(c), _) if c.status == "True" => Stage::Going(c.message.clone()),
        _ => Stage::Going("waiting for the operator to pick up the request".into()),
    }
}

/// Whether the request of the spec is the one that was cancelled, or there is none any more.
fn tried(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    let cancelled = status.and_then(|status| status.cancelled_promotion.as_ref());
    pair.spec.promotion.is_none() || pair.spec.promotion.as_ref() == cancelled
}

fn done(pair: &ReplicationPair, switch: &SwitchStatus) -> String {
    let mut words = format!(
        "{} promoted at {}",
        output::reference(&pair.name_any()),
        switch.to
    );
    if let Some(point) = &switch.promoted_point {
        words.push_str(&format!(", point {}", point.label));
    }
    if let Some(loss) = &switch.loss {
        words.push_str(&format!(", lost: {loss}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_the_standby_can_be_promoted() {
        let pair = sample::shipping();
        let roles = Roles::of(&pair).unwrap();
        assert_eq!(check(&pair, &roles, None), Ok(()));
        assert_eq!(check(&pair, &roles, Some("west")), Ok(()));
        assert!(matches!(
            check(&pair, &roles, Some("east")),
            Err(Ended::NothingToDo(_))
        ));
        assert!(matches!(
            check(&pair, &roles, Some("north")),
            Err(Ended::Refused(_))
        ));
    }

    #[test]
    fn the_wait_follows_the_switch_to_its_end() {
        let mut pair = sample::waiting();
        let roles = Roles::of(&pair).unwrap();
        let Stage::Going(words) = stage(&pair, &roles, Some(4)) else {
            panic!("not going")
        };
        assert!(
            words.starts_with("StopApplication: waiting for pods web-0"),
            "{words}"
        );
        let status = pair.status.as_mut().unwrap();
        status.switch.as_mut().unwrap().finished_at = Some(sample::ago(0));
        status.epoch = Some(2);
        status.primary = Some("west".into());
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Done(_)));
    }

    #[test]
    fn a_request_that_the_operator_refuses_ends_the_wait() {
        let mut pair = sample::waiting();
        let roles = Roles::of(&pair).unwrap();
        let status = pair.status.as_mut().unwrap();
        status.switch = None;
        status.conditions[0].type_ = conditions::SWITCHING.into();
        status.conditions[0].reason = Reason::ConsentForOtherEpoch.into();
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Refused(_)));
        assert!(matches!(stage(&pair, &roles, Some(5)), Stage::Going(_)));
        pair.status.as_mut().unwrap().conditions[0].reason = Reason::NoSwitch.into();
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Going(_)));
        pair.status.as_mut().unwrap().epoch = Some(2);
        assert!(matches!(stage(&pair, &roles, Some(4)), Stage::Refused(_)));
    }
}
