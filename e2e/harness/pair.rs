//! A pair: applied, followed, asked for a cycle, moved.

use api::Reason;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::v1alpha1::{
    FinishedCycle, PairReference, PromotionKind, PromotionSpec, ReplicationPair,
    ReplicationPairStatus, UnchangedStatus,
};
use api::{Promotion, conditions, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::lab::Output;
use super::scene::{MANAGER, Scene};
use super::wait::{Probe, secs, until};

/// Longest time for a first copy of a story's small volume, pods and all.
pub const BASELINE_LIMIT: Duration = secs(120);
/// Longest time for a cycle that was asked for.
pub const CYCLE_LIMIT: Duration = secs(90);
/// Longest time for a move of the primary role.
pub const SWITCH_LIMIT: Duration = secs(150);

/// What a story wants of its pair; the rest is as people would leave it.
#[derive(Clone)]
pub struct PairOptions {
    /// The pair's name.
    pub name: String,
    /// The application's claim.
    pub claim: String,
    /// Storage class of site `east`.
    pub east: String,
    /// Storage class of site `west`.
    pub west: String,
    /// Snapshot class.
    pub snapshot_class: String,
    /// Interval; the default is so long that only cycles asked for are made.
    pub interval: String,
    /// Further fields of the spec, merged over the others.
    pub more: Value,
}

impl PairOptions {
    /// A pair `orders` for the claim `data` on the class with everything.
    #[must_use]
    pub fn orders() -> PairOptions {
        PairOptions {
            name: "orders".into(),
            claim: "data".into(),
            east: "fast".into(),
            west: "fast-west".into(),
            snapshot_class: "csi-snap".into(),
            interval: "1h".into(),
            more: json!({}),
        }
    }

    /// With the workload that Ferry stops and starts for a planned change.
    #[must_use]
    pub fn with_application(mut self, kind: &str, name: &str) -> PairOptions {
        let application = json!({"apiVersion": "apps/v1", "kind": kind, "name": name});
        merge(&mut self.more, &json!({"application": application}));
        self
    }

    /// The manifest that is applied.
    #[must_use]
    pub fn manifest(&self) -> Value {
        let mut spec = json!({
            "claimName": self.claim,
            "primary": "east",
            "sites": [{"name": "east", "storageClassName": self.east},
                      {"name": "west", "storageClassName": self.west}],
            "snapshot": {"interval": self.interval,
                         "volumeSnapshotClassName": self.snapshot_class}});
        merge(&mut spec, &self.more);
        json!({"apiVersion": "ferry.dev/v1alpha1", "kind": "ReplicationPair",
               "metadata": {"name": self.name}, "spec": spec})
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// A pair on the cluster.
pub struct Pair<'a> {
    /// Its scene.
    pub scene: &'a Scene,
    /// Its name.
    pub name: String,
    /// Its claim.
    pub claim: String,
}

impl<'a> Pair<'a> {
    /// Applies the manifest.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(scene: &'a Scene, options: &PairOptions) -> Result<Pair<'a>> {
        let pair = Pair {
            scene,
            name: options.name.clone(),
            claim: options.claim.clone(),
        };
        let params = PatchParams::apply(MANAGER).force();
        pair.api()
            .patch(&options.name, &params, &Patch::Apply(options.manifest()))
            .await?;
        Ok(pair)
    }

    /// The namespace's pairs.
    #[must_use]
    pub fn api(&self) -> Api<ReplicationPair> {
        self.scene.api()
    }

    /// The pair's report; empty when there is none yet.
    ///
    /// # Errors
    /// When the pair is gone.
    pub async fn status(&self) -> Result<ReplicationPairStatus> {
        Ok(self.api().get(&self.name).await?.status.unwrap_or_default())
    }

    /// Merges into the spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_spec(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Asks for the role to be moved in an epoch, without asking anybody for consent.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn promote(&self, site: &str, epoch: i64, kind: PromotionKind) -> Result<Promotion> {
        let spec = PromotionSpec {
            pair_ref: PairReference {
                name: self.name.clone(),
            },
            site: site.into(),
            epoch,
            kind,
            accept_loss_of: None,
            cancel: false,
        };
        let mut promotion = Promotion::new("", spec);
        promotion.metadata.name = None;
        promotion.metadata.generate_name = Some(format!("{}-", self.name));
        let api: Api<Promotion> = self.scene.api();
        let params = PostParams {
            field_manager: Some(MANAGER.into()),
            ..PostParams::default()
        };
        Ok(api.create(&params, &promotion).await?)
    }

    /// Waits until a promotion has ended for this reason.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&self, promotion: &Promotion, reason: Reason) -> Result<()> {
        let api: Api<Promotion> = self.scene.api();
        let name = promotion.name_any();
        until(
            format!("Promotion {name} to end: {reason}"),
            secs(30),
            || async {
                let status = api.get(&name).await?.status.unwrap_or_default();
                let known = conditions::get(&status.conditions, conditions::SUCCEEDED);
                let ended = conditions::is_over(&status.conditions)
                    && known.is_some_and(|condition| condition.reason == reason);
                Ok(Probe::<()>::when(ended, format!("{known:?}")))
            },
        )
        .await
    }

    /// Waits until a look at the status is satisfied.
    ///
    /// # Errors
    /// When it is not within `limit`; the conditions are named.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        probe: impl Fn(&ReplicationPairStatus) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{what} (pair {}/{})", self.scene.namespace, self.name);
        until(what, limit, || async {
            let status = self.status().await?;
            Ok(probe(&status).map_or_else(|| Probe::NotYet(describe(&status)), Probe::Seen))
        })
        .await
    }

    /// Waits for the baseline: a committed point and `Ready`.
    ///
    /// # Errors
    /// When it takes longer than [`BASELINE_LIMIT`].
    pub async fn baseline(&self) -> Result<FinishedCycle> {
        self.until("the baseline", BASELINE_LIMIT, |s| {
            s.committed_point.as_ref()?;
            is_true(&s.conditions, conditions::READY).then(|| s.last_cycle.clone())?
        })
        .await
    }

    /// Asks for a cycle and waits until it is committed.
    ///
    /// # Errors
    /// When it takes longer than [`CYCLE_LIMIT`].
    pub async fn sync(&self) -> Result<FinishedCycle> {
        let before = self.trigger().await?;
        self.committed_after(before).await
    }

    /// Asks for a cycle; returns the number of the newest cut before it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn trigger(&self) -> Result<i64> {
        let before = self.newest_cut().await?;
        let token = format!("story-{}", uuid::Uuid::new_v4());
        self.patch_spec(json!({"syncTrigger": token})).await?;
        Ok(before)
    }

    /// The number of the newest cut.
    ///
    /// # Errors
    /// When the pair is gone.
    pub async fn newest_cut(&self) -> Result<i64> {
        let status = self.status().await?;
        let seqs = [status.last_cut, status.committed_point];
        Ok(seqs.into_iter().flatten().map(|p| p.seq).max().unwrap_or(0))
    }

    /// Waits until a cut above `seq` is committed, or is found to equal the committed point; then the
    /// change source is `Unchanged`, and the point is the committed one.
    ///
    /// # Errors
    /// When it takes longer than [`CYCLE_LIMIT`].
    pub async fn committed_after(&self, seq: i64) -> Result<FinishedCycle> {
        self.until(
            &format!("a cut above {seq} to be committed"),
            CYCLE_LIMIT,
            |s| {
                if s.unchanged_cut().is_some_and(|cut| cut.seq > seq) {
                    return s.unchanged.as_ref().map(unchanged);
                }
                let point = s.committed_point.as_ref().filter(|p| p.seq > seq)?;
                s.last_cycle.clone().filter(|c| c.point == point.label)
            },
        )
        .await
    }

    /// Waits for a condition with this reason, whatever its type.
    ///
    /// # Errors
    /// When it does not come within half a minute.
    pub async fn reason(&self, reason: Reason) -> Result<Condition> {
        self.until(&format!("reason {reason}"), secs(30), |s| {
            s.conditions.iter().find(|c| c.reason == reason).cloned()
        })
        .await
    }

    /// Runs a verb of `kubectl ferry` on this pair.
    ///
    /// # Errors
    /// When it can't be started; its exit code is for the caller.
    pub async fn ferry(&self, verb: &str, args: &[&str]) -> Result<Output> {
        let mut all = vec![
            verb,
            self.name.as_str(),
            "--namespace",
            self.scene.namespace.as_str(),
        ];
        all.extend_from_slice(args);
        self.scene.lab.kubectl_ferry(&all).await
    }

    /// Runs a verb that has to end well, and returns what it said.
    ///
    /// # Errors
    /// When it ends with another code than 0.
    pub async fn ferry_ok(&self, verb: &str, args: &[&str]) -> Result<String> {
        let output = self.ferry(verb, args).await?;
        ensure!(
            output.ok,
            "kubectl ferry {verb} {args:?} ended with {:?}: {}",
            output.code,
            output.all().trim()
        );
        Ok(output.all())
    }

    /// Waits until `site` is primary and the switch is done.
    ///
    /// # Errors
    /// When it takes longer than [`SWITCH_LIMIT`].
    pub async fn primary_is(&self, site: &str) -> Result<()> {
        self.until(&format!("site {site} to be primary"), SWITCH_LIMIT, |s| {
            let done = s.switch.as_ref().is_none_or(|w| w.finished_at.is_some());
            (done && s.primary.as_deref() == Some(site)).then_some(())
        })
        .await
    }

    /// Waits until the standby follows again: a point of the current epoch is committed.
    ///
    /// # Errors
    /// When it takes longer than [`BASELINE_LIMIT`].
    pub async fn follows(&self) -> Result<FinishedCycle> {
        self.until(
            "the standby to follow in the new epoch",
            BASELINE_LIMIT,
            |s| {
                let point = s.committed_point.as_ref()?;
                let cycle = s.last_cycle.clone().filter(|c| c.point == point.label)?;
                (Some(point.epoch) == s.epoch && is_true(&s.conditions, conditions::READY))
                    .then_some(cycle)
            },
        )
        .await
    }

    /// The name of a cut's snapshot at a site.
    ///
    /// # Errors
    /// When `label` is not `epoch.seq`.
    pub fn snapshot(&self, site: &str, label: &str) -> Result<String> {
        let Some((epoch, seq)) = label.split_once('.') else {
            bail!("{label:?} is no point");
        };
        let point = protocol::units::Point::new(
            epoch.parse().context("epoch")?,
            seq.parse().context("sequence number")?,
        );
        Ok(names::snapshot(&self.name, site, point))
    }
}

/// A cycle that ended without movers, as one that was committed.
fn unchanged(status: &UnchangedStatus) -> FinishedCycle {
    FinishedCycle {
        point: status.since.clone(),
        change_source: "Unchanged".into(),
        total_ms: status.total_ms,
        snapshot_ms: status.snapshot_ms,
        ..FinishedCycle::default()
    }
}

/// Whether the condition is there and true.
#[must_use]
pub fn is_true(list: &[Condition], kind: &str) -> bool {
    conditions::get(list, kind).is_some_and(|c| c.status == "True")
}

/// A status in one line, for the message of a wait that failed.
fn describe(status: &ReplicationPairStatus) -> String {
    let mut text: Vec<String> = status
        .conditions
        .iter()
        .filter(|c| (c.status == "True") == matches!(c.type_.as_str(), "Degraded" | "Diverged"))
        .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    if let Some(point) = &status.committed_point {
        text.push(format!("committed {}", point.label));
    }
    if let Some(cycle) = &status.cycle {
        text.push(format!("cycle {} {}", cycle.point.label, cycle.phase));
    }
    if let Some(switch) = &status.switch {
        text.push(format!("switch to {} at step {}", switch.to, switch.step));
    }
    if let Some(wait) = &status.waiting {
        text.push(format!("waits for {}", wait.what));
    }
    if let Some(failure) = &status.last_failure {
        text.push(format!("failed: {}: {}", failure.reason, failure.message));
    }
    if text.is_empty() {
        "an empty status".into()
    } else {
        text.join("; ")
    }
}
