//! Orders, written into a pair's spec so that they count only for the state that was shown.

use anyhow::{Context, anyhow};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::connect::{Pairs, bounded};
use super::exit::Ended;
use api::names::PLUGIN_MANAGER;
use api::v1alpha1::{Promotion, Resolution};
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

/// The patch that requests a promotion, and fails where the roles are no longer `roles`.
pub(super) fn promotion_patch(roles: &Roles, promotion: &Promotion) -> Value {
    let mut patch = tests(roles);
    patch.push(json!({"op": "add", "path": "/spec/promotion", "value": promotion}));
    Value::Array(patch)
}

/// The patch that withdraws a promotion, and fails where the roles are no longer `roles`.
pub(super) fn withdrawal_patch(roles: &Roles) -> Value {
    let mut patch = tests(roles);
    patch.push(json!({"op": "remove", "path": "/spec/promotion"}));
    Value::Array(patch)
}

/// The patch that consents to a discard, and fails where the roles are no longer `roles`.
pub(super) fn resolution_patch(roles: &Roles, resolution: &Resolution) -> Value {
    let mut patch = tests(roles);
    patch.push(json!({"op": "add", "path": "/spec/resolution", "value": resolution}));
    Value::Array(patch)
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

/// The API server evaluates these against the whole object, status included, in the same
/// transaction as the write: nothing can move in between.
fn tests(roles: &Roles) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/status/epoch", "value": roles.epoch}),
        json!({"op": "test", "path": "/status/primary", "value": roles.primary}),
    ]
}

/// Sends a patch of this module. The answer is the pair as it stands with the request.
///
/// # Errors
/// [`Ended::Refused`] when the roles moved since they were shown; else what the cluster says.
pub(super) async fn send(
    pairs: &Pairs,
    name: &str,
    patch: Value,
    dry_run: bool,
) -> anyhow::Result<ReplicationPair> {
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(patch).context("failed to build the patch")?);
    let params = PatchParams {
        field_manager: Some(PLUGIN_MANAGER.into()),
        dry_run,
        ..PatchParams::default()
    };
    bounded(async {
        pairs
            .api()
            .patch(name, &params, &patch)
            .await
            .map_err(|error| match &error {
                kube::Error::Api(status) if is_moved(status.code, &status.message) => {
                    anyhow!(Ended::Refused(format!(
                        "the roles of {name} moved since you were shown them; look again with \
                     kubectl ferry status {name}"
                    )))
                }
                _ => pairs.explain(name, error),
            })
    })
    .await
}

/// Whether an answer means that one of the tests of the patch failed. Failed tests and refused
/// objects are both 422; the API server says nothing more about the first, and names the field of
/// the second.
fn is_moved(code: u16, message: &str) -> bool {
    code == 422 && message.starts_with("the server rejected our request due to an error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use api::v1alpha1::PromotionKind;

    #[test]
    fn a_request_is_bound_to_the_epoch_and_the_primary_that_were_shown() {
        let roles = Roles::of(&sample::shipping()).unwrap();
        assert_eq!(
            (roles.epoch, &*roles.primary, &*roles.standby),
            (3, "east", "west")
        );
        let request = Promotion {
            site: "west".into(),
            epoch: 3,
            kind: PromotionKind::Forced,
            attempt: None,
        };
        assert_eq!(
            promotion_patch(&roles, &request),
            json!([
                {"op": "test", "path": "/status/epoch", "value": 3},
                {"op": "test", "path": "/status/primary", "value": "east"},
                {"op": "add", "path": "/spec/promotion",
                 "value": {"site": "west", "epoch": 3, "kind": "Forced"}},
            ])
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

    #[test]
    fn a_moved_epoch_differs_from_a_refused_object() {
        assert!(is_moved(
            422,
            "the server rejected our request due to an error in our request"
        ));
        assert!(!is_moved(
            422,
            "ReplicationPair.ferry.dev \"orders\" is invalid: spec.promotion.site: Too long"
        ));
        assert!(!is_moved(
            409,
            "the server rejected our request due to an error"
        ));
    }
}
