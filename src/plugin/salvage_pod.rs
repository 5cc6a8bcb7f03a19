//! The pod that reads a diverged volume for `kubectl ferry salvage`: as powerless as a mover, with the
//! volume and its metadata beside it. It is no mover, so while it is there no cycle is begun that
//! could overwrite what it reads.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess, DeleteParams, ListParams, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::connect::bounded;
use super::exit::Ended;
use api::{ReplicationPair, names};

/// Where the claim of `--claim` is mounted.
pub(super) const OUT_PATH: &str = "/salvage";
/// Where the volume is in the pod.
const DEVICE_PATH: &str = "/dev/ferry/volume";
/// Where the state volume is mounted.
const META_PATH: &str = "/var/lib/ferry";
/// How long the pod stays when nobody removes it, in seconds.
const HOLD_SECONDS: u64 = 6 * 3600;
/// The longest wait for the pod to run.
const START_WAIT: Duration = Duration::from_secs(300);
/// Output that is on its way, in bytes; beyond it the pod waits.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// The most bytes of what a command says that are kept.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// What pod is wanted.
#[derive(Debug)]
pub(super) struct SalvageRequest {
    name: String,
    pod: Value,
    /// The mover beside which it has to run: their claims can be attached to one node only.
    mover: String,
}

/// The pod, running or on its way.
pub(super) struct SalvagePod {
    api: Api<Pod>,
    name: String,
}

/// The command that reads, without where it writes to.
pub(super) fn command(whole: bool) -> Vec<String> {
    let mut command: Vec<String> = [
        "/ferry",
        "salvage",
        "--volume",
        DEVICE_PATH,
        "--meta",
        META_PATH,
    ]
    .map(String::from)
    .into();
    if whole {
        command.push("--whole".into());
    }
    command
}

impl SalvageRequest {
    /// The pod for the volume of `pair` at `site`. It writes to the claim `out`, if there is one.
    ///
    /// # Errors
    /// When the pair does not say which claims and which image those are.
    pub(super) fn of(
        pair: &ReplicationPair,
        site: &str,
        image: Option<&str>,
        out: Option<&str>,
    ) -> anyhow::Result<SalvageRequest> {
        let status = pair.status.as_ref().context("the pair has no status yet")?;
        let sites = status.sites.iter().find(|view| view.name == site);
        let missing =
            |what: &str| Ended::Refused(format!("the pair does not name {what} of {site}"));
        let view = sites.ok_or_else(|| missing("the objects"))?;
        let claim = view.claim.as_deref().ok_or_else(|| missing("the claim"))?;
        let meta = view.state_claim.as_deref();
        let meta = meta.ok_or_else(|| missing("the state claim"))?;
        let runs = status.movers.as_ref();
        let image = image
            .or(runs.map(|runs| runs.image.as_str()))
            .ok_or_else(|| {
                Ended::Refused(
                    "the pair does not say which image its movers run: name one with --image"
                        .into(),
                )
            })?;
        let secrets = runs.map_or(&[][..], |runs| &runs.pull_secrets);
        let name = names::salvage(&pair.name_any(), site);
        let owner = pair.owner_ref(&()).context("the pair has no UID")?;
        let mut volumes = vec![
            json!({"name": "volume", "persistentVolumeClaim": {"claimName": claim}}),
            json!({"name": "meta", "persistentVolumeClaim": {"claimName": meta}}),
        ];
        let mut mounts = vec![json!({"name": "meta", "mountPath": META_PATH, "readOnly": true})];
        if let Some(out) = out {
            volumes.push(json!({"name": "out", "persistentVolumeClaim": {"claimName": out}}));
            mounts.push(json!({"name": "out", "mountPath": OUT_PATH}));
        }
        let pod = json!({
            "metadata": {
                "name": name,
                "ownerReferences": [owner],
                "labels": {
                    names::MANAGED_BY_LABEL: names::PLUGIN_MANAGER,
                    names::PAIR_LABEL: pair.name_any(),
                    names::PAIR_UID_LABEL: owner.uid,
                    names::SITE_LABEL: site,
                    names::PART_LABEL: names::SALVAGE_PART,
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "activeDeadlineSeconds": HOLD_SECONDS,
                "terminationGracePeriodSeconds": 1,
                "imagePullSecrets": secrets.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container(image, &mounts)],
                "volumes": volumes,
            },
        });
        Ok(SalvageRequest {
            mover: names::mover(&pair.name_any(), site),
            name,
            pod,
        })
    }
}

/// The container: it waits, and the reading is started in it from outside.
fn container(image: &str, mounts: &[Value]) -> Value {
    json!({
        "name": "salvage",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["salvage", "--hold", HOLD_SECONDS.to_string()],
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeDevices": [{"name": "volume", "devicePath": DEVICE_PATH}],
        "volumeMounts": mounts,
    })
}

impl SalvagePod {
    /// Makes the pod.
    ///
    /// # Errors
    /// When the cluster refuses, or one is there already.
    pub(super) async fn start(
        client: &Client,
        namespace: &str,
        request: &SalvageRequest,
    ) -> anyhow::Result<SalvagePod> {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let mut pod: Pod = serde_json::from_value(request.pod.clone())?;
        let mover = bounded(async { Ok(api.get_opt(&request.mover).await?) }).await?;
        if let Some(spec) = &mut pod.spec {
            spec.node_name = mover.and_then(|mover| mover.spec?.node_name);
        }
        let made = bounded(async { Ok(api.create(&PostParams::default(), &pod).await) }).await?;
        match made {
            Ok(_) => Ok(SalvagePod {
                api,
                name: request.name.clone(),
            }),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                Err(Ended::Refused(format!(
                    "pod {} is there already: a salvage is under way, or was interrupted; in that case \
                     kubectl delete pod -n {namespace} {} and try again",
                    request.name, request.name
                ))
                .into())
            }
            Err(error) => Err(anyhow!(error).context(format!("failed to make pod {}", request.name))),
        }
    }

    /// Waits until the pod runs.
    ///
    /// # Errors
    /// When it does not in time; the error says what Kubernetes says.
    pub(super) async fn until_running(&self) -> anyhow::Result<()> {
        let running = await_condition(self.api.clone(), &self.name, conditions::is_pod_running());
        match tokio::time::timeout(START_WAIT, running).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(anyhow!(error).context("failed to wait for the pod")),
            Err(_) => bail!(
                "pod {} did not run within {} s: {}",
                self.name,
                START_WAIT.as_secs(),
                self.why().await
            ),
        }
    }

    async fn why(&self) -> String {
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(
            self.api.clone().into_client(),
            self.api.namespace().unwrap_or_default(),
        );
        let of_pod = ListParams::default().fields(&format!("involvedObject.name={}", self.name));
        let newest = events
            .list(&of_pod)
            .await
            .ok()
            .and_then(|list| list.items.into_iter().next_back());
        newest
            .and_then(|event| event.message)
            .unwrap_or_else(|| format!("see kubectl describe pod {}", self.name))
    }

    /// Starts a command in the pod.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) async fn exec(&self, command: &[String]) -> anyhow::Result<AttachedProcess> {
        let params = AttachParams::default()
            .container("salvage")
            .stdin(false)
            .stdout(true)
            .stderr(false)
            .max_stdout_buf_size(OUTPUT_BYTES_MAX);
        self.api
            .exec(&self.name, command, &params)
            .await
            .with_context(|| format!("failed to start reading in pod {}", self.name))
    }

    /// Runs a command in the pod to its end; the answer is what it said.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(super) async fn run(&self, command: &[String]) -> anyhow::Result<String> {
        let params = AttachParams::default()
            .container("salvage")
            .stdin(false)
            .stdout(true)
            .stderr(true);
        let mut process = self
            .api
            .exec(&self.name, command, &params)
            .await
            .with_context(|| format!("failed to start reading in pod {}", self.name))?;
        let status = process.take_status();
        let (out, err) = (process.stdout(), process.stderr());
        let (out, err) = tokio::join!(said(out), said(err));
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        if status.is_some_and(|status| status.status.as_deref() == Some("Success")) {
            return Ok(out);
        }
        Err(Ended::Refused(format!("the pod could not export: {}", err.trim())).into())
    }

    /// Removes the pod; one that can't be removed goes by itself in a few hours.
    pub(super) async fn remove(&self) {
        let removed = bounded(async {
            Ok(self
                .api
                .delete(&self.name, &DeleteParams::default())
                .await?)
        });
        if let Err(error) = removed.await {
            anstream::eprintln!("pod {} could not be removed: {error:#}", self.name);
        }
    }
}

async fn said(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(stream) = stream {
        // A stream that breaks ends; the command's status tells what became of it.
        drop(stream.take(SAID_BYTES_MAX).read_to_end(&mut text).await);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use api::v1alpha1::MoversStatus;

    #[test]
    fn the_pod_can_only_read_and_has_no_power() {
        let mut pair = sample::waiting();
        pair.metadata.uid = Some("u".into());
        let status = pair.status.as_mut().unwrap();
        status.sites[1].state_claim = Some("invoices-west-meta".into());
        assert!(
            SalvageRequest::of(&pair, "west", None, None).is_err(),
            "no image is known"
        );
        pair.status.as_mut().unwrap().movers = Some(MoversStatus {
            image: "ferry:test".into(),
            pull_secrets: vec!["pull".into()],
        });
        let request = SalvageRequest::of(&pair, "west", None, None).unwrap();
        let pod: Pod = serde_json::from_value(request.pod).unwrap();
        let spec = pod.spec.unwrap();
        let container = &spec.containers[0];
        let security = container.security_context.clone().unwrap();
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "pull");
        let mounts = container.volume_mounts.clone().unwrap();
        assert!(mounts.iter().all(|mount| mount.read_only == Some(true)));
        assert_ne!(pod.metadata.labels.unwrap()[names::PART_LABEL], "mover");
        assert!(!command(false).contains(&"--whole".to_string()));
    }
}
