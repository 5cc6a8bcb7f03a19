//! *I make mistakes. I want to know which one and what to do, and nothing that runs may suffer.*
//!
//! One row a mistake: what is applied, and the stable reason that has to come up as a condition and
//! as an Event, with a sentence. What the API server can tell from the manifest alone, it refuses
//! with a sentence. A healthy pair runs in the same namespace all the time and is unharmed.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::v1alpha1::PromotionKind;
use api::{Reason, names};
use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::Story;
use crate::harness::install::APP_IMAGE;
use crate::harness::{App, Pair, PairOptions, Scene, content, dump, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "bad_input",
        proves: &[],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

/// Longest time from a mistake to the condition that names it.
const NAMED_WITHIN: Duration = secs(45);
/// A sentence that says what to do is at least this long.
const SENTENCE_CHARS_MIN: usize = 40;

/// A mistake that shows only beside the cluster's objects.
struct Mistake {
    name: &'static str,
    claim: &'static str,
    more: fn() -> Value,
    reason: Reason,
}

fn nothing() -> Value {
    json!({})
}

const MISTAKES: [Mistake; 10] = [
    Mistake {
        name: "no-claim",
        claim: "missing",
        more: nothing,
        reason: Reason::ClaimNotFound,
    },
    Mistake {
        name: "unbound",
        claim: "unbound",
        more: nothing,
        reason: Reason::ClaimNotBound,
    },
    Mistake {
        name: "no-snap-class",
        claim: "spare",
        more: || json!({"snapshot": {"volumeSnapshotClassName": "no-such-class"}}),
        reason: Reason::SnapshotClassNotFound,
    },
    Mistake {
        name: "no-snapshots",
        claim: "nosnap",
        more: || {
            json!({"snapshot": {"volumeSnapshotClassName": null},
            "sites": [{"name": "east", "storageClassName": "nosnap"},
                      {"name": "west", "storageClassName": "nosnap"}]})
        },
        reason: Reason::DriverWithoutSnapshots,
    },
    Mistake {
        name: "other-driver",
        claim: "spare",
        more: || json!({"snapshot": {"volumeSnapshotClassName": "plain-snap"}}),
        reason: Reason::SnapshotClassMismatch,
    },
    Mistake {
        name: "unknown-site",
        claim: "spare",
        more: || {
            json!({"sites": [{"name": "east", "storageClassName": "fast"},
                             {"name": "mars", "storageClassName": "fast-west"}]})
        },
        reason: Reason::SitesInvalid,
    },
    Mistake {
        name: "no-class",
        claim: "spare",
        more: || {
            json!({"sites": [{"name": "east", "storageClassName": "fast"},
                             {"name": "west", "storageClassName": "no-such-class"}]})
        },
        reason: Reason::StorageClassNotFound,
    },
    Mistake {
        name: "twin",
        claim: "data",
        more: nothing,
        reason: Reason::ClaimInTwoPairs,
    },
    Mistake {
        name: "journal",
        claim: "spare",
        more: || json!({"mode": "Journal"}),
        reason: Reason::ModeNotSupported,
    },
    Mistake {
        name: "a-name-that-is-much-too-long-for-a-pair",
        claim: "spare",
        more: nothing,
        reason: Reason::NameTooLong,
    },
];

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(100, 4096).await?;
    let healthy = Pair::apply(scene, &PairOptions::orders()).await?;
    healthy.baseline().await?;
    scene.claim("spare", "fast", "64Mi", false).await?;
    scene.claim("nosnap", "nosnap", "64Mi", false).await?;
    scene
        .claim_unbound("unbound", "no-such-class", "64Mi", false)
        .await?;
    for mistake in &MISTAKES {
        named(scene, mistake)
            .await
            .with_context(|| format!("mistake {}", mistake.name))?;
    }
    refused_by_the_schema(scene).await?;
    replica_too_small(scene)
        .await
        .context("replica too small")?;
    never_committed(scene)
        .await
        .context("promotion without a committed point")?;
    in_use_at_both(scene, &healthy)
        .await
        .context("claim in use at both sites")?;
    older_epoch(&healthy)
        .await
        .context("consent for another epoch")?;
    app.add(50, 4096).await?;
    let cycle = healthy
        .sync()
        .await
        .context("the healthy pair was harmed")?;
    content::same_at(&healthy, &cycle.point).await?;
    app.check().await
}

async fn named(scene: &Scene, mistake: &Mistake) -> Result<()> {
    let options = PairOptions {
        name: mistake.name.into(),
        claim: mistake.claim.into(),
        more: (mistake.more)(),
        ..PairOptions::orders()
    };
    let pair = Pair::apply(scene, &options).await?;
    reported(&pair, mistake.reason.clone()).await?;
    scene.say(&format!("{}: {}", mistake.name, mistake.reason));
    delete(&pair).await
}

/// The condition, its sentence, and the Event of a reason.
async fn reported(pair: &Pair<'_>, reason: Reason) -> Result<()> {
    // Several conditions may have the reason; one of them has to say what to do.
    pair.until(
        &format!("reason {reason} with a sentence"),
        NAMED_WITHIN,
        |s| {
            let says = |c: &&Condition| c.message.chars().count() >= SENTENCE_CHARS_MIN;
            s.conditions
                .iter()
                .filter(|c| c.reason == reason)
                .find(says)
                .map(|_| ())
        },
    )
    .await?;
    let scene = pair.scene;
    crate::harness::until(format!("an Event {reason}"), secs(15), || async {
        let events = dump::events(scene).await;
        let line = format!("{reason} {}:", pair.name);
        Ok(crate::harness::Probe::<()>::when(
            events.contains(&line),
            "other events",
        ))
    })
    .await
}

async fn delete(pair: &Pair<'_>) -> Result<()> {
    let api = pair.api();
    api.delete(&pair.name, &kube::api::DeleteParams::default())
        .await?;
    crate::harness::until(
        format!("pair {} to go away", pair.name),
        secs(60),
        || async {
            Ok(crate::harness::Probe::<()>::when(
                api.get_opt(&pair.name).await?.is_none(),
                "still there",
            ))
        },
    )
    .await
}

async fn refused_by_the_schema(scene: &Scene) -> Result<()> {
    let sites = |names: &[&str]| -> Value {
        json!({"sites": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()})
    };
    let cases = [
        (
            "equal sites",
            sites(&["east", "east"]),
            "duplicate entries for key",
        ),
        ("one site", sites(&["east"]), "at least 2"),
        (
            "three sites",
            sites(&["east", "west", "south"]),
            "at most 2",
        ),
        (
            "primary elsewhere",
            json!({"primary": "mars"}),
            "one of the two sites",
        ),
        (
            "interval no duration",
            json!({"snapshot": {"interval": "soon"}}),
            "should match",
        ),
        (
            "interval too short",
            json!({"snapshot": {"interval": "5s"}}),
            "shortest interval is 10s",
        ),
    ];
    for (what, more, says) in cases {
        let options = PairOptions {
            name: "refused".into(),
            claim: "spare".into(),
            more,
            ..PairOptions::orders()
        };
        match Pair::apply(scene, &options).await {
            Ok(_) => bail!("a pair with {what} was taken"),
            Err(error) => {
                let text = format!("{error:#}");
                let many = text.contains("Too many") || text.contains("must have at most");
                ensure!(
                    text.contains(says) || many,
                    "{what}: the refusal says only {text}"
                );
            }
        }
    }
    scene.say("six manifests refused by the schema");
    Ok(())
}

/// Somebody has made the replica claim before: it is not the pair's (K-3), until the spec names it; and it is
/// on a class that can't grow, and too small.
async fn replica_too_small(scene: &Scene) -> Result<()> {
    let west = fixed_class(scene).await?;
    scene.claim("big", "fast", "96Mi", false).await?;
    scene
        .claim(&names::replica_claim("small", "west"), &west, "32Mi", true)
        .await?;
    let mut options = PairOptions {
        name: "small".into(),
        claim: "big".into(),
        west: west.clone(),
        ..PairOptions::orders()
    };
    let pair = Pair::apply(scene, &options).await?;
    reported(&pair, Reason::ActionRefused).await?;
    let replica = names::replica_claim("small", "west");
    options.more = json!({"sites": [
        {"name": "east", "storageClassName": options.east},
        {"name": "west", "storageClassName": west, "replicaClaimName": replica},
    ]});
    let pair = Pair::apply(scene, &options).await?;
    reported(&pair, Reason::ReplicaTooSmall).await?;
    delete(&pair).await
}

async fn fixed_class(scene: &Scene) -> Result<String> {
    let name = scene.class_like("fast-west", "fixed", &[]).await?;
    let classes: kube::Api<k8s_openapi::api::storage::v1::StorageClass> =
        kube::Api::all(scene.lab.client.clone());
    let patch = kube::api::Patch::Merge(json!({"allowVolumeExpansion": false}));
    classes
        .patch(&name, &kube::api::PatchParams::default(), &patch)
        .await?;
    Ok(name)
}

/// The standby has nothing yet: promoting it would bring up an empty volume.
async fn never_committed(scene: &Scene) -> Result<()> {
    let east = scene
        .class_like("fast", "never", &[("failSnapshots", "all")])
        .await?;
    scene.claim("never", &east, "64Mi", false).await?;
    let options = PairOptions {
        name: "never".into(),
        claim: "never".into(),
        east,
        ..PairOptions::orders()
    };
    let pair = Pair::apply(scene, &options).await?;
    let epoch = pair
        .until("the pair's epoch", secs(60), |s| s.epoch)
        .await?;
    let refused = pair.promote("west", epoch, PromotionKind::Forced).await?;
    pair.ended(&refused, Reason::NoCommittedPoint).await?;
    let primary = pair.status().await?.primary;
    ensure!(
        primary.as_deref() == Some("east"),
        "the role was moved to {primary:?}"
    );
    delete(&pair).await
}

async fn in_use_at_both(scene: &Scene, pair: &Pair<'_>) -> Result<()> {
    let claim = names::replica_claim(&pair.name, "west");
    let spec = json!({"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
        "containers": [{"name": "intruder", "image": APP_IMAGE, "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sleep", "3600"],
            "volumeDevices": [{"name": "volume", "devicePath": "/dev/volume"}]}],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]});
    scene.pod("intruder", spec).await?;
    // Found at the latest when the next cycle is due.
    let before = pair.trigger().await?;
    reported(pair, Reason::ReplicaInUse).await?;
    let committed = pair.status().await?.committed_point.map_or(0, |p| p.seq);
    ensure!(committed <= before, "a cycle was made beside the intruder");
    scene.delete_pod("intruder", 0).await?;
    pair.until("the pair to be well again", secs(60), |s| {
        crate::harness::pair::is_true(&s.conditions, api::conditions::READY).then_some(())
    })
    .await
}

async fn older_epoch(pair: &Pair<'_>) -> Result<()> {
    let status = pair.status().await?;
    let other = status.epoch.unwrap_or(1) + 7;
    let void = pair.promote("west", other, PromotionKind::Forced).await?;
    pair.ended(&void, Reason::ConsentForOtherEpoch).await?;
    let after = pair.status().await?;
    ensure!(
        after.primary == status.primary && after.epoch == status.epoch,
        "the void request was followed"
    );
    Ok(())
}
