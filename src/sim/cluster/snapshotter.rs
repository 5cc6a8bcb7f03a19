//! The snapshot controller and the driver's snapshotter.
//!
//! Rules: kubernetes-csi/external-snapshotter 8: a VolumeSnapshot gets a content with the mark that it is
//! being made, and its source claim a finalizer; the driver cuts; the content becomes ready; the marks go.
//! One that is deleted while the driver makes it is forgotten until the snapshotter is started again
//! (issue 1388). With the class's policy Retain the content and the storage's snapshot stay.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::cluster::server::{Server, is_going};
use api::snapshots::{BEING_CREATED, VolumeSnapshot, VolumeSnapshotError};
use planner::rebind::object::{ClaimExt as _, SNAPSHOT_PROTECTION};

/// A snapshot's next step.
enum Next {
    Nothing,
    Forget,
    Begin,
    Cut(String),
    Finish(String),
    Flap,
    Delete,
}

impl Server {
    /// One step of one snapshot. Whether there was one to make.
    pub(crate) fn snapshot_step(&mut self, name: &str) -> bool {
        let Some(snapshot) = self.snapshots.get(name).cloned() else {
            return false;
        };
        match self.next_of(&snapshot) {
            Next::Nothing => return false,
            Next::Forget => return false,
            Next::Begin => return self.begin_snapshot(&snapshot),
            Next::Cut(content) => return self.cut_snapshot(&snapshot, &content),
            Next::Finish(content) => self.finish_snapshot(&snapshot, &content),
            Next::Flap => self.set_ready(name, false),
            Next::Delete => self.drop_snapshot(&snapshot),
        }
        self.changed();
        true
    }

    fn next_of(&self, snapshot: &VolumeSnapshot) -> Next {
        let status = snapshot.status.clone().unwrap_or_default();
        let content = status.bound_volume_snapshot_content_name.clone();
        let being_made = content
            .as_ref()
            .is_some_and(|content| self.is_being_made(content));
        if is_going(&snapshot.metadata) {
            return if being_made {
                Next::Forget
            } else {
                Next::Delete
            };
        }
        let Some(content) = content else {
            return Next::Begin;
        };
        if status.creation_time.is_none() {
            return Next::Cut(content);
        }
        if being_made || status.ready_to_use != Some(true) {
            return Next::Finish(content);
        }
        match self.health.ready_flaps {
            true => Next::Flap,
            false => Next::Nothing,
        }
    }

    fn is_being_made(&self, content: &str) -> bool {
        let content = self.contents.get(content);
        let annotations = content.and_then(|content| content.pointer("/metadata/annotations"));
        annotations.is_some_and(|all| all.get(BEING_CREATED).is_some())
    }

    fn begin_snapshot(&mut self, snapshot: &VolumeSnapshot) -> bool {
        let name = snapshot.name_any();
        let source = snapshot.spec.source.persistent_volume_claim_name.clone();
        let source = source.unwrap_or_default();
        let Some((handle, driver, mode)) = self.source_volume(&source) else {
            return false;
        };
        let class = snapshot.spec.volume_snapshot_class_name.clone();
        let mut classes = self.snapshot_classes.iter();
        let class = classes.find(|known| known.metadata.name == class);
        let policy = class.map_or("Delete".into(), |class| class.deletion_policy.clone());
        let content = format!("content-{name}");
        let object = json!({
            "metadata": {"name": content, "annotations": {BEING_CREATED: "yes"}},
            "spec": {
                "driver": driver, "deletionPolicy": policy, "sourceVolumeMode": mode,
                "source": {"volumeHandle": handle},
            },
            "status": {},
        });
        self.contents.insert(content.clone(), object);
        self.objects.change_claim(&source, None, |claim| {
            let finalizers = claim.finalizers_mut();
            if !finalizers.iter().any(|f| f == SNAPSHOT_PROTECTION) {
                finalizers.push(SNAPSHOT_PROTECTION.into());
            }
        });
        self.change_status(&name, |status| {
            status.bound_volume_snapshot_content_name = Some(content);
            status.ready_to_use = Some(false);
        });
        self.changed();
        true
    }

    /// Handle, driver and mode of the volume behind a claim that can be cut.
    fn source_volume(&self, claim: &str) -> Option<(String, String, String)> {
        let handle = self.handle_of_claim(claim)?;
        let found = self.objects.claims.get(claim)?;
        let driver = self.storage.volumes.get(&handle)?.driver.clone();
        let mode = if found.is_block() {
            "Block"
        } else {
            "Filesystem"
        };
        Some((handle, driver, mode.into()))
    }

    fn cut_snapshot(&mut self, snapshot: &VolumeSnapshot, content: &str) -> bool {
        let name = snapshot.name_any();
        let spec = self.contents.get(content).cloned().unwrap_or_default();
        let text = |path: &str| {
            spec.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if self
            .health
            .snapshotter_stopped
            .contains(text("/spec/driver"))
        {
            return false;
        }
        if let Some(message) = self.health.snapshot_error.clone() {
            let known = snapshot
                .status
                .as_ref()
                .and_then(|status| status.error.as_ref());
            if known.and_then(|error| error.message.as_ref()) == Some(&message) {
                return false;
            }
            self.change_status(&name, |status| {
                status.error = Some(VolumeSnapshotError {
                    time: None,
                    message: Some(message),
                });
            });
            self.changed();
            return true;
        }
        let off = self.clocks_off.get(text("/spec/driver")).copied();
        let now = self.now() + off.unwrap_or_default();
        let volume = text("/spec/source/volumeHandle").to_string();
        let Some(handle) = self.storage.cut(&volume) else {
            return false;
        };
        let cut = self.storage.snapshots.get(&handle);
        let bytes = cut.map_or(0, |cut| cut.content.bytes.len());
        if let Some(object) = self.contents.get_mut(content) {
            object["status"] = json!({
                "snapshotHandle": handle, "restoreSize": bytes,
                "creationTime": nanoseconds(now),
            });
        }
        self.change_status(&name, |status| {
            status.creation_time = Some(Time(now));
            status.restore_size = Some(Quantity(bytes.to_string()));
            status.error = None;
        });
        self.changed();
        true
    }

    fn finish_snapshot(&mut self, snapshot: &VolumeSnapshot, content: &str) {
        let annotations = self
            .contents
            .get_mut(content)
            .and_then(|object| object.pointer_mut("/metadata/annotations"))
            .and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.remove(BEING_CREATED);
        }
        self.set_ready(&snapshot.name_any(), true);
        let source = snapshot.spec.source.persistent_volume_claim_name.clone();
        self.release_source(&source.unwrap_or_default());
    }

    /// Takes the finalizer off a claim of which no snapshot is being made any more.
    fn release_source(&mut self, claim: &str) {
        let busy = self.snapshots.values().any(|snapshot| {
            let status = snapshot.status.clone().unwrap_or_default();
            let content = status.bound_volume_snapshot_content_name;
            snapshot.spec.source.persistent_volume_claim_name.as_deref() == Some(claim)
                && content.is_some_and(|content| self.is_being_made(&content))
        });
        if !busy {
            self.objects.change_claim(claim, None, |claim| {
                claim.finalizers_mut().retain(|f| f != SNAPSHOT_PROTECTION);
            });
            self.objects.collect();
        }
    }

    fn drop_snapshot(&mut self, snapshot: &VolumeSnapshot) {
        let status = snapshot.status.clone().unwrap_or_default();
        let content = status
            .bound_volume_snapshot_content_name
            .unwrap_or_default();
        let object = self.contents.get(&content);
        let text = |path: &str| object?.pointer(path)?.as_str().map(String::from);
        if text("/spec/deletionPolicy").as_deref() != Some("Retain") {
            let handle = text("/status/snapshotHandle").unwrap_or_default();
            self.storage.snapshots.remove(&handle);
            self.contents.remove(&content);
        }
        self.snapshots.remove(&snapshot.name_any());
    }

    fn set_ready(&mut self, name: &str, ready: bool) {
        self.change_status(name, |status| status.ready_to_use = Some(ready));
    }

    fn change_status(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut api::snapshots::VolumeSnapshotStatus),
    ) {
        let stamp = self.objects.stamp();
        if let Some(snapshot) = self.snapshots.get_mut(name) {
            snapshot.metadata.resource_version = Some(stamp);
            change(snapshot.status.get_or_insert_default());
        }
    }
}

fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}
