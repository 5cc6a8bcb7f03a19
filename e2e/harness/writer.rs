//! An application on a raw block claim: a pod that writes and reads what a story asks of it.

use anyhow::{Context, Result};
use serde_json::json;

use super::exec::exec;
use super::install::APP_IMAGE;
use super::scene::Scene;

/// The pod's name.
pub const NAME: &str = "writer";

/// Starts the pod on the block claim `claim`, whose device it has as `/dev/volume`.
///
/// # Errors
/// When it does not run within a minute.
pub async fn open(scene: &Scene, claim: &str) -> Result<()> {
    let spec = json!({"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
        "containers": [{"name": NAME, "image": APP_IMAGE, "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sleep", "3600"],
            "volumeDevices": [{"name": "data", "devicePath": "/dev/volume"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]});
    scene.pod(NAME, spec).await
}

/// Runs a shell command in it.
///
/// # Errors
/// When the command fails.
pub async fn write(scene: &Scene, command: &str) -> Result<()> {
    exec(&scene.api(), NAME, &["/bin/sh", "-ec", command])
        .await
        .map(|_| ())
}

/// The SHA-256 of its device.
///
/// # Errors
/// When the device can't be read.
pub async fn checksum(scene: &Scene) -> Result<String> {
    let said = exec(
        &scene.api(),
        NAME,
        &["/bin/busybox", "sha256sum", "/dev/volume"],
    )
    .await?;
    said.split(' ')
        .next()
        .map(str::to_owned)
        .context("no checksum")
}
