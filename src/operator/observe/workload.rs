//! The workload of `spec.application`.

use crate::context::Context;
use api::{Promotion, ReplicationPair};
use planner::observe::{Application, needs_workload, read};
use protocol::units::PairName;

/// The workload of `spec.application`, by its scale. The object itself is read while the role moves; a
/// right that is missing for it leaves out who scales it.
///
/// # Errors
/// When the API server refuses.
pub async fn application(
    ctx: &Context,
    pair: &ReplicationPair,
    promotions: &[Promotion],
    name: &PairName,
) -> Result<Option<Application>, kube::Error> {
    let Some(reference) = &pair.spec.application else {
        return Ok(None);
    };
    let api = match ctx
        .kinds
        .api(&ctx.client, name.namespace(), reference)
        .await
    {
        Ok(api) => api,
        Err(why) => return Ok(Some(Application::Missing(why))),
    };
    match api.get_scale(&reference.name).await {
        Ok(scale) => {
            let workload = match needs_workload(pair, promotions) {
                true => api.get_opt(&reference.name).await.ok().flatten(),
                false => None,
            };
            Ok(Some(Application::Found {
                wanted: scale
                    .spec
                    .and_then(|spec| spec.replicas)
                    .unwrap_or(0)
                    .into(),
                version: scale.metadata.resource_version,
                present: scale.status.map_or(0, |status| status.replicas).into(),
                scaled_by: workload.as_ref().and_then(read::scaled_by),
                claims_go_when_scaled: workload.as_ref().is_some_and(read::claims_go_when_scaled),
            }))
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            Ok(Some(Application::Missing(status.message.clone())))
        }
        Err(error) => Err(error),
    }
}
