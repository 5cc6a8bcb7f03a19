//! The objects by which people ask: created, cancelled, found and followed.

use std::fmt::Debug;

use anyhow::anyhow;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::api_error;
use super::connect::{Pairs, bounded};
use super::wait::Stage;
use api::conditions::{self, Holds};
use api::names::{PAIR_LABEL, PLUGIN_MANAGER};
use api::v1alpha1::{PromotionSpec, RequestStatus};
use api::{Promotion, ReplicationPair, Resync};

/// A request about a pair, as the API server keeps it.
pub(super) trait Request:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
{
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
}

impl Request for Promotion {
    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

impl Request for Resync {
    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map_or(&[], |status| &status.conditions)
    }
}

/// Requests of one kind, in the namespace in use.
pub(super) fn api<K: Request>(pairs: &Pairs) -> Api<K> {
    Api::namespaced(pairs.client().clone(), pairs.namespace())
}

/// The metadata of a new request: it goes with its pair, and of two made in one second the later has the
/// greater name.
pub(super) fn metadata(pair: &ReplicationPair, now: Timestamp) -> ObjectMeta {
    let name = pair.name_any();
    let uid = pair.uid().unwrap_or_default();
    let owner = OwnerReference {
        api_version: ReplicationPair::api_version(&()).into_owned(),
        kind: ReplicationPair::kind(&()).into_owned(),
        name: name.clone(),
        uid,
        ..OwnerReference::default()
    };
    let millis = now.as_millisecond().rem_euclid(1000);
    ObjectMeta {
        name: Some(format!(
            "{name}-{}-{millis:03}",
            now.strftime("%Y%m%d-%H%M%S")
        )),
        labels: Some([(PAIR_LABEL.to_string(), name)].into()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Creates a request, or lets the API server judge it without keeping it.
///
/// # Errors
/// What the cluster says.
pub(super) async fn create<K: Request>(
    pairs: &Pairs,
    request: &K,
    dry_run: bool,
) -> anyhow::Result<K> {
    let params = PostParams {
        field_manager: Some(PLUGIN_MANAGER.into()),
        dry_run,
    };
    bounded(async {
        let created = api(pairs).create(&params, request).await;
        created.map_err(explain)
    })
    .await
}

/// Cancels a promotion.
///
/// # Errors
/// What the cluster says.
pub(super) async fn cancel(pairs: &Pairs, name: &str) -> anyhow::Result<Promotion> {
    let params = PatchParams {
        field_manager: Some(PLUGIN_MANAGER.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"cancel": true}}));
    bounded(async {
        let patched = api::<Promotion>(pairs).patch(name, &params, &patch).await;
        patched.map_err(explain)
    })
    .await
}

/// A request by its name; `None` when there is none.
///
/// # Errors
/// What the cluster says.
pub(super) async fn get<K: Request>(pairs: &Pairs, name: &str) -> anyhow::Result<Option<K>> {
    bounded(async { api::<K>(pairs).get_opt(name).await.map_err(explain) }).await
}

/// The newest promotion of a pair that has not ended.
///
/// # Errors
/// What the cluster says.
pub(super) async fn newest(pairs: &Pairs, pair: &str) -> anyhow::Result<Option<Promotion>> {
    let all = bounded(async {
        let all = api::<Promotion>(pairs).list(&ListParams::default()).await;
        all.map_err(explain)
    })
    .await?;
    Ok(newest_of(all.items, pair))
}

fn newest_of(all: Vec<Promotion>, pair: &str) -> Option<Promotion> {
    let ours = all
        .into_iter()
        .filter(|one| one.spec.pair_ref.name == pair && !conditions::is_over(one.conditions()));
    ours.max_by_key(|one| RequestStatus::of(&one.metadata))
}

/// What a person reads about an error met with a request.
fn explain(error: kube::Error) -> anyhow::Error {
    anyhow!(api_error::words(&error))
}

/// How far a request has come by its own conditions; `going` is what the pair does meanwhile.
pub(super) fn stage<K: Request>(
    request: &K,
    done: impl FnOnce(&str) -> String,
    going: impl FnOnce() -> Option<String>,
) -> Stage {
    let verdict = |kind| conditions::get(request.conditions(), kind);
    let is = |condition: &Condition, holds: Holds| condition.status == holds.as_str();
    match (
        verdict(conditions::SUCCEEDED),
        verdict(conditions::ACCEPTED),
    ) {
        (Some(end), _) if is(end, Holds::True) => Stage::Done(done(&end.message)),
        (Some(end), _) if is(end, Holds::False) => {
            Stage::Refused(format!("{}: {}", end.reason, end.message))
        }
        (_, Some(held)) if is(held, Holds::False) => Stage::Going(held.message.clone()),
        (Some(way), _) => Stage::Going(going().unwrap_or_else(|| way.message.clone())),
        (None, _) => Stage::Going("waiting for the operator to pick up the request".into()),
    }
}

/// A promotion of `site` in `epoch`, of no pair yet.
pub(super) fn promotion(pair: &ReplicationPair, spec: PromotionSpec) -> Promotion {
    Promotion {
        metadata: metadata(pair, Timestamp::now()),
        spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn of_two_requests_the_later_has_the_greater_name_and_both_go_with_the_pair() {
        let pair = sample::shipping();
        let now = sample::now();
        let one = metadata(&pair, now);
        assert_eq!(one.name.as_deref(), Some("orders-20261121-120000-000"));
        let later = Timestamp::from_millisecond(now.as_millisecond() + 7).unwrap();
        assert!(metadata(&pair, later).name > one.name);
        let owner = &one.owner_references.unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.name.as_str()),
            ("ReplicationPair", "orders")
        );
    }

    #[test]
    fn the_newest_that_has_not_ended_is_the_one_to_cancel() {
        let all = vec![
            sample::promotion("a", "True"),
            sample::promotion("b", "Unknown"),
            sample::promotion("c", "Unknown"),
            sample::promotion("d", "False"),
        ];
        let newest = newest_of(all.clone(), "invoices");
        assert_eq!(newest.unwrap().name_any(), "c");
        assert_eq!(newest_of(all, "orders"), None);
    }
}
