//! What the facts mean for storage: classes, drivers and the claim. Pure.

use super::facts::{ClaimFact, Facts};
use super::finding::{Finding, Level, finding};
use planner::validate::is_file_share;

/// What is known of the storage: per site of the pair, else for the cluster.
pub(super) fn classes(facts: &Facts) -> Vec<Finding> {
    let classes = match &facts.classes {
        Ok(classes) => classes,
        Err(why) => return vec![finding(Level::Unknown, "storage classes", why)],
    };
    if !classes.snapshots_served {
        return vec![finding(
            Level::Fails,
            "snapshots",
            "the server knows no VolumeSnapshots, or you may not list their classes: install the \
             snapshot CRDs and controller (kubernetes-csi/external-snapshotter)",
        )];
    }
    let Some(pair) = &facts.pair else {
        return vec![able(facts)];
    };
    let both = pair.spec.snapshot.volume_snapshot_class_name.as_ref();
    let site = |site: &api::v1alpha1::SiteSpec| {
        let subject = format!("site {}", site.name);
        let Some(class) = classes.storage_class(site) else {
            return finding(
                Level::Fails,
                &subject,
                match &site.storage_class_name {
                    Some(name) => format!("there is no StorageClass {name}"),
                    None => "it names no storage class, and the cluster has no default one".into(),
                },
            );
        };
        let about = format!("StorageClass {} of driver {}", class.name, class.driver);
        if is_file_share(&class.driver) {
            return finding(
                Level::Fails,
                &subject,
                format!(
                    "{about} serves file shares, and Ferry copies block images (docs/drivers.md)"
                ),
            );
        }
        let snapshots = classes.snapshot_classes(site.volume_snapshot_class_name.as_ref(), both);
        let fits = snapshots.all.iter().any(|(_, of, _)| *of == class.driver);
        match fits {
            true => finding(Level::Passes, &subject, format!("{about}, with snapshots")),
            false => finding(
                Level::Fails,
                &subject,
                format!(
                    "{about} has no VolumeSnapshotClass, so no cut can be taken while it is primary"
                ),
            ),
        }
    };
    pair.spec.sites.iter().map(site).collect()
}

/// Whether any class of the cluster would do.
fn able(facts: &Facts) -> Finding {
    let classes = facts
        .classes
        .iter()
        .map(|classes| classes.snapshot_classes(None, None));
    let snapshots: Vec<String> = classes
        .flat_map(|classes| classes.all)
        .map(|(_, driver, _)| driver)
        .collect();
    let able = |driver: &&String| !is_file_share(driver) && snapshots.contains(driver);
    match facts.drivers.iter().find(able) {
        Some(driver) => finding(
            Level::Passes,
            "snapshots",
            format!("driver {driver} has a storage class and a snapshot class"),
        ),
        None => finding(
            Level::Fails,
            "snapshots",
            "no block driver has both a StorageClass and a VolumeSnapshotClass (docs/drivers.md)",
        ),
    }
}

/// The claim that the pair replicates; nothing without a pair.
pub(super) fn claim(facts: &Facts) -> Option<Finding> {
    let subject = "claim";
    let claim = match &facts.claim {
        Ok(claim) => claim.as_ref()?,
        Err(why) => return Some(finding(Level::Fails, subject, why)),
    };
    let ClaimFact { name, driver, .. } = claim;
    Some(match (claim.bound, driver) {
        (false, _) => finding(
            Level::Warns,
            subject,
            format!("{name} is not bound yet; replication begins when it is"),
        ),
        (true, None) => finding(
            Level::Fails,
            subject,
            format!(
                "the volume of {name} does not come from a CSI driver, so no snapshots can be taken"
            ),
        ),
        (true, Some(driver)) if is_file_share(driver) => finding(
            Level::Fails,
            subject,
            format!("{name} is a file share of {driver}, and Ferry copies block images"),
        ),
        (true, Some(driver)) => finding(
            Level::Passes,
            subject,
            format!(
                "{name} is a {} of {driver}, class {}",
                if claim.block {
                    "block device"
                } else {
                    "file system"
                },
                claim.class.as_deref().unwrap_or("unknown")
            ),
        ),
    })
}
