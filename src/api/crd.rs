//! The CRDs as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Promotion, ReplicationPair, Resync, yaml};

/// Every CRD, with the name of the file that it is checked in as.
#[must_use]
pub fn all() -> Vec<(String, CustomResourceDefinition)> {
    let crds = [ReplicationPair::crd(), Promotion::crd(), Resync::crd()];
    let named = crds.into_iter().map(|crd| {
        let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        (file, crd)
    });
    named.collect()
}

/// All of them as one stream of YAML documents.
///
/// # Errors
/// When a schema can't be written as YAML, which a test rules out.
pub fn all_yaml() -> Result<String, serde_yaml::Error> {
    let documents = all().into_iter().map(|(_, crd)| yaml::to_string(&crd));
    Ok(documents.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}
