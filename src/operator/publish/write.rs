//! Writing the status, only when it says something new.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;

use crate::context::Context;
use api::v1alpha1::ReplicationPairStatus;
use api::{ReplicationPair, names};
use planner::publish::transitions;
use protocol::units::PairName;

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the status of pair {pair}: {source}")]
pub struct Error {
    pair: PairName,
    #[source]
    source: Box<kube::Error>,
}

impl Error {
    /// Whether somebody else wrote the pair in between: look again at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        cluster::is_conflict(&self.source)
    }
}

/// Writes `status` if it differs from what `pair` has, and tells what has turned. `pair` is what the
/// API server has afterwards. The write is refused when the object has changed since it was read:
/// a decision is recorded only if it was made on what is.
///
/// # Errors
/// When the API server refuses.
pub async fn publish(
    ctx: &Context,
    name: &PairName,
    pair: &mut ReplicationPair,
    status: ReplicationPairStatus,
) -> Result<(), Error> {
    let before = pair.status.clone().unwrap_or_default();
    if pair.status.as_ref() == Some(&status) || rounded(&before) == rounded(&status) {
        return Ok(());
    }
    let api: Api<ReplicationPair> = Api::namespaced(ctx.client.clone(), name.namespace());
    let patch = json!({
        "apiVersion": ReplicationPair::api_version(&()),
        "kind": ReplicationPair::kind(&()),
        "metadata": {
            "name": name.name(),
            "resourceVersion": pair.metadata.resource_version,
        },
        "status": status,
    });
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    let written = api
        .patch_status(name.name(), &params, &Patch::Apply(patch))
        .await
        .map_err(|source| Error {
            pair: name.clone(),
            source: Box::new(source),
        })?;
    *pair = written;
    for turn in transitions(&before, &status) {
        let events = &ctx.events;
        if turn.warning {
            events
                .warning(pair, turn.reason.as_str(), turn.action, &turn.note)
                .await;
        } else {
            events
                .normal(pair, turn.reason.as_str(), turn.action, &turn.note)
                .await;
        }
    }
    Ok(())
}

/// As the API server keeps it: times lose their fractions, and a status that differs in nothing else
/// is not written again.
fn rounded(status: &ReplicationPairStatus) -> Option<serde_json::Value> {
    serde_json::to_value(status).ok()
}
