//! A namespace of its own for one story, and the objects that people put into it.

use std::time::Instant;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::lab::Lab;
use super::wait::{Probe, secs, until};

/// Field manager of all that stories write.
pub const MANAGER: &str = "ferry-e2e";
/// Label on the namespaces and classes that stories make.
const LABEL: &str = "ferry.dev/e2e";

/// A story's stage.
pub struct Scene {
    /// The cluster.
    pub lab: Lab,
    /// The namespace.
    pub namespace: String,
    /// When the story began.
    pub began: Instant,
    quiet: bool,
}

impl Scene {
    /// Makes the namespace, after removing what an earlier run has left in it.
    ///
    /// # Errors
    /// When the old one does not go away or the new one does not come.
    pub async fn open(lab: &Lab, name: &str, quiet: bool) -> Result<Scene> {
        let scene = Scene {
            lab: lab.clone(),
            namespace: name.to_owned(),
            began: Instant::now(),
            quiet,
        };
        scene.close().await?;
        let body = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {LABEL: "story"}}});
        let namespaces: Api<Namespace> = Api::all(lab.client.clone());
        namespaces
            .patch(
                name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(body),
            )
            .await?;
        // Pods are admitted only once the default account is there.
        let accounts: Api<ServiceAccount> = Api::namespaced(lab.client.clone(), name);
        until("the default service account", secs(20), || async {
            Ok(accounts
                .get_opt("default")
                .await?
                .map_or_else(|| Probe::NotYet("none".into()), |_| Probe::Seen(())))
        })
        .await?;
        Ok(scene)
    }

    /// Removes the namespace, its retained volumes and the story's classes.
    ///
    /// # Errors
    /// When the namespace is still there after two minutes.
    pub async fn close(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.lab.client.clone());
        if namespaces.get_opt(&self.namespace).await?.is_some() {
            namespaces
                .delete(&self.namespace, &DeleteParams::background())
                .await
                .ok();
            until(
                format!("namespace {} to go away", self.namespace),
                secs(120),
                || async {
                    Ok(match namespaces.get_opt(&self.namespace).await? {
                        None => Probe::Seen(()),
                        Some(it) => Probe::NotYet(remaining(&it)),
                    })
                },
            )
            .await?;
        }
        self.remove_retained_volumes().await?;
        self.remove_classes().await
    }

    /// Volumes that Ferry has set to Retain outlive their claims. What the person who
    /// deletes the namespace does about them, the story does too: hand them back to the driver.
    async fn remove_retained_volumes(&self) -> Result<()> {
        let volumes: Api<PersistentVolume> = Api::all(self.lab.client.clone());
        for volume in self.volumes().await? {
            let delete = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
            let name = volume.name_any();
            volumes
                .patch(&name, &PatchParams::default(), &Patch::Merge(delete))
                .await
                .ok();
            until(format!("volume {name} to go away"), secs(60), || async {
                let now = volumes.get_opt(&name).await?;
                Ok(Probe::<()>::when(now.is_none(), phase_of(now.as_ref())))
            })
            .await?;
        }
        Ok(())
    }

    async fn remove_classes(&self) -> Result<()> {
        let classes: Api<StorageClass> = Api::all(self.lab.client.clone());
        let mine = ListParams::default().labels(&format!("{LABEL}={}", self.namespace));
        classes
            .delete_collection(&DeleteParams::default(), &mine)
            .await?;
        Ok(())
    }

    /// The volumes whose claim is or was in this namespace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn volumes(&self) -> Result<Vec<PersistentVolume>> {
        let volumes: Api<PersistentVolume> = Api::all(self.lab.client.clone());
        let all = volumes.list(&ListParams::default()).await?.items;
        let here = |v: &PersistentVolume| {
            let claim = v.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
            claim.and_then(|c| c.namespace.as_deref()) == Some(self.namespace.as_str())
        };
        Ok(all.into_iter().filter(here).collect())
    }

    /// The handle by which the driver knows the volume of a claim.
    ///
    /// # Errors
    /// When the claim is not bound to a volume of a CSI driver.
    pub async fn handle(&self, claim: &str) -> Result<String> {
        let claims: Api<PersistentVolumeClaim> = self.api();
        let volumes: Api<PersistentVolume> = Api::all(self.lab.client.clone());
        let volume = claims.get(claim).await?.spec.and_then(|s| s.volume_name);
        let name = volume.with_context(|| format!("claim {claim} is not bound"))?;
        let csi = volumes.get(&name).await?.spec.and_then(|s| s.csi);
        csi.map(|csi| csi.volume_handle)
            .with_context(|| format!("volume {name} is not of a CSI driver"))
    }

    /// Prints a line of the story, unless it runs beside others.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            println!("  {:>6.1} s  {text}", self.began.elapsed().as_secs_f64());
        }
    }

    /// The namespace's objects of a kind.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.lab.client.clone(), &self.namespace)
    }

    /// The namespace's VolumeSnapshots.
    #[must_use]
    pub fn snapshots(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.lab.client.clone(), &self.namespace, &snapshot_kind())
    }

    /// The cluster's VolumeSnapshotContents.
    #[must_use]
    pub fn snapshot_contents(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent");
        let resource = ApiResource::from_gvk_with_plural(&kind, "volumesnapshotcontents");
        Api::all_with(self.lab.client.clone(), &resource)
    }

    /// Applies a claim and waits until it is bound, when `bound` says so.
    ///
    /// # Errors
    /// When it is not bound within a minute.
    pub async fn claim(&self, name: &str, class: &str, size: &str, block: bool) -> Result<()> {
        self.claim_unbound(name, class, size, block).await?;
        let claims: Api<PersistentVolumeClaim> = self.api();
        until(format!("claim {name} to be bound"), secs(60), || async {
            let phase = claims
                .get(name)
                .await?
                .status
                .and_then(|s| s.phase)
                .unwrap_or_default();
            Ok(Probe::<()>::when(phase == "Bound", phase))
        })
        .await
    }

    /// Applies a claim and does not wait.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn claim_unbound(
        &self,
        name: &str,
        class: &str,
        size: &str,
        block: bool,
    ) -> Result<()> {
        let mode = if block { "Block" } else { "Filesystem" };
        let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "volumeMode": mode, "resources": {"requests": {"storage": size}}}});
        let claims: Api<PersistentVolumeClaim> = self.api();
        claims
            .patch(
                name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(body),
            )
            .await?;
        Ok(())
    }

    /// Deletes a claim and waits until it is gone.
    ///
    /// # Errors
    /// When it is still there after a minute.
    pub async fn delete_claim(&self, name: &str) -> Result<()> {
        let claims: Api<PersistentVolumeClaim> = self.api();
        claims.delete(name, &DeleteParams::default()).await.ok();
        until(format!("claim {name} to go away"), secs(60), || async {
            let gone = claims.get_opt(name).await?.is_none();
            Ok(Probe::<()>::when(gone, "still there"))
        })
        .await
    }

    /// Makes a storage class like `like`, with more parameters: the driver's fault switches.
    ///
    /// # Errors
    /// When there is no class `like`, or the API server refuses.
    pub async fn class_like(
        &self,
        like: &str,
        suffix: &str,
        switches: &[(&str, &str)],
    ) -> Result<String> {
        let classes: Api<StorageClass> = Api::all(self.lab.client.clone());
        let mut class = classes
            .get(like)
            .await
            .with_context(|| format!("storage class {like}"))?;
        let name = format!("{}-{suffix}", self.namespace);
        class.metadata = kube::api::ObjectMeta {
            name: Some(name.clone()),
            labels: Some([(LABEL.to_owned(), self.namespace.clone())].into()),
            ..Default::default()
        };
        let parameters = class.parameters.get_or_insert_default();
        for (key, value) in switches {
            parameters.insert((*key).into(), (*value).into());
        }
        classes.delete(&name, &DeleteParams::default()).await.ok();
        classes.create(&PostParams::default(), &class).await?;
        Ok(name)
    }

    /// Applies any pod and waits until it runs.
    ///
    /// # Errors
    /// When it does not run within a minute.
    pub async fn pod(&self, name: &str, spec: Value) -> Result<()> {
        let body = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        let pods: Api<Pod> = self.api();
        pods.patch(
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(body),
        )
        .await?;
        until(format!("pod {name} to run"), secs(60), || async {
            let phase = pods
                .get(name)
                .await?
                .status
                .and_then(|s| s.phase)
                .unwrap_or_default();
            Ok(match phase.as_str() {
                "Running" => Probe::Seen(()),
                "Failed" | "Succeeded" => Probe::Never(format!("it has ended: {phase}")),
                _ => Probe::NotYet(phase),
            })
        })
        .await
    }

    /// Deletes a pod and waits until it is gone.
    ///
    /// # Errors
    /// When it is still there after a minute.
    pub async fn delete_pod(&self, name: &str, grace_seconds: u32) -> Result<()> {
        let pods: Api<Pod> = self.api();
        let params = DeleteParams {
            grace_period_seconds: Some(grace_seconds),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        pods.delete(name, &params).await.ok();
        until(format!("pod {name} to go away"), secs(60), || async {
            let gone = pods.get_opt(name).await?.is_none();
            Ok(Probe::<()>::when(gone, "still there"))
        })
        .await
    }
}

fn snapshot_kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshot");
    ApiResource::from_gvk_with_plural(&kind, "volumesnapshots")
}

fn remaining(namespace: &Namespace) -> String {
    let conditions = namespace
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let texts: Vec<String> = conditions
        .filter(|c| c.status == "True")
        .filter_map(|c| c.message.clone())
        .collect();
    if texts.is_empty() {
        "being deleted".into()
    } else {
        texts.join("; ")
    }
}

fn phase_of(volume: Option<&PersistentVolume>) -> String {
    volume
        .and_then(|v| v.status.as_ref())
        .and_then(|s| s.phase.clone())
        .unwrap_or_default()
}
