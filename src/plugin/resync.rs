//! `kubectl ferry resync`: consent to discarding what only one site holds, for this epoch.

use jiff::Timestamp;
use kube::ResourceExt;

use super::confirm::{Question, consent};
use super::connect::Target;
use super::exit::Ended;
use super::format;
use super::spec_patch::Roles;
use super::wait::{self, Patience, Stage};
use super::{output, request};
use api::v1alpha1::{PairReference, ResyncSpec};
use api::{Reason, ReplicationPair, Resync, conditions};

/// What `resync` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// The site whose own writes are discarded; it follows the primary afterwards.
    #[arg(long, value_name = "SITE")]
    discard: String,
    /// Consent to what is shown without being asked.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    patience: Patience,
}

/// Shows what is discarded, asks, writes the consent and waits until the site follows.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let pair = pairs.get(&args.pair).await?;
    let roles = Roles::of(&pair)?;
    check_diverged(&pair, &roles, &args.discard)?;
    match args.discard == roles.primary {
        true => anstream::eprint!("{}", text_of_adoption(&pair, &roles)),
        false => anstream::eprint!("{}", text(&pair, &roles)),
    }
    consent(&Question::TypeName(&args.pair), args.yes)?;
    let resync = Resync {
        metadata: request::metadata(&pair, Timestamp::now()),
        spec: ResyncSpec {
            pair_ref: PairReference {
                name: args.pair.clone(),
            },
            discard_site: args.discard.clone(),
            epoch: roles.epoch,
        },
        status: None,
    };
    let requested = request::create(&pairs, &resync, false).await?.name_any();
    if !args.patience.wait {
        anstream::println!(
            "{} resync of {} requested by Resync {requested}",
            output::reference(&args.pair),
            args.discard
        );
        return Ok(());
    }
    wait::request(&pairs, &args.pair, &requested, &args.patience, stage).await
}

/// Whether a site holds writes that the primary lacks.
///
/// # Errors
/// When `discard` is no site, the primary, or follows it.
pub(super) fn check_diverged(
    pair: &ReplicationPair,
    roles: &Roles,
    discard: &str,
) -> Result<(), Ended> {
    if discard == roles.primary {
        if is_replaced(pair) {
            return Ok(());
        }
        return Err(Ended::Refused(format!(
            "{discard} is primary: what it holds is the live copy. Promote {} first if its writes \
             are the ones to keep",
            roles.standby
        )));
    }
    if discard != roles.standby {
        return Err(Ended::Refused(format!(
            "{discard} is no site of this pair: its sites are {} and {}",
            roles.primary, roles.standby
        )));
    }
    if !is_diverged(pair, discard) {
        return Err(Ended::NothingToDo(format!(
            "{discard} holds nothing that {} does not have",
            roles.primary
        )));
    }
    Ok(())
}

fn is_diverged(pair: &ReplicationPair, site: &str) -> bool {
    let Some(status) = &pair.status else {
        return false;
    };
    let condition = conditions::get(&status.conditions, conditions::DIVERGED);
    condition.is_some_and(|c| c.status == "True")
        || status.sites.iter().any(|s| s.name == site && s.diverged)
}

/// Whether the primary's claim is bound to another volume than the pair's (K-1).
fn is_replaced(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    let validated = status.and_then(|s| conditions::get(&s.conditions, conditions::VALIDATED));
    validated.is_some_and(|condition| condition.reason == Reason::VolumeReplaced)
}

/// What is discarded where another volume becomes the primary's.
fn text_of_adoption(pair: &ReplicationPair, roles: &Roles) -> String {
    let claim = &pair.spec.claim_name;
    let mut text = format!(
        "Resync of {}/{}: the volume that claim {claim} is bound to now becomes the pair's (epoch {}).\n",
        pair.namespace().unwrap_or_default(),
        pair.name_any(),
        roles.epoch
    );
    for words in [
        "The next cycle compares both sides completely, and the standby then holds what that volume \
         holds: what the recorded one holds can't be promoted any more."
            .to_string(),
        "The recorded volume stays on its PersistentVolume, which is retained.".to_string(),
        format!(
            "To go on with the recorded volume instead, delete claim {claim} and create it again."
        ),
    ] {
        text.push_str(&format!(
            "  - {}\n",
            format::wrap(&words, format::width(), 4)
        ));
    }
    text
}

fn text(pair: &ReplicationPair, roles: &Roles) -> String {
    let status = pair.status.as_ref();
    let said = status.and_then(|s| conditions::get(&s.conditions, conditions::DIVERGED));
    let head = format!(
        "Resync of {}/{}: {} discards its own writes and follows {} (epoch {}).",
        pair.namespace().unwrap_or_default(),
        pair.name_any(),
        roles.standby,
        roles.primary,
        roles.epoch
    );
    let mut text = format::wrap(&head, format::width(), 2) + "\n";
    let mut bullet = |words: &str| {
        text.push_str(&format!(
            "  - {}\n",
            format::wrap(words, format::width(), 4)
        ));
    };
    if let Some(condition) = said.filter(|c| !c.message.is_empty()) {
        bullet(&condition.message);
    }
    bullet(&format!(
        "What was written at {} and never reached {} is overwritten. It can't be brought back \
         after that; save what may be needed first, with kubectl ferry salvage {} --site {} --to FILE.",
        roles.standby,
        roles.primary,
        pair.name_any(),
        roles.standby
    ));
    bullet(
        "Only what differs is copied, where both sides know what they changed since they parted.",
    );
    text
}

fn stage(request: &Resync, pair: Option<&ReplicationPair>) -> Stage {
    let done = |message: &str| {
        let pair = output::reference(&request.spec.pair_ref.name);
        format!("{pair} {message}")
    };
    let going = || {
        let status = pair?.status.as_ref()?;
        match (&status.waiting, &status.cycle) {
            (Some(wait), _) => Some(format!("waiting for {}", wait.what)),
            (None, Some(cycle)) => Some(super::detail::running(cycle, Timestamp::now())),
            (None, None) => None,
        }
    };
    request::stage(request, done, going)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use api::v1alpha1::ResyncStatus;

    #[test]
    fn only_a_diverged_standby_is_discarded() {
        let healthy = sample::shipping();
        let roles = Roles::of(&healthy).unwrap();
        assert!(matches!(
            check_diverged(&healthy, &roles, "west"),
            Err(Ended::NothingToDo(_))
        ));
        assert!(matches!(
            check_diverged(&healthy, &roles, "east"),
            Err(Ended::Refused(_))
        ));
        let diverged = sample::waiting();
        let roles = Roles::of(&diverged).unwrap();
        assert_eq!(check_diverged(&diverged, &roles, "west"), Ok(()));
        assert!(matches!(
            check_diverged(&diverged, &roles, "east"),
            Err(Ended::Refused(_))
        ));
        assert!(matches!(
            check_diverged(&diverged, &roles, "north"),
            Err(Ended::Refused(_))
        ));
    }

    #[test]
    fn what_is_discarded_is_shown_first() {
        let pair = sample::waiting();
        let text = text(&pair, &Roles::of(&pair).unwrap());
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= format::width()),
            "{text}"
        );
        insta::assert_snapshot!(text, @r#"
            Resync of shop/invoices: west discards its own writes and follows east (epoch
              1).
              - west holds writes that east does not have: kubectl ferry resync invoices
                --discard west gives them up
              - What was written at west and never reached east is overwritten. It can't be
                brought back after that; save what may be needed first, with kubectl ferry
                salvage invoices --site west --to FILE.
              - Only what differs is copied, where both sides know what they changed since
                they parted.
        "#);
    }

    /// K-1: another volume behind the primary's claim becomes the pair's by consent.
    #[test]
    fn k_1_a_primary_is_discarded_only_where_its_volume_was_replaced() {
        let mut pair = sample::shipping();
        let roles = Roles::of(&pair).unwrap();
        let status = pair.status.as_mut().unwrap();
        let replaced = Reason::VolumeReplaced;
        let verdict = (conditions::VALIDATED, false.into(), replaced.as_str(), "");
        conditions::set(&mut status.conditions, None, &sample::ago(0), verdict);
        assert_eq!(check_diverged(&pair, &roles, "east"), Ok(()));
        let text = text_of_adoption(&pair, &roles);
        assert!(text.contains("becomes the pair's (epoch 3)"), "{text}");
    }

    #[test]
    fn the_wait_ends_when_the_site_follows() {
        let stage_of = |succeeded: &str| {
            let promotion = sample::promotion("a", succeeded);
            let resync = Resync {
                metadata: promotion.metadata,
                spec: ResyncSpec {
                    pair_ref: promotion.spec.pair_ref,
                    discard_site: "west".into(),
                    epoch: 1,
                },
                status: Some(ResyncStatus {
                    observed_generation: None,
                    conditions: promotion.status.unwrap().conditions,
                }),
            };
            stage(&resync, Some(&sample::waiting()))
        };
        assert!(matches!(stage_of("Unknown"), Stage::Going(_)));
        assert!(matches!(stage_of("False"), Stage::Refused(_)));
        assert!(matches!(stage_of("True"), Stage::Done(_)));
    }
}
