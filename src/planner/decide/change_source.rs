//! Which list of changes to ask for, and why no better one.

use crate::decide::DecisionBuilder;
use crate::decide::consent::consent;
use crate::observe::SnapshotFacts;
use crate::observe::{Claim, Cut, SiteView, VolumeMode};
use crate::site::ShipPlan;
use protocol::units::Point;
use wire::control::{BlockImage, MoverStatus};

/// Everything that the shipment of `cut` takes.
#[must_use]
pub fn plan(
    d: &DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    source: &MoverStatus,
    target: &MoverStatus,
    cut: &Cut,
) -> ShipPlan {
    let diverged = target
        .superblock
        .as_ref()
        .is_some_and(|report| report.diverged);
    ShipPlan {
        cycle: cut.point,
        source: primary.name.clone(),
        target: standby.name.clone(),
        snapshot: cut.name.clone(),
        facts: cut.facts.clone(),
        base: base(primary, standby, target),
        allocated: if diverged {
            Err("the standby has writes of its own, and only a comparison finds them".into())
        } else {
            Ok(())
        },
        capacity: source.device_bytes.unwrap_or(0),
        image: image(d.observed.app_claim(), cut),
        transfer: d.settings.transfer,
        consent: consent(d),
    }
}

/// What the device made from a cut has to be. The claim may have grown since the cut, and a driver may
/// leave out the snapshot's size.
fn image(app: Option<&Claim>, cut: &Cut) -> Option<BlockImage> {
    let app = app?;
    let restored = cut.facts.as_ref().and_then(|facts| facts.size_bytes);
    let sizes = [Some(app.capacity_bytes), restored];
    Some(BlockImage {
        bytes: sizes
            .into_iter()
            .flatten()
            .filter(|bytes| *bytes > 0)
            .min()?,
        file_system: app.mode == VolumeMode::Filesystem,
    })
}

/// The newest cut that both sides hold completely, with a snapshot of it at the primary.
fn base(
    primary: &SiteView,
    standby: &SiteView,
    target: &MoverStatus,
) -> Result<(Point, SnapshotFacts), String> {
    let report = target.superblock.as_ref();
    if report.is_some_and(|report| report.diverged) {
        return Err(format!(
            "site {} has writes of its own since the last common cut",
            standby.name
        ));
    }
    let Some(point) = report.and_then(|report| report.committed) else {
        return Err("nothing is committed at the standby yet".into());
    };
    let Some(cut) = primary.cut(point).filter(|cut| cut.ready) else {
        return Err(format!(
            "site {} has no snapshot of the common cut {point} any more",
            primary.name
        ));
    };
    let Some(mut facts) = cut.facts.clone() else {
        return Err(format!(
            "the content of snapshot {} has no handle",
            cut.name
        ));
    };
    // What is beyond the end of the smaller one was never the same at both sides: a volume that was
    // primary before may be longer, with an end that nobody else has.
    let peer = standby.cut(point).and_then(|cut| cut.facts.as_ref());
    let sizes = [facts.size_bytes, peer.and_then(|peer| peer.size_bytes)];
    facts.size_bytes = sizes.into_iter().flatten().min();
    Ok((point, facts))
}
