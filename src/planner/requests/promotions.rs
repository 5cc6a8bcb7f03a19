//! Which Promotion counts: the newest of the present epoch that nobody has cancelled, and no other.
//!
//! | a request that | is |
//! |---|---|
//! | has ended, by its own conditions | left as it is |
//! | the recorded role change was begun for | that change's, whatever else there is |
//! | names another epoch, or no site that can be promoted | void |
//! | is cancelled, of the kind and for the site of a change whose own request is gone | taking that back |
//! | was cancelled before it counted | cancelled |
//! | was begun, and the record of that is lost | void |
//! | is older than another that counts, or than the one that the last change was begun for | superseded |
//! | asks for what is under way, or for the same by force | joined to it |
//! | asks for something else while a change is under way | waiting for its end |

use crate::mutations::Rule;
use crate::mutations::Rules;
use api::conditions::{self, Holds};
use api::v1alpha1::{PromotionKind, RequestStatus, SwitchKind, SwitchStatus, SwitchStep};
use api::{Promotion, Reason, ReplicationPairStatus};

/// Where the pair stands, as far as a promotion depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// The present epoch.
    pub epoch: i64,
    /// The site that is primary in it.
    pub primary: &'a str,
    /// The other site.
    pub standby: &'a str,
    /// The role change that is recorded: the one under way, or the last one.
    pub switch: Option<&'a SwitchStatus>,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
}

impl<'a> Roles<'a> {
    /// Those that `status` records; `None` while it knows no epoch or no primary.
    #[must_use]
    pub fn of(
        status: &'a ReplicationPairStatus,
        sites: impl Iterator<Item = &'a str>,
        rules: Rules,
    ) -> Option<Roles<'a>> {
        let primary = status.primary.as_deref()?;
        let mut others = sites.filter(|site| *site != primary);
        Some(Roles {
            epoch: status.epoch?,
            primary,
            standby: others.next()?,
            switch: status.switch.as_ref(),
            rules,
        })
    }

    /// The role change that is under way.
    fn running(&self) -> Option<&'a SwitchStatus> {
        self.switch.filter(|switch| switch.finished_at.is_none())
    }
}

/// What a promotion is, as the pair stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has ended.
    Over,
    /// The recorded role change is its own.
    Own,
    /// It moves nothing, now or later.
    Void(Reason, String),
    /// It was carried out, though the record of that is lost.
    CarriedOut,
    /// The role change that is under way ends first, whichever way.
    Waits,
    /// It asks for what is under way.
    Joins,
    /// It asks by force for what is under way and planned.
    Escalates,
    /// It asks for a role change, and none is under way.
    Begins,
}

/// What each promotion is, in their order.
#[must_use]
pub fn standings(promotions: &[Promotion], roles: &Roles<'_>) -> Vec<Standing> {
    let orphan = orphan(promotions, roles);
    let alone = promotions.iter().map(|one| alone(one, roles, orphan));
    let alone: Vec<Option<Standing>> = alone.collect();
    let candidates = promotions.iter().zip(&alone);
    let candidates = candidates.filter(|(_, standing)| standing.is_none());
    let newest = candidates
        .map(|(one, _)| RequestStatus::of(&one.metadata))
        .max();
    let all = promotions.iter().zip(alone);
    all.map(|(one, standing)| {
        standing.unwrap_or_else(|| match &newest {
            Some(newest) if *newest != RequestStatus::of(&one.metadata) => superseded(newest),
            _ => counting(one, roles),
        })
    })
    .collect()
}

/// The role change that is under way for a request whose object is gone: nobody can cancel that one.
fn orphan<'a>(promotions: &[Promotion], roles: &Roles<'a>) -> Option<&'a SwitchStatus> {
    let running = roles.running()?;
    let request = running.request.as_ref()?;
    let is = |one: &Promotion| one.metadata.uid.as_ref() == Some(&request.uid);
    (!promotions.iter().any(is)).then_some(running)
}

/// What a promotion is whatever others there are, besides the request of the change that is under way;
/// `None` for one that may count.
fn alone(one: &Promotion, roles: &Roles<'_>, orphan: Option<&SwitchStatus>) -> Option<Standing> {
    let spec = &one.spec;
    let known = one.status.as_ref().map_or(&[][..], |s| &s.conditions);
    if conditions::is_over(known) {
        return Some(Standing::Over);
    }
    let me = RequestStatus::of(&one.metadata);
    let last = roles.switch.and_then(|switch| switch.request.as_ref());
    if last.is_some_and(|last| last.uid == me.uid) {
        return Some(Standing::Own);
    }
    let accepted = conditions::get(known, conditions::ACCEPTED);
    let accepted = accepted.is_some_and(|c| c.status == Holds::True.as_str());
    if spec.epoch != roles.epoch && !roles.rules.breaks(Rule::StaleRequestCounts) {
        if accepted && spec.site == roles.primary && spec.epoch < roles.epoch {
            return Some(Standing::CarriedOut);
        }
        return Some(void(
            Reason::ConsentForOtherEpoch,
            format!(
                "the request is for epoch {}, and the pair is in epoch {}: it is void, and nothing was done. \
                 Look at the pair's status and ask again if it is still wanted",
                spec.epoch, roles.epoch
            ),
        ));
    }
    if spec.site == roles.primary {
        let site = &spec.site;
        return Some(void(
            Reason::AlreadyPrimary,
            format!("site {site} is primary already"),
        ));
    }
    if spec.site != roles.standby {
        return Some(void(
            Reason::SitesInvalid,
            format!(
                "{} is no site of the pair: its sites are {} and {}",
                spec.site, roles.primary, roles.standby
            ),
        ));
    }
    let takes_back = |running: &SwitchStatus| {
        running.to == spec.site && running.kind == SwitchKind::from(spec.kind)
    };
    if spec.cancel && !orphan.is_some_and(takes_back) {
        return Some(void(
            Reason::CancelledByRequest,
            "cancelled by spec.cancel before anything was moved for it".into(),
        ));
    }
    // A change that came to its end has begun an epoch, in which nothing older counts anyway.
    let here = roles
        .switch
        .is_some_and(|switch| switch.epoch > roles.epoch);
    let newer = last.filter(|last| here && me < **last).map(superseded);
    // What was begun for it was recorded first: it is not begun a second time.
    let lost = || {
        void(
            Reason::RoleChangeCancelled,
            "the record of what was done for this request is lost with the pair's status: look at the pair, \
             and ask again if it is still wanted"
                .into(),
        )
    };
    newer.or_else(|| accepted.then(lost))
}

/// What the newest of those that may count is.
fn counting(one: &Promotion, roles: &Roles<'_>) -> Standing {
    let Some(running) = roles.running() else {
        return Standing::Begins;
    };
    let forced = one.spec.kind == PromotionKind::Forced;
    let planned = running.kind == SwitchKind::Planned;
    let early = running.step.is_before_promotion();
    if running.to != one.spec.site {
        return Standing::Waits;
    }
    if forced && planned && early {
        return Standing::Escalates;
    }
    if running.cancelled.is_some() || !early && running.step != SwitchStep::Promote {
        return Standing::Waits;
    }
    if !forced && !planned {
        return void(
            Reason::ForcedUnderWay,
            format!(
                "a forced move to site {} is under way, and a planned one does not replace it",
                running.to
            ),
        );
    }
    Standing::Joins
}

fn superseded(by: &RequestStatus) -> Standing {
    void(
        Reason::Superseded,
        format!("Promotion {} is newer and counts instead", by.name),
    )
}

fn void(reason: Reason, message: String) -> Standing {
    Standing::Void(reason, message)
}
