//! What every pair has: a state claim at each site, and the standby's volume.

use crate::decide::{Action, Draft};
use crate::observe::{Claim, SiteView};
use crate::switch;
use crate::validate::Settings;
use api::names;
use api::v1alpha1::SiteStatus;

/// The smallest state claim: room for the superblock, digests, and the staging of a small volume.
const STATE_BYTES_MIN: u64 = 512 << 20;
/// A state claim is this part of its volume when the spec does not say: one tenth.
const STATE_PART: u64 = 10;

/// Asks for what is missing, and reports what each site has.
pub fn ensure(d: &mut Draft<'_>) {
    let moving = d.status.switch.as_ref().is_some_and(switch::rebinding);
    if let (Some(settings), false) = (d.validated.usable(), moving) {
        claims(d, settings);
    }
    if !moving {
        report_sites(d);
    }
}

fn claims(d: &mut Draft<'_>, settings: &Settings) {
    let Some(app) = d.app_claim().filter(|claim| claim.volume.is_some()) else {
        return;
    };
    let bytes = settings.state_volume_bytes.unwrap_or_else(|| {
        let part = app.capacity_bytes / STATE_PART;
        part.max(STATE_BYTES_MIN).next_multiple_of(1 << 20)
    });
    for site in &d.o.sites {
        match &site.state_claim {
            None => {
                let class = settings
                    .site(&site.name)
                    .and_then(|s| s.storage_class.clone());
                d.act(Action::MakeStateClaim {
                    site: site.name.clone(),
                    class,
                    bytes,
                });
            }
            // Only as far as was asked for: not every class lets its claims grow.
            Some(claim) => grow(d, claim, settings.state_volume_bytes.unwrap_or(0)),
        }
    }
    let Some(standby) = d.standby() else { return };
    match &standby.replica_claim {
        None => {
            let class = settings
                .site(&standby.name)
                .and_then(|s| s.storage_class.clone());
            let bytes = app.capacity_bytes.max(app.requested_bytes);
            d.act(Action::MakeReplicaClaim {
                site: standby.name.clone(),
                class,
                bytes,
            });
        }
        // The standby grows first; the source mover's device is compared again before anything is
        // shipped.
        Some(replica) => grow(d, replica, app.capacity_bytes),
    }
}

fn grow(d: &mut Draft<'_>, claim: &Claim, bytes: u64) {
    if claim.requested_bytes < bytes && !claim.deleting {
        d.act(Action::Grow {
            claim: claim.name.clone(),
            bytes,
        });
    }
}

fn report_sites(d: &mut Draft<'_>) {
    let reports = d.o.sites.iter().map(|site| report(d, site)).collect();
    d.status.sites = reports;
}

fn report(d: &Draft<'_>, site: &SiteView) -> SiteStatus {
    let primary = d.status.primary.as_deref() == Some(site.name.as_str());
    let before = d.status.sites.iter().find(|s| s.name == site.name.as_str());
    let claim = if primary {
        site.app_claim.as_ref()
    } else {
        site.replica_claim.as_ref()
    };
    let volume = claim.and_then(|claim| claim.volume.as_ref());
    // A claim that is gone for a moment does not make its volume unknown.
    let kept = |new: Option<String>, old: fn(&SiteStatus) -> &Option<String>| {
        new.or_else(|| before.and_then(|b| old(b).clone()))
    };
    SiteStatus {
        name: site.name.to_string(),
        role: if primary { "Primary" } else { "Standby" }.into(),
        claim: claim.map(|c| c.name.clone()),
        volume: kept(volume.map(|v| v.name.clone()), |s| &s.volume),
        driver: kept(volume.and_then(|v| v.driver.clone()), |s| &s.driver),
        handle: kept(volume.and_then(|v| v.handle.clone()), |s| &s.handle),
        state_claim: site
            .state_claim
            .as_ref()
            .map(|_| names::state_claim(d.o.name(), site.name.as_str())),
        snapshots: site
            .cuts
            .iter()
            .filter(|c| !c.deleting)
            .map(|c| c.name.clone())
            .collect(),
        diverged: before.is_some_and(|b| b.diverged),
    }
}
