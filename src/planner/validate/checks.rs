//! Every kind of bad input, most basic first; the first one found is shown.

use crate::observe::{Observed, SiteView};
use crate::validate::settings::numbers;
use crate::validate::{is_file_share, pinned, snapshot_class};
use api::Reason;
use api::names;
use api::names::PAIR_NAME_MAX;
use api::v1alpha1::{Mode, SiteSpec};

/// Why nothing new is begun, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its stable name.
    pub reason: Reason,
    /// What, where, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of this reason.
    #[must_use]
    pub fn new(reason: Reason, message: String) -> Problem {
        Problem { reason, message }
    }

    /// Whether it bars a forced promotion too. What a disaster takes away, such as the primary's
    /// claim or class, never does: the surviving site needs none of it (K-7). What is wrong with the
    /// pair itself does.
    #[must_use]
    pub fn bars_forced_promotion(&self) -> bool {
        matches!(
            self.reason,
            Reason::NameTooLong
                | Reason::SitesInvalid
                | Reason::ModeNotSupported
                | Reason::ClaimInTwoPairs
                | Reason::SitesSwapped
        )
    }
}

/// The first problem, if there is any.
#[must_use]
pub(super) fn first_problem(observed: &Observed) -> Option<Problem> {
    name(observed)
        .or_else(|| sites(observed))
        .or_else(|| mode(observed))
        .or_else(|| numbers(&observed.pair.spec))
        .or_else(|| rival(observed))
        .or_else(|| claim(observed))
        .or_else(|| swapped(observed))
        .or_else(|| pinned::check(observed))
        .or_else(|| storage_classes(observed))
        .or_else(|| snapshot_class::check(observed))
        .or_else(|| replica(observed))
}

fn name(observed: &Observed) -> Option<Problem> {
    let name = observed.name();
    (name.len() > PAIR_NAME_MAX || name.contains('.')).then(|| {
        Problem::new(
            Reason::NameTooLong,
            format!(
                "the pair's name {name:?} has {} characters; names of its objects are made from it, so use \
                 at most {PAIR_NAME_MAX} of a-z, 0-9 and '-'",
                name.len()
            ),
        )
    })
}

fn sites(observed: &Observed) -> Option<Problem> {
    let spec = &observed.pair.spec;
    let problem = |message| Some(Problem::new(Reason::SitesInvalid, message));
    if spec.sites.len() != 2 || observed.sites.len() != 2 {
        return problem(format!(
            "spec.sites must be exactly two sites with names of a-z, 0-9 and '-'; there are {}",
            observed.sites.len()
        ));
    }
    if spec.sites[0].name == spec.sites[1].name {
        return problem(format!(
            "both of spec.sites are called {}: a pair joins two different sites",
            spec.sites[0].name
        ));
    }
    if let Some(stranger) = observed.sites.iter().find(|site| !site.known) {
        return problem(format!(
            "site {} is not one of the sites that this operator was installed for: use one of those \
             (Helm value `sites`), or add it there",
            stranger.name
        ));
    }
    let derived = |site: &SiteSpec| names::replica_claim(observed.name(), &site.name);
    let other = |site: &&SiteSpec| {
        let named = site.replica_claim_name.as_ref();
        named.is_some_and(|named| *named != derived(site))
    };
    if let Some(site) = spec.sites.iter().find(other) {
        return problem(format!(
            "replicaClaimName of site {} can only be {}, the claim that this pair would make there",
            site.name,
            derived(site)
        ));
    }
    if !spec.sites.iter().any(|site| site.name == spec.primary) {
        return problem(format!(
            "spec.primary {} is not one of spec.sites",
            spec.primary
        ));
    }
    None
}

fn mode(observed: &Observed) -> Option<Problem> {
    (observed.pair.spec.mode == Mode::Journal).then(|| {
        Problem::new(
            Reason::ModeNotSupported,
            "mode Journal is not there yet: use mode Snapshot".into(),
        )
    })
}

fn rival(observed: &Observed) -> Option<Problem> {
    let rival = observed.rival.as_ref()?;
    Some(Problem::new(
        Reason::ClaimInTwoPairs,
        format!(
            "claim {} already belongs to pair {rival}, which is older: delete one of the two pairs",
            observed.pair.spec.claim_name
        ),
    ))
}

fn claim(observed: &Observed) -> Option<Problem> {
    let name = &observed.pair.spec.claim_name;
    let Some(claim) = observed.app_claim() else {
        return Some(Problem::new(
            Reason::ClaimNotFound,
            format!(
                "PersistentVolumeClaim {name} (spec.claimName) does not exist: create it, or delete the pair"
            ),
        ));
    };
    let Some(volume) = &claim.volume else {
        return Some(Problem::new(
            Reason::ClaimNotBound,
            format!(
                "PersistentVolumeClaim {name} is not bound to a volume yet; replication starts when it is \
                 (`kubectl describe pvc {name}` says why it is not)"
            ),
        ));
    };
    if let Some(driver) = volume
        .driver
        .as_deref()
        .filter(|driver| is_file_share(driver))
    {
        return Some(Problem::new(
            Reason::NotABlockImage,
            format!(
                "volume {} of claim {name} is a file share of driver {driver}, and Ferry copies block images: \
                 move the data to a claim of a block driver (docs/drivers.md)",
                volume.name
            ),
        ));
    }
    volume.driver.is_none().then(|| {
        Problem::new(
            Reason::DriverWithoutSnapshots,
            format!(
                "volume {} of claim {name} does not come from a CSI driver, so no snapshots of it can be \
                 taken: move the data to a claim of a CSI storage class",
                volume.name
            ),
        )
    })
}

/// A pair that is applied again after a failover has the application's volume where the role went, whatever
/// its manifest calls primary: to begin with would call one site's volume the other's, and copy it beside
/// itself (K-15).
fn swapped(observed: &Observed) -> Option<Problem> {
    let status = observed.pair.status.as_ref();
    let new = status.is_none_or(|status| status.pair_id.is_none())
        && observed.sites.iter().all(|site| site.state_claim.is_none());
    let primary = &observed.pair.spec.primary;
    let was = observed
        .sites
        .iter()
        .find_map(|site| site.app_volume_site.as_ref())?;
    let other = was != primary && observed.sites.iter().any(|site| site.name.as_str() == was);
    (new && other).then(|| {
        Problem::new(
            Reason::SitesSwapped,
            format!(
                "claim {} is bound to the volume of site {was}, as an earlier pair has left it, and spec.primary \
                 says {primary}: set spec.primary to {was}. If the volume is at {primary}, remove the label \
                 {} from its PersistentVolume",
                observed.pair.spec.claim_name,
                names::SITE_LABEL
            ),
        )
    })
}

fn storage_classes(observed: &Observed) -> Option<Problem> {
    let spec = &observed.pair.spec;
    observed.sites.iter().find(|site| site.storage_class.is_none()).map(|site| {
        let named = spec
            .sites
            .iter()
            .find(|s| s.name == site.name.as_str())
            .and_then(|s| s.storage_class_name.clone());
        let message = match named {
            Some(class) => format!(
                "StorageClass {class} of site {} does not exist: create it, or name one that `kubectl get \
                 storageclass` lists",
                site.name
            ),
            None => format!(
                "site {} names no storage class and the cluster has no default one: set storageClassName",
                site.name
            ),
        };
        Problem::new(Reason::StorageClassNotFound, message)
    })
}

fn replica(observed: &Observed) -> Option<Problem> {
    let primary = observed.primary_site()?;
    let standby: &SiteView = observed.other(&primary)?;
    let source = observed.app_claim()?;
    let replica = standby.replica_claim.as_ref()?;
    if let Some(user) = standby.replica_users.first() {
        let part = user.labels.get(names::PART_LABEL).map(String::as_str);
        if part == Some(names::SALVAGE_PART) {
            return Some(Problem::new(
                Reason::ReplicaInUse,
                format!(
                    "pod {} reads the volume at site {} for kubectl ferry salvage: wait for it, or delete the \
                     pod if it was left over",
                    user.name, standby.name
                ),
            ));
        }
        return Some(Problem::new(
            Reason::ReplicaInUse,
            format!(
                "pod {} uses {}, the standby's volume at site {}: delete the pod. The copy must not be \
                 written; to use the data there, promote the site",
                user.name, replica.name, standby.name
            ),
        ));
    }
    let expandable = standby
        .storage_class
        .as_ref()
        .is_some_and(|class| class.expandable);
    (replica.volume.is_some() && replica.capacity_bytes < source.capacity_bytes && !expandable).then(|| {
        Problem::new(
            Reason::ReplicaTooSmall,
            format!(
                "the standby's volume {} has {} bytes and the source {} has {}, and its storage class does \
                 not allow expansion: allow it (allowVolumeExpansion), or recreate the pair",
                replica.name, replica.capacity_bytes, source.name, source.capacity_bytes
            ),
        )
    })
}
