//! `kubectl ferry promote`: make the standby the primary. Planned, it loses nothing or does not
//! happen; forced, it shows what is lost and asks first. It creates a Promotion and nothing else: the
//! manifest's `primary` stays a request of whoever owns the manifest.

use jiff::Timestamp;
use kube::ResourceExt;

use super::confirm::{Question, consent};
use super::connect::{Pairs, Target};
use super::exit::Ended;
use super::spec_patch::Roles;
use super::wait::{self, Patience, Stage};
use super::{cancel, loss_report, output, plan, request};
use api::v1alpha1::{PairReference, PromotionKind, PromotionSpec};
use api::{Promotion, ReplicationPair};

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
    /// Cancel a request, which works until the application runs at the new site.
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
    let requested = request::create(pairs, &promotion, false).await?.name_any();
    if !request.patience.wait {
        anstream::println!(
            "{} promotion of {} requested by Promotion {requested}",
            output::reference(&request.name),
            roles.standby
        );
        return Ok(());
    }
    wait::request(pairs, &request.name, &requested, &request.patience, stage).await?;
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

/// The request.
fn promotion(pair: &ReplicationPair, roles: &Roles, kind: PromotionKind) -> Promotion {
    let spec = PromotionSpec {
        pair_ref: PairReference {
            name: pair.name_any(),
        },
        site: roles.standby.clone(),
        epoch: roles.epoch,
        kind,
        accept_loss_of: None,
        cancel: false,
    };
    request::promotion(pair, spec)
}

/// Prints the steps, and lets the API server judge the request without keeping it.
async fn dry_run(
    pairs: &Pairs,
    pair: &ReplicationPair,
    roles: &Roles,
    kind: PromotionKind,
) -> anyhow::Result<()> {
    let promotion = promotion(pair, roles, kind);
    request::create(pairs, &promotion, true).await?;
    anstream::print!("{}", plan::text(pairs, pair, roles, kind).await?);
    anstream::println!(
        "{} promotion of {} was not requested (dry run)",
        output::reference(&pair.name_any()),
        roles.standby
    );
    Ok(())
}

/// How far the request has come.
pub(super) fn stage(request: &Promotion, pair: Option<&ReplicationPair>) -> Stage {
    let going = || {
        let status = pair?.status.as_ref()?;
        let switch = status.switch.as_ref().filter(|s| s.finished_at.is_none())?;
        let waiting = status.waiting.as_ref();
        let waiting = waiting.map(|wait| format!(": waiting for {}", wait.what));
        Some(format!("{}{}", switch.step, waiting.unwrap_or_default()))
    };
    request::stage(request, |_| done(request), going)
}

fn done(request: &Promotion) -> String {
    let mut words = format!(
        "{} promoted at {}",
        output::reference(&request.spec.pair_ref.name),
        request.spec.site
    );
    let status = request.status.clone().unwrap_or_default();
    if let Some(point) = &status.point {
        words.push_str(&format!(", point {}", point.label));
    }
    if let Some(loss) = &status.loss {
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
    fn the_wait_follows_the_request_to_its_end() {
        let pair = sample::waiting();
        let stage_of = |succeeded| stage(&sample::promotion("a", succeeded), Some(&pair));
        let Stage::Going(words) = stage_of("Unknown") else {
            panic!("not going")
        };
        assert!(
            words.starts_with("StopApplication: waiting for pods web-0"),
            "{words}"
        );
        assert!(matches!(stage_of("True"), Stage::Done(_)));
        assert!(matches!(stage_of("False"), Stage::Refused(_)));
    }

    #[test]
    fn what_has_to_be_fixed_first_is_shown_while_the_request_waits() {
        let mut request = sample::promotion("a", "Unknown");
        let status = request.status.as_mut().unwrap();
        status.conditions[0].status = "False".into();
        status.conditions[0].message = "the interval can't be read".into();
        let waits = Stage::Going("the interval can't be read".into());
        assert_eq!(stage(&request, None), waits);
        request.status = None;
        assert!(matches!(stage(&request, None), Stage::Going(_)));
    }
}
