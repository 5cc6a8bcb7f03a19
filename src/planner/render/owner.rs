//! Whose an object is: labels by which it is found, the reference by which it goes with its pair.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use api::{ReplicationPair, names};
use protocol::units::{Point, SiteName};

/// The pair that objects are built for.
#[derive(Clone, Debug)]
pub struct PairRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The reference that its objects carry.
    pub owner: OwnerReference,
}

/// What an object is for: the value of [`names::PART_LABEL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The standby's volume.
    Replica,
    /// The superblock's volume.
    Metadata,
    /// A snapshot.
    Cut,
    /// A claim made from a snapshot.
    Source,
    /// A mover's pod.
    Mover,
}

impl Part {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Replica => "replica",
            Part::Metadata => "metadata",
            Part::Cut => "cut",
            Part::Source => "source",
            Part::Mover => "mover",
        }
    }
}

impl PairRef {
    /// The reference to `pair`; `None` for one that the API server has not seen.
    #[must_use]
    pub fn of(pair: &ReplicationPair) -> Option<PairRef> {
        Some(PairRef {
            name: pair.name_any(),
            namespace: pair.namespace()?,
            owner: pair.controller_owner_ref(&())?,
        })
    }

    /// Metadata for an object of this pair.
    #[must_use]
    pub fn meta(
        &self,
        name: String,
        site: &SiteName,
        part: Part,
        point: Option<Point>,
    ) -> ObjectMeta {
        let mut labels = BTreeMap::from([
            (
                names::MANAGED_BY_LABEL.to_string(),
                names::MANAGED_BY.to_string(),
            ),
            (names::PAIR_LABEL.to_string(), self.name.clone()),
            (names::PAIR_UID_LABEL.to_string(), self.owner.uid.clone()),
            (names::SITE_LABEL.to_string(), site.to_string()),
            (names::PART_LABEL.to_string(), part.as_str().to_string()),
        ]);
        if let Some(point) = point {
            labels.insert(names::POINT_LABEL.to_string(), point.to_string());
        }
        // The standby's volume outlives the pair unless its deletion policy says otherwise, so the
        // garbage collector must not know of it.
        let owned = part != Part::Replica;
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels),
            owner_references: owned.then(|| vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}
