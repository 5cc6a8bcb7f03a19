//! The CRDs as YAML.

use kube::CustomResourceExt;

use crate::api::{ReplicationPair, yaml};

/// The CRD manifest, as checked in under `crds/` and in the chart.
///
/// # Errors
/// When the schema can't be written as YAML, which a test rules out.
pub fn replication_pair_yaml() -> Result<String, serde_yaml::Error> {
    yaml::to_string(&ReplicationPair::crd())
}
