//! Movers that a decision needs: whether they answer and can be used, and what that waits for.

use jiff::SignedDuration;
use uuid::Uuid;

use crate::decide::DecisionBuilder;
use crate::decide::consent::consent;
use crate::decide::failing;
use crate::observe::SiteView;
use api::Reason;
use protocol::units::{Epoch, Generation, PairId, Role, Seq};
use wire::control::{InitRequest, MoverStatus, Refusal, RefusalKind, Request};

/// A pod that waits for its volumes or a free slot is no trouble before this.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// The report of a wanted mover that answers and has a superblock of this pair. A blank one is
/// given its first superblock; one that can't be used is reported.
pub fn ready<'a>(d: &mut DecisionBuilder<'a>, site: &SiteView) -> Option<&'a MoverStatus> {
    let Some(mover) = d.mover(&site.name) else {
        let what = missing(d, site);
        d.wait(what);
        return None;
    };
    if let Some(error) = &mover.superblock_error {
        unreadable(d, site, error);
        return None;
    }
    if mover.superblock.is_none() {
        init(d, site, false);
        d.wait(format!("the first superblock at site {}", site.name));
        return None;
    }
    Some(mover)
}

/// A side whose superblock is damaged may hold anything: it is held like one that has diverged, and given
/// a new superblock only by consent (H-8). Where the disk failed, the next mover may read it.
fn unreadable(d: &mut DecisionBuilder<'_>, site: &SiteView, error: &Refusal) {
    let name = site.name.as_str();
    let damaged = error.kind != RefusalKind::StateVolumeFailed;
    if damaged && d.standby().is_some_and(|standby| standby.name == site.name) {
        if let Some(status) = d.status.sites.iter_mut().find(|s| s.name == name) {
            status.diverged = true;
        }
        if consent(d).is_some() {
            init(d, site, true);
        }
    }
    d.trouble(
        Reason::StateVolumeUnreadable,
        format!(
            "the state volume at site {name} can't be used: {}",
            error.message
        ),
    );
    d.wait(format!("the state volume at site {name}"));
}

/// What a mover that does not answer is waited for.
fn missing(d: &mut DecisionBuilder<'_>, site: &SiteView) -> String {
    let Some(pod) = &site.pod else {
        return format!("the mover at site {} to start", site.name);
    };
    let phase = d.timeline.phase.as_ref();
    let patient = phase.is_some_and(|(_, since)| d.observed.now.duration_since(*since) <= PATIENCE);
    match pod.problem.as_ref().filter(|_| !patient) {
        Some(problem) => {
            d.trouble(
                Reason::MoverNotStarting,
                format!("pod {} does not start: {problem}", pod.name),
            );
            format!("pod {} to start: {problem}", pod.name)
        }
        None => format!("pod {} to answer", pod.name),
    }
}

fn init(d: &mut DecisionBuilder<'_>, site: &SiteView, over_damage: bool) {
    let status = &d.status;
    let uuid = |text: &Option<String>| text.as_deref().and_then(|t| Uuid::parse_str(t).ok());
    let (Some(pair_id), Some(generation)) = (uuid(&status.pair_id), uuid(&status.generation))
    else {
        return;
    };
    let requested_primary = status.handled_primary.as_ref().or(status.primary.as_ref());
    let Some(requested_primary) =
        requested_primary.and_then(|requested_primary| requested_primary.parse().ok())
    else {
        return;
    };
    let primary = status.primary.as_deref() == Some(site.name.as_str());
    let peer = d
        .observed
        .other(&site.name)
        .and_then(|other| other.mover.as_ref()?.superblock.as_ref());
    let start = peer
        .and_then(|report| report.lineage.last())
        .map_or(Seq(1), |entry| entry.start);
    let epoch = d.epoch();
    let request = InitRequest {
        pair_id: PairId(pair_id),
        role: if primary {
            Role::Primary
        } else {
            Role::Standby
        },
        epoch,
        generation: Generation(generation),
        start,
        never_writable: !primary && epoch == Epoch::FIRST,
        requested_primary,
        over_damage,
    };
    d.ask(&site.name, Request::Init(request));
}

/// What keeps the movers from starting, as a clause.
#[must_use]
pub fn stuck(d: &DecisionBuilder<'_>) -> String {
    let problems = d.observed.sites.iter().filter_map(|site| {
        let pod = site.pod.as_ref()?;
        Some(format!("{}: {}", pod.name, pod.problem.as_deref()?))
    });
    let refused = d.observed.sites.iter().filter_map(|site| {
        let refused = failing::of_mover(&d.status, d.observed.name(), site)?;
        Some(format!(
            "to {} is refused: {}",
            refused.action, refused.message
        ))
    });
    let problems: Vec<String> = problems.chain(refused).collect();
    if problems.is_empty() {
        "Kubernetes names no cause; see the pods' events".into()
    } else {
        problems.join("; ")
    }
}
