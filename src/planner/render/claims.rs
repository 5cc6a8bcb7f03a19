//! The claims that a pair makes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedLocalObjectReference,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::render::{PairRef, Part};
use api::names;
use protocol::units::{Point, SiteName};

/// The claim of a site's superblock, staging and digests: a small file system.
#[must_use]
pub fn state_claim(
    pair: &PairRef,
    site: &SiteName,
    class: Option<String>,
    bytes: u64,
) -> PersistentVolumeClaim {
    let name = names::state_claim(&pair.name, site.as_str());
    PersistentVolumeClaim {
        metadata: pair.meta(name, site, Part::Metadata, None),
        spec: Some(spec("Filesystem", class, bytes)),
        status: None,
    }
}

/// The claim that the standby's volume is provisioned for: raw block, of the source's size.
#[must_use]
pub fn replica_claim(
    pair: &PairRef,
    site: &SiteName,
    class: Option<String>,
    bytes: u64,
) -> PersistentVolumeClaim {
    let name = names::replica_claim(&pair.name, site.as_str());
    PersistentVolumeClaim {
        metadata: pair.meta(name, site, Part::Replica, None),
        spec: Some(spec("Block", class, bytes)),
        status: None,
    }
}

/// The labels of a replica claim, by which it is the pair's.
#[must_use]
pub fn replica_labels(pair: &PairRef, site: &SiteName) -> BTreeMap<String, String> {
    let name = names::replica_claim(&pair.name, site.as_str());
    let meta = pair.meta(name, site, Part::Replica, None);
    meta.labels.unwrap_or_default()
}

/// A raw block claim made from the snapshot of `point`, for the source mover to read.
#[must_use]
pub fn source_claim(
    pair: &PairRef,
    site: &SiteName,
    point: Point,
    class: Option<String>,
    bytes: u64,
) -> PersistentVolumeClaim {
    let name = names::source_claim(&pair.name, site.as_str(), point);
    let mut spec = spec("Block", class, bytes);
    spec.data_source = Some(TypedLocalObjectReference {
        api_group: Some("snapshot.storage.k8s.io".into()),
        kind: "VolumeSnapshot".into(),
        name: names::snapshot(&pair.name, site.as_str(), point),
    });
    PersistentVolumeClaim {
        metadata: pair.meta(name, site, Part::Source, Some(point)),
        spec: Some(spec),
        status: None,
    }
}

fn spec(mode: &str, class: Option<String>, bytes: u64) -> PersistentVolumeClaimSpec {
    PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".into()]),
        volume_mode: Some(mode.into()),
        storage_class_name: class,
        resources: Some(VolumeResourceRequirements {
            requests: Some(BTreeMap::from([(
                "storage".to_string(),
                Quantity(bytes.to_string()),
            )])),
            limits: None,
        }),
        ..PersistentVolumeClaimSpec::default()
    }
}
