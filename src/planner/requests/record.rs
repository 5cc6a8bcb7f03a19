//! What is written about each request: how far it has come, whose it is, and that it is deleted once
//! there are enough younger ones.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};

use crate::observe::Observed;
use crate::requests::Answer;
use crate::requests::history::outdated;
use crate::requests::promotions::{Roles, Standing, standings};
use crate::requests::resyncs::{follows, is_replaced};
use api::conditions::{self, Holds};
use api::v1alpha1::{PromotionStatus, ResyncStatus, SwitchStatus, SwitchStep};
use api::{Promotion, Reason, ReplicationPairStatus, Resync};

/// One write about a request. It counts for this very object in this very version, so that whoever was
/// overtaken changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Write<S> {
    /// The object's name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resource version.
    pub version: Option<String>,
    /// What is written.
    pub what: What<S>,
}

/// What is written about a request.
#[derive(Clone, Debug, PartialEq)]
pub enum What<S> {
    /// The pair becomes its owner: it goes with the pair.
    Own,
    /// How far it has come.
    Status(S),
    /// It is deleted.
    Delete,
}

/// All that is written about the requests of a pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestWrites {
    /// Of promotions.
    pub promotions: Vec<Write<PromotionStatus>>,
    /// Of resyncs.
    pub resyncs: Vec<Write<ResyncStatus>>,
}

/// Whether one condition holds, why, and in words.
type Verdict = (Holds, Reason, String);

/// What is written, where `status` is what is recorded of the pair now. `answer` is for the promotion that
/// would begin and does not.
#[must_use]
pub fn writes(
    observed: &Observed,
    status: &ReplicationPairStatus,
    answer: Option<&Answer>,
) -> RequestWrites {
    let names = observed.sites.iter().map(|site| site.name.as_str());
    let Some(roles) = Roles::of(status, names, observed.rules()) else {
        return RequestWrites::default();
    };
    let now = Time(observed.now);
    let standings = standings(&observed.promotions, &roles);
    let known = observed.promotions.iter().zip(standings);
    let promotions = known.map(|(one, standing)| {
        let mut new = one.status.clone().unwrap_or_default();
        if let Some(verdicts) = promotion(&standing, one, &roles, answer) {
            new.observed_generation = one.metadata.generation;
            set(&mut new.conditions, &one.metadata, &now, verdicts);
        }
        if let (Standing::Own, Some(switch)) = (&standing, roles.switch) {
            new.step = Some(switch.step.clone());
            new.loss.clone_from(&switch.loss);
            new.point = switch
                .promoted_point
                .clone()
                .filter(|_| !switch.step.is_before_promotion());
        }
        (&one.metadata, one.status.clone().unwrap_or_default(), new)
    });
    let resyncs = observed.resyncs.iter().map(|one| {
        let mut new = one.status.clone().unwrap_or_default();
        if let Some(verdicts) = resync(observed, status, one) {
            new.observed_generation = one.metadata.generation;
            set(&mut new.conditions, &one.metadata, &now, verdicts);
        }
        (&one.metadata, one.status.clone().unwrap_or_default(), new)
    });
    let uid = observed.pair.metadata.uid.as_deref();
    RequestWrites {
        promotions: due(promotions.collect(), uid, |status: &PromotionStatus| {
            conditions::is_over(&status.conditions)
        }),
        resyncs: due(resyncs.collect(), uid, |status: &ResyncStatus| {
            conditions::is_over(&status.conditions)
        }),
    }
}

/// The writes that are due, one for a request: what it needs next.
fn due<S: PartialEq>(
    all: Vec<(&ObjectMeta, S, S)>,
    pair_uid: Option<&str>,
    is_over: fn(&S) -> bool,
) -> Vec<Write<S>> {
    let ended = all.iter().map(|(meta, before, _)| (*meta, is_over(before)));
    let outdated = outdated(ended);
    let next = all.into_iter().filter_map(|(meta, before, new)| {
        let uid = meta.uid.clone()?;
        let mut owners = meta.owner_references.iter().flatten();
        let owned = owners.any(|owner| Some(owner.uid.as_str()) == pair_uid);
        let what = if outdated.contains(&uid) {
            What::Delete
        } else if !owned {
            What::Own
        } else if before != new {
            What::Status(new)
        } else {
            return None;
        };
        Some(Write {
            name: meta.name.clone()?,
            uid,
            version: meta.resource_version.clone(),
            what,
        })
    });
    next.filter(|_| pair_uid.is_some()).collect()
}

/// Sets `Accepted` and `Succeeded`.
fn set(conditions: &mut Vec<Condition>, meta: &ObjectMeta, now: &Time, verdicts: [Verdict; 2]) {
    let kinds = [conditions::ACCEPTED, conditions::SUCCEEDED];
    for (kind, (holds, reason, message)) in kinds.into_iter().zip(verdicts) {
        let verdict = (kind, holds, reason.as_str(), message.as_str());
        conditions::set(conditions, meta.generation, now, verdict);
    }
}

/// It moves nothing, now or later.
fn refused(reason: &Reason, message: &str) -> Option<[Verdict; 2]> {
    let verdict = (Holds::False, reason.clone(), message.to_string());
    Some([verdict.clone(), verdict])
}

/// It is under way, or waits.
fn going(accepted: Holds, reason: Reason, message: String) -> Option<[Verdict; 2]> {
    let succeeded = (Holds::Unknown, reason.clone(), message.clone());
    Some([(accepted, reason, message), succeeded])
}

/// `Accepted` and `Succeeded` of a promotion; `None` for one of which nothing changes.
fn promotion(
    standing: &Standing,
    one: &Promotion,
    roles: &Roles<'_>,
    answer: Option<&Answer>,
) -> Option<[Verdict; 2]> {
    match standing {
        Standing::Over => None,
        Standing::Void(reason, message) => refused(reason, message),
        Standing::CarriedOut => carried_out(format!(
            "site {} is primary in epoch {}",
            one.spec.site, roles.epoch
        )),
        Standing::Own => roles.switch.and_then(|switch| own(one, roles, switch)),
        Standing::Waits => going(
            Holds::Unknown,
            Reason::SwitchInProgress,
            "waits for the end of the role change that is under way".into(),
        ),
        Standing::Begins | Standing::Joins | Standing::Escalates => match answer {
            Some(Answer::Refused(problem)) => refused(&problem.reason, &problem.message),
            Some(Answer::Held(problem)) => going(
                Holds::False,
                problem.reason.clone(),
                format!("nothing is moved before this is fixed: {}", problem.message),
            ),
            None => None,
        },
    }
}

fn carried_out(message: String) -> Option<[Verdict; 2]> {
    let verdict = |reason| (Holds::True, reason, message.clone());
    Some([verdict(Reason::Following), verdict(Reason::Promoted)])
}

/// Those of the request that the recorded role change was begun for.
fn own(one: &Promotion, roles: &Roles<'_>, switch: &SwitchStatus) -> Option<[Verdict; 2]> {
    let accepted = (
        Holds::True,
        Reason::Following,
        "this is the request that counts".to_string(),
    );
    if switch.finished_at.is_none() {
        let message = format!(
            "{} move of the primary role from {} to {}: step {}",
            switch.kind, switch.from, switch.to, switch.step
        );
        let going = (Holds::Unknown, Reason::SwitchInProgress, message);
        return Some([accepted, going]);
    }
    if switch.step == SwitchStep::Done {
        return carried_out(done(switch));
    }
    let why = switch.cancelled.as_deref().unwrap_or("for no known reason");
    let reason = match one.spec.cancel {
        true => Reason::CancelledByRequest,
        false => Reason::RoleChangeCancelled,
    };
    let message = format!("site {} stays primary: {why}", roles.primary);
    Some([accepted, (Holds::False, reason, message)])
}

/// How a role change has ended, in words.
fn done(switch: &SwitchStatus) -> String {
    let point = switch.promoted_point.as_ref();
    let point = point.map_or(String::new(), |point| format!(" at point {}", point.label));
    let loss = switch.loss.as_ref();
    let loss = loss.map_or(String::new(), |loss| format!(". Lost: {loss}"));
    format!(
        "site {} is primary in epoch {}{point}{loss}",
        switch.to, switch.epoch
    )
}

/// `Accepted` and `Succeeded` of a consent; `None` for one of which nothing changes.
fn resync(
    observed: &Observed,
    status: &ReplicationPairStatus,
    one: &Resync,
) -> Option<[Verdict; 2]> {
    let known = one.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let site = one.spec.discard_site.as_str();
    if conditions::is_over(known) {
        return None;
    }
    if one.metadata.uid.is_some() && status.adopted_by == one.metadata.uid {
        return discarded(
            Reason::VolumeAdopted,
            format!("the volume behind the claim at site {site} is the pair's now"),
        );
    }
    if Some(one.spec.epoch) != status.epoch {
        let epoch = status.epoch.unwrap_or(0);
        return refused(
            &Reason::ConsentForOtherEpoch,
            &format!(
                "the consent is for epoch {}, and the pair is in epoch {epoch}: it is void, and nothing was \
                 discarded for it. Look at the pair's status and consent again if it is still wanted",
                one.spec.epoch
            ),
        );
    }
    let primary = status.primary.as_deref() == Some(site);
    let view = status.sites.iter().find(|known| known.name == site);
    let consents = match (primary, view) {
        (true, _) => is_replaced(observed),
        (false, Some(_)) => !follows(status, site),
        (false, None) => {
            let message = format!("{site} is no site of the pair");
            return refused(&Reason::SitesInvalid, &message);
        }
    };
    if consents {
        let message = format!("what only site {site} holds is discarded");
        return going(Holds::True, Reason::Following, message);
    }
    let accepted = conditions::get(known, conditions::ACCEPTED);
    let accepted = accepted.is_some_and(|c| c.status == Holds::True.as_str());
    match accepted && !primary {
        true => discarded(
            Reason::Discarded,
            format!("what only site {site} held was discarded, and it follows"),
        ),
        false => refused(
            &Reason::NothingToDiscard,
            &format!("site {site} holds nothing that the pair lacks: nothing was discarded"),
        ),
    }
}

fn discarded(reason: Reason, message: String) -> Option<[Verdict; 2]> {
    let accepted = (Holds::True, Reason::Following, message.clone());
    Some([accepted, (Holds::True, reason, message)])
}
