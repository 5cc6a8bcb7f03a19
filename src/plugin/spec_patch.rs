//! What the verbs write into a pair's spec, and the roles that were shown to whoever asks.

use anyhow::{Context, anyhow};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::connect::{Pairs, bounded};
use super::exit::Ended;
use api::names::PLUGIN_MANAGER;
use api::{ReplicationPair, ReplicationPairStatus};

/// What a request is bound to: the roles as they were shown to the person who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    /// The epoch.
    pub(super) epoch: i64,
    /// The site that is primary in it.
    pub(super) primary: String,
    /// The other site.
    pub(super) standby: String,
}

impl Roles {
    /// The roles that the pair reports.
    ///
    /// # Errors
    /// When it reports none yet.
    pub(super) fn of(pair: &ReplicationPair) -> anyhow::Result<Roles> {
        let status = pair.status.as_ref();
        let known = |status: &ReplicationPairStatus| Some((status.epoch?, status.primary.clone()?));
        let (epoch, primary) = status.and_then(known).ok_or_else(|| {
            Ended::Refused(format!(
                "{} does not say yet which site is primary: is the operator running, and is the \
                 condition Validated true?",
                pair.name_any()
            ))
        })?;
        let standby = pair
            .spec
            .sites
            .iter()
            .map(|site| &site.name)
            .find(|name| **name != primary);
        let standby = standby
            .cloned()
            .ok_or_else(|| anyhow!("{} names no site beside {primary}", pair.name_any()))?;
        Ok(Roles {
            epoch,
            primary,
            standby,
        })
    }
}

/// The patch that asks for a verification now.
pub(super) fn verify_patch(trigger: &str) -> Value {
    json!([{"op": "add", "path": "/spec/verifyTrigger", "value": trigger}])
}

/// The patch that has new cycles begin or not.
pub(super) fn paused_patch(paused: bool) -> Value {
    json!([{"op": "add", "path": "/spec/paused", "value": paused}])
}

/// The patch that asks for a cycle now.
pub(super) fn sync_patch(trigger: &str) -> Value {
    json!([{"op": "add", "path": "/spec/syncTrigger", "value": trigger}])
}

/// Sends a patch of this module. The answer is the pair as it stands with the request.
///
/// # Errors
/// What the cluster says.
pub(super) async fn send(
    pairs: &Pairs,
    name: &str,
    patch: Value,
) -> anyhow::Result<ReplicationPair> {
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(patch).context("failed to build the patch")?);
    let params = PatchParams {
        field_manager: Some(PLUGIN_MANAGER.into()),
        ..PatchParams::default()
    };
    bounded(async {
        pairs
            .api()
            .patch(name, &params, &patch)
            .await
            .map_err(|error| pairs.explain(name, &error))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_request_is_bound_to_the_roles_that_were_shown() {
        let roles = Roles::of(&sample::shipping()).unwrap();
        assert_eq!(
            (roles.epoch, &*roles.primary, &*roles.standby),
            (3, "east", "west")
        );
    }

    #[test]
    fn a_pair_without_a_report_takes_no_request() {
        let error = Roles::of(&sample::fresh()).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(Ended::Refused(_))),
            "{error}"
        );
    }
}
