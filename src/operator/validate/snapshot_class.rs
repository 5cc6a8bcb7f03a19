//! Which snapshot class a site's cuts are taken with.

use crate::api::Reason;
use crate::operator::observe::{Observed, SiteView};
use crate::operator::validate::Problem;

/// The CSI driver of a site's volumes: that of the volume it has, else that of its class.
fn driver(observed: &Observed, site: &SiteView) -> Option<String> {
    let claim = if Some(&site.name) == observed.primary_site().as_ref() {
        site.app_claim.as_ref()
    } else {
        site.replica_claim.as_ref()
    };
    claim
        .and_then(|claim| claim.volume.as_ref()?.driver.clone())
        .or_else(|| {
            site.storage_class
                .as_ref()
                .map(|class| class.driver.clone())
        })
}

/// The class to use at `site`: the one named for it, else the one named for both if the driver is
/// the same, else the driver's default, else its only one.
pub(super) fn usable(observed: &Observed, site: &SiteView) -> Option<String> {
    let driver = driver(observed, site)?;
    let fits = |named: &Option<(String, Option<String>)>| {
        named
            .as_ref()
            .filter(|(_, of)| of.as_ref() == Some(&driver))
            .map(|(name, _)| name.clone())
    };
    let classes = &site.snapshot_classes;
    if classes.named_here.is_some() {
        return fits(&classes.named_here);
    }
    if let Some(name) = fits(&classes.named_for_both) {
        return Some(name);
    }
    let of_driver: Vec<_> = classes
        .all
        .iter()
        .filter(|(_, of, _)| *of == driver)
        .collect();
    of_driver
        .iter()
        .find(|(_, _, default)| *default)
        .or_else(|| of_driver.first().filter(|_| of_driver.len() == 1))
        .map(|(name, _, _)| name.clone())
}

/// What is wrong with the snapshot classes. The primary must have one; a standby may do without,
/// but a class that was named for it must be right.
pub(super) fn check(observed: &Observed) -> Option<Problem> {
    let primary = observed.primary_site()?;
    if observed.sites.iter().any(|site| !site.snapshots_served) {
        return Some(Problem::new(
            Reason::DriverWithoutSnapshots,
            "this cluster serves no VolumeSnapshots: install the snapshot CRDs and the snapshot \
             controller, and a CSI driver that takes snapshots"
                .into(),
        ));
    }
    observed.sites.iter().find_map(|site| {
        named(observed, site, &primary).or_else(|| {
            (site.name == primary && usable(observed, site).is_none())
                .then(|| none_fits(observed, site))
        })
    })
}

fn named(
    observed: &Observed,
    site: &SiteView,
    primary: &crate::units::SiteName,
) -> Option<Problem> {
    let classes = &site.snapshot_classes;
    let (name, of, field) = match (&classes.named_here, &classes.named_for_both) {
        (Some((name, of)), _) => (name, of, "spec.sites[].volumeSnapshotClassName"),
        (None, Some((name, of))) if site.name == *primary || of.is_none() => {
            (name, of, "spec.snapshot.volumeSnapshotClassName")
        }
        _ => return None,
    };
    let Some(of) = of else {
        return Some(Problem::new(
            Reason::SnapshotClassNotFound,
            format!(
                "VolumeSnapshotClass {name} ({field}, site {}) does not exist: create it, or name one \
                 that `kubectl get volumesnapshotclass` lists",
                site.name
            ),
        ));
    };
    let driver = driver(observed, site)?;
    (*of != driver).then(|| {
        Problem::new(
            Reason::SnapshotClassMismatch,
            format!(
                "VolumeSnapshotClass {name} ({field}) belongs to driver {of}, but the volume at site \
                 {} is of driver {driver}: name a class of {driver}",
                site.name
            ),
        )
    })
}

fn none_fits(observed: &Observed, site: &SiteView) -> Problem {
    let driver = driver(observed, site).unwrap_or_else(|| "(not CSI)".into());
    let several = site
        .snapshot_classes
        .all
        .iter()
        .filter(|(_, of, _)| *of == driver)
        .count();
    if several > 1 {
        return Problem::new(
            Reason::SnapshotClassNotFound,
            format!(
                "{several} snapshot classes belong to driver {driver} of the volume at site {} and none is \
                 its default: name one in spec.snapshot.volumeSnapshotClassName",
                site.name
            ),
        );
    }
    if site.snapshot_classes.all.is_empty() {
        return Problem::new(
            Reason::SnapshotClassNotFound,
            format!(
                "there is no VolumeSnapshotClass in this cluster: create one for driver {driver}"
            ),
        );
    }
    Problem::new(
        Reason::DriverWithoutSnapshots,
        format!(
            "no VolumeSnapshotClass belongs to driver {driver} of the volume at site {}: create one if the \
             driver takes snapshots; without snapshots the volume can't be replicated in mode Snapshot",
            site.name
        ),
    )
}
