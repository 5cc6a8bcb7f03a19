//! The demo's application: a Deployment on a claim, asked through its own verbs.

use anyhow::{Context, Result, ensure};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::exec::exec;
use super::install::APP_IMAGE;
use super::scene::{MANAGER, Scene};
use super::wait::{Probe, secs, until};

/// The rows that the application has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// The highest id.
    pub highest: u64,
    /// A checksum over all of them.
    pub checksum: String,
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = self.checksum.get(..12).unwrap_or(&self.checksum);
        write!(
            f,
            "{} rows, highest id {}, checksum {short}…",
            self.count, self.highest
        )
    }
}

/// The shop.
pub struct App<'a> {
    scene: &'a Scene,
    name: String,
}

impl<'a> App<'a> {
    /// Applies the Deployment `shop` on `claim`, taking an order every `every` seconds (0: none but
    /// those asked for), and waits until it is open.
    ///
    /// # Errors
    /// When it is not open within a minute.
    pub async fn open(scene: &'a Scene, claim: &str, every: &str) -> Result<App<'a>> {
        let name = "shop";
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": 1, "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}},
                    "spec": {"terminationGracePeriodSeconds": 10,
                        "automountServiceAccountToken": false,
                        "containers": [{"name": name, "image": APP_IMAGE,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["/bin/shop"], "args": ["run"],
                            "env": [{"name": "EVERY", "value": every},
                                    {"name": "PATH", "value": "/bin:/usr/bin"}],
                            "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]},
                                "periodSeconds": 1, "timeoutSeconds": 10},
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                        "volumes": [{"name": "data",
                            "persistentVolumeClaim": {"claimName": claim}}]}}}});
        let deployments: Api<Deployment> = scene.api();
        // Not forced and without replicas afterwards: whoever scales it later keeps that field.
        deployments
            .patch(
                name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(body),
            )
            .await?;
        let app = App {
            scene,
            name: name.to_owned(),
        };
        app.opened().await?;
        Ok(app)
    }

    /// Waits until a pod of it is ready, and names it.
    ///
    /// # Errors
    /// When none is within a minute.
    pub async fn opened(&self) -> Result<String> {
        until("the application to be open", secs(60), || async {
            let pods = self.pods().await?;
            let ready = pods.iter().find(|p| is_ready(p));
            Ok(ready.map_or_else(
                || Probe::NotYet(format!("{} pods, none ready: {}", pods.len(), waits(&pods))),
                |p| Probe::Seen(p.name_any()),
            ))
        })
        .await
    }

    /// Scales it and waits until that many pods are left.
    ///
    /// # Errors
    /// When it takes longer than a minute.
    pub async fn scale(&self, replicas: u32) -> Result<()> {
        let deployments: Api<Deployment> = self.scene.api();
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments
            .patch(&self.name, &PatchParams::default(), &patch)
            .await?;
        if replicas > 0 {
            return self.opened().await.map(|_| ());
        }
        until("the application to be closed", secs(60), || async {
            let left = self.pods().await?.len();
            Ok(Probe::<()>::when(left == 0, format!("{left} pods")))
        })
        .await
    }

    /// Its pods that are not being deleted, and those that are but still run.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = self.scene.api();
        Ok(pods
            .list(&ListParams::default().labels(&format!("app={}", self.name)))
            .await?
            .items)
    }

    /// Runs a verb of `shop` in its pod.
    ///
    /// # Errors
    /// When there is no ready pod or the verb fails.
    pub async fn shop(&self, args: &[&str]) -> Result<String> {
        let pod = self.opened().await?;
        let mut command = vec!["/bin/shop"];
        command.extend_from_slice(args);
        Ok(exec(&self.scene.api(), &pod, &command)
            .await?
            .trim()
            .to_owned())
    }

    /// Takes `count` orders of `bytes` each.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add(&self, count: u64, bytes: u64) -> Result<()> {
        self.shop(&["add", &count.to_string(), &bytes.to_string()])
            .await
            .map(|_| ())
    }

    /// The rows that it has.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rows(&self) -> Result<Rows> {
        rows(&self.shop(&["count"]).await?)
    }

    /// The rows up to an id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rows_upto(&self, id: u64) -> Result<Rows> {
        rows(&self.shop(&["upto", &id.to_string()]).await?)
    }

    /// Checks the database and every row's checksum.
    ///
    /// # Errors
    /// When the database is damaged.
    pub async fn check(&self) -> Result<()> {
        let said = self.shop(&["check"]).await?;
        ensure!(said == "ok 0", "the database is damaged: {said}");
        Ok(())
    }

    /// The rows above an id, each as "id written-at-ms checksum".
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn since(&self, id: u64) -> Result<Vec<String>> {
        Ok(self
            .shop(&["since", &id.to_string()])
            .await?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// Follows its log until it closes; the answer is the highest order that it acknowledged.
    ///
    /// # Errors
    /// When there is no ready pod.
    pub async fn follow_orders(&self) -> Result<tokio::task::JoinHandle<u64>> {
        let pod = self.opened().await?;
        let pods: Api<Pod> = self.scene.api();
        Ok(tokio::spawn(async move {
            let params = LogParams {
                follow: true,
                ..LogParams::default()
            };
            let mut highest = 0;
            if let Ok(log) = pods.log_stream(&pod, &params).await {
                let mut lines = log.lines();
                while let Ok(Some(line)) = lines.try_next().await {
                    let id = line
                        .strip_prefix("order ")
                        .and_then(|id| id.trim().parse().ok());
                    highest = highest.max(id.unwrap_or(0));
                }
            }
            highest
        }))
    }

    /// When it last came up and had read its rows, in milliseconds since 1970, by its own clock.
    ///
    /// # Errors
    /// When its log does not say.
    pub async fn opened_at_ms(&self) -> Result<i64> {
        let pod = self.opened().await?;
        let pods: Api<Pod> = self.scene.api();
        let log = pods.logs(&pod, &LogParams::default()).await?;
        log.lines()
            .find_map(|line| line.strip_prefix("open ")?.split(' ').next()?.parse().ok())
            .context("the application's log does not say when it opened")
    }
}

fn rows(said: &str) -> Result<Rows> {
    let mut parts = said.split_whitespace();
    let mut next = || {
        parts
            .next()
            .with_context(|| format!("not three words: {said:?}"))
    };
    Ok(Rows {
        count: next()?.parse()?,
        highest: next()?.parse()?,
        checksum: next()?.to_owned(),
    })
}

fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

fn waits(pods: &[Pod]) -> String {
    let states = pods
        .iter()
        .flat_map(|p| p.status.iter())
        .flat_map(|s| s.container_statuses.iter().flatten())
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone());
    states.collect::<Vec<_>>().join(", ")
}
