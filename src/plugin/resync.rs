//! `kubectl ferry resync`: consent to discarding what only one site holds, for this epoch.

use kube::ResourceExt;

use super::confirm::{Question, consent};
use super::connect::Target;
use super::exit::Ended;
use super::format::{self, WIDTH};
use super::output;
use super::spec_patch::{self, Roles};
use super::wait::{self, Patience, Stage};
use api::v1alpha1::Resolution;
use api::{ReplicationPair, conditions};

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
    anstream::eprint!("{}", text(&pair, &roles));
    consent(&Question::TypeName(&args.pair), args.yes)?;
    let resolution = Resolution {
        discard_site: args.discard.clone(),
        epoch: roles.epoch,
    };
    let patch = spec_patch::resolution_patch(&roles, &resolution);
    let requested = spec_patch::send(&pairs, &args.pair, patch, false).await?;
    if !args.patience.wait {
        anstream::println!(
            "{} resync of {} requested",
            output::reference(&args.pair),
            args.discard
        );
        return Ok(());
    }
    let generation = requested.metadata.generation;
    wait::until(&pairs, &args.pair, &args.patience, |pair| {
        stage(pair, &args.discard, generation)
    })
    .await
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
    let mut text = format::wrap(&head, WIDTH, 2) + "\n";
    let mut bullet = |words: &str| {
        text.push_str(&format!("  - {}\n", format::wrap(words, WIDTH, 4)));
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

fn stage(pair: &ReplicationPair, site: &str, generation: Option<i64>) -> Stage {
    let Some(status) = &pair.status else {
        return Stage::Going("the pair's status is gone; waiting for the operator".into());
    };
    if status.observed_generation >= generation && !is_diverged(pair, site) {
        return Stage::Done(format!(
            "{} {site} follows again",
            output::reference(&pair.name_any())
        ));
    }
    Stage::Going(match (&status.waiting, &status.cycle) {
        (Some(wait), _) => format!("waiting for {}", wait.what),
        (None, Some(cycle)) => super::detail::running(cycle, jiff::Timestamp::now()),
        (None, None) => "waiting for the operator to take the consent up".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

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
            text.lines().all(|line| line.chars().count() <= WIDTH),
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

    #[test]
    fn the_wait_ends_when_the_site_follows() {
        let mut pair = sample::waiting();
        assert!(matches!(stage(&pair, "west", Some(4)), Stage::Going(_)));
        let status = pair.status.as_mut().unwrap();
        status.sites[1].diverged = false;
        status
            .conditions
            .retain(|c| c.type_ != conditions::DIVERGED);
        assert!(matches!(stage(&pair, "west", Some(4)), Stage::Done(_)));
        assert!(matches!(stage(&pair, "west", Some(5)), Stage::Going(_)));
    }
}
