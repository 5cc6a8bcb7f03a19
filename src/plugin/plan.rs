//! `--dry-run`: every step of a move of the role, for the real objects, before any is done. The
//! steps on claims and volumes come from the operator's own planner.

use anyhow::Context;
use kube::ResourceExt;

use super::connect::{Pairs, bounded};
use super::format;
use super::spec_patch::Roles;
use api::ReplicationPair;
use api::v1alpha1::PromotionKind;
use planner::rebind;
use planner::rebind::{DesiredBinding, Plan, SiteVolume};
use protocol::units::{Epoch, PairName};

/// What the operator would do, as text.
///
/// # Errors
/// When the objects can't be read, or a person would have to act first.
pub(super) async fn text(
    pairs: &Pairs,
    pair: &ReplicationPair,
    roles: &Roles,
    kind: PromotionKind,
) -> anyhow::Result<String> {
    let desired = desired(pair, roles).context(
        "the pair's status does not name both volumes yet; wait until the first cycle has begun",
    )?;
    let view = bounded(async { Ok(cluster::rebind_view(pairs.client(), &desired).await?) })
        .await
        .context("failed to read the claims and volumes")?;
    let plan = rebind::plan(&view, &desired)?;
    Ok(render(pair, roles, kind, &plan))
}

/// What the claims should be bound to once the standby is primary.
fn desired(pair: &ReplicationPair, roles: &Roles) -> Option<DesiredBinding> {
    let volume = |site: &str| {
        let status = pair
            .status
            .as_ref()?
            .sites
            .iter()
            .find(|s| s.name == site)?;
        Some(SiteVolume {
            site: site.parse().ok()?,
            volume: status.volume_id()?,
        })
    };
    Some(DesiredBinding {
        pair: PairName::new(&pair.namespace()?, &pair.name_any()).ok()?,
        uid: pair.uid()?,
        epoch: Epoch(u64::try_from(roles.epoch).ok()? + 1),
        app_claim: pair.spec.claim_name.clone(),
        primary: Some(volume(&roles.standby)?),
        standby: Some(volume(&roles.primary)?),
        closed: None,
        only_reserve: false,
    })
}

fn render(pair: &ReplicationPair, roles: &Roles, kind: PromotionKind, plan: &Plan) -> String {
    let (from, to, epoch) = (&roles.primary, &roles.standby, roles.epoch + 1);
    let mut steps = vec![match &pair.spec.application {
        Some(app) => format!(
            "Scale {} {} to 0 and wait until its pods are gone.",
            app.kind, app.name
        ),
        None => format!("Wait until no pod uses the claim {}.", pair.spec.claim_name),
    }];
    match kind {
        PromotionKind::Planned => steps.push(format!(
            "Take a last cut at {from}, ship it, apply it at {to} and commit it: nothing is lost."
        )),
        PromotionKind::Forced => steps.push(format!(
            "At {to}, apply the change set if it is fully staged, else drop it."
        )),
    }
    steps.push(format!(
        "Record epoch {epoch} with {to} as primary on {to}'s data."
    ));
    steps.push(format!(
        "Record on {from}'s data that it is standby in epoch {epoch}, as soon as it can be reached; \
         until then it is fenced by its older epoch."
    ));
    steps.extend(plan.steps.iter().map(|step| match step.wait {
        true => format!("(wait) {}", step.sentence),
        false => step.sentence.clone(),
    }));
    steps.push(match &pair.spec.application {
        Some(app) => format!("Scale {} {} up again.", app.kind, app.name),
        None => "Start the application again: it finds its claim under the same name.".into(),
    });
    let lines = steps
        .iter()
        .enumerate()
        .map(|(i, step)| format!("{:>3}. {}\n", i + 1, format::wrap(step, format::width(), 5)));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use planner::rebind::PlannedStep;

    #[test]
    fn the_desired_binding_is_the_roles_exchanged() {
        let pair = sample::shipping();
        let desired = desired(&pair, &Roles::of(&pair).unwrap()).unwrap();
        assert_eq!(desired.epoch, Epoch(4));
        assert_eq!(desired.primary.unwrap().site.as_str(), "west");
        assert_eq!(desired.standby.unwrap().volume.handle, "vol-east");
        assert_eq!(desired.app_claim, "data");
    }

    #[test]
    fn the_plan_names_the_real_objects() {
        let pair = sample::shipping();
        let step = |sentence: &str, wait| PlannedStep {
            sentence: sentence.into(),
            wait,
        };
        let plan = Plan {
            steps: vec![
                step("Set PersistentVolume pvc-1 to Retain.", false),
                step("claim data to be unused (pods web-0)", true),
            ],
        };
        let roles = Roles::of(&pair).unwrap();
        let text = render(&pair, &roles, PromotionKind::Planned, &plan);
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= format::width()),
            "{text}"
        );
        insta::assert_snapshot!(text, @r#"
            1. Wait until no pod uses the claim data.
            2. Take a last cut at east, ship it, apply it at west and commit it: nothing
               is lost.
            3. Record epoch 4 with west as primary on west's data.
            4. Record on east's data that it is standby in epoch 4, as soon as it can be
               reached; until then it is fenced by its older epoch.
            5. Set PersistentVolume pvc-1 to Retain.
            6. (wait) claim data to be unused (pods web-0)
            7. Start the application again: it finds its claim under the same name.
        "#);
    }
}
