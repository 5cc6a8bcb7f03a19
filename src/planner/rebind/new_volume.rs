//! The PersistentVolume object and the replica claim that a re-binding makes. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::rebind::object::{BOUND_BY_CONTROLLER, ClaimExt as _};
use crate::rebind::{ClaimRecord, DesiredBinding, RebindView, SiteVolume};
use api::names;
use protocol::units::{PairName, SiteName, VolumeId};

/// Digits of a hash in the names of objects.
const HASH_DIGITS: usize = 10;
/// What the name of a volume ends with that a parked claim names, but for a number.
const PARKED_SUFFIX: &str = "-app";

/// The labels by which a PersistentVolume is found again.
pub fn labels(pair: &PairName, uid: &str, site: &SiteName) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_string(), value.to_string());
    BTreeMap::from([
        label(names::PAIR_LABEL, pair.name()),
        label(names::PAIR_UID_LABEL, uid),
        label(names::PAIR_NAMESPACE_LABEL, pair.namespace()),
        label(names::SITE_LABEL, site.as_str()),
    ])
}

/// A reference to `claim` by name alone: the next claim of that name gets the volume.
pub fn reservation(pair: &PairName, claim: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: Some(pair.namespace().into()),
        name: Some(claim.into()),
        ..ObjectReference::default()
    }
}

/// Another object for the volume of `like`, for the application's claim as it was recorded.
pub fn for_app(
    view: &RebindView,
    desired: &DesiredBinding,
    site: &SiteVolume,
    like: &PersistentVolume,
    record: &ClaimRecord,
) -> PersistentVolume {
    let block = record
        .claim
        .spec
        .as_ref()
        .is_some_and(|spec| spec.volume_mode.as_deref() == Some("Block"));
    let mut volume = another(view, desired, site, like, block, &desired.app_claim);
    // A parked claim is bound by making the very volume that it names.
    if let Some(name) = view
        .claims
        .get(&desired.app_claim)
        .and_then(|c| parked_at(view, c))
    {
        volume.metadata.name = Some(name.into());
    }
    let Some(spec) = &mut volume.spec else {
        return volume;
    };
    if let Some(modes) = record
        .claim
        .spec
        .as_ref()
        .and_then(|spec| spec.access_modes.clone())
    {
        spec.access_modes = Some(modes);
    }
    if !block {
        // The file system came with the data, from the volume that the claim was bound to.
        if let (Some(csi), Some(fs_type)) = (&mut spec.csi, &record.fs_type) {
            csi.fs_type = Some(fs_type.clone());
        }
        if spec.mount_options.as_ref().is_none_or(Vec::is_empty) && !record.mount_options.is_empty()
        {
            spec.mount_options = Some(record.mount_options.clone());
        }
    }
    volume
}

/// Another object for the volume of `like`, as a block device for the site's replica claim.
pub fn for_replica(
    view: &RebindView,
    desired: &DesiredBinding,
    site: &SiteVolume,
    like: &PersistentVolume,
) -> PersistentVolume {
    another(
        view,
        desired,
        site,
        like,
        true,
        &desired.replica_claim(&site.site),
    )
}

fn another(
    view: &RebindView,
    desired: &DesiredBinding,
    site: &SiteVolume,
    like: &PersistentVolume,
    block: bool,
    claim: &str,
) -> PersistentVolume {
    let mut all_labels = like.metadata.labels.clone().unwrap_or_default();
    all_labels.extend(desired.labels(&site.site));
    let mut annotations = like.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(BOUND_BY_CONTROLLER);
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    let mut spec = like.spec.clone();
    if let Some(spec) = &mut spec {
        spec.volume_mode = Some(if block { "Block" } else { "Filesystem" }.into());
        spec.persistent_volume_reclaim_policy = Some("Retain".into());
        spec.claim_ref = Some(reservation(&desired.pair, claim));
    }
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(free_name(view, desired, &site.volume, block)),
            labels: Some(all_labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// The same name after a crash, and another one where an object of that name is in the way.
fn free_name(view: &RebindView, desired: &DesiredBinding, key: &VolumeId, block: bool) -> String {
    let hash = short_hash(&key.driver, &key.handle);
    let mode = if block { "block" } else { "fs" };
    unused(view, format!("ferry-{hash}-{}-{mode}", desired.epoch))
}

/// The name of the volume that a claim which is to be parked names: there is none of that name, until it
/// is made to end the parking.
pub fn parked_name(view: &RebindView, desired: &DesiredBinding) -> String {
    let hash = short_hash(desired.pair.namespace(), desired.pair.name());
    unused(
        view,
        format!("ferry-{hash}-{}{PARKED_SUFFIX}", desired.epoch),
    )
}

/// Whether `name` is one that [`parked_name`] gives.
pub fn is_parked_name(name: &str) -> bool {
    let numbered = name
        .rsplit_once('-')
        .filter(|(_, n)| n.parse::<u32>().is_ok());
    let name = numbered.map_or(name, |(name, _)| name);
    name.starts_with("ferry-") && name.ends_with(PARKED_SUFFIX)
}

/// The volume that a parked claim names; `None` where the claim is not parked.
pub fn parked_at<'a>(view: &RebindView, claim: &'a PersistentVolumeClaim) -> Option<&'a str> {
    let name = claim.volume_name();
    let parked = !claim.is_going() && is_parked_name(name) && !view.volumes.contains_key(name);
    parked.then_some(name)
}

fn short_hash(one: &str, other: &str) -> String {
    let hash = blake3::hash(format!("{one}\0{other}").as_bytes());
    hash.to_hex()[..HASH_DIGITS].to_string()
}

fn unused(view: &RebindView, first: String) -> String {
    let mut name = first.clone();
    let mut n = 1;
    while view.volumes.contains_key(&name) {
        n += 1;
        name = format!("{first}-{n}");
    }
    name
}

/// The claim by which Ferry holds the standby's `volume`.
pub fn replica_claim(
    desired: &DesiredBinding,
    site: &SiteName,
    volume: &PersistentVolume,
) -> PersistentVolumeClaim {
    let label = |key: &str, value: &str| (key.to_string(), value.to_string());
    let spec = volume.spec.clone().unwrap_or_default();
    let storage = spec
        .capacity
        .as_ref()
        .and_then(|capacity| capacity.get("storage"))
        .cloned();
    let requests = storage.map(|size| BTreeMap::from([("storage".to_string(), size)]));
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(desired.replica_claim(site)),
            namespace: Some(desired.pair.namespace().into()),
            labels: Some(BTreeMap::from([
                label(names::MANAGED_BY_LABEL, names::MANAGED_BY),
                label(names::PAIR_LABEL, desired.pair.name()),
                label(names::PAIR_UID_LABEL, &desired.uid),
                label(names::SITE_LABEL, site.as_str()),
                label(names::PART_LABEL, "replica"),
            ])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: spec.access_modes,
            resources: Some(VolumeResourceRequirements {
                requests,
                ..VolumeResourceRequirements::default()
            }),
            // Left out, the default class would be filled in, which the volume is not of.
            storage_class_name: Some(spec.storage_class_name.unwrap_or_default()),
            volume_mode: Some("Block".into()),
            volume_name: volume.metadata.name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
