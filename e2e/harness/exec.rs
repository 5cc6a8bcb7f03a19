//! Commands in pods.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt;

/// Longest time of one command.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a command in a pod's first container and returns what it printed.
///
/// # Errors
/// When it can't be started, ends with another code than 0, or takes longer than two minutes.
pub async fn exec(pods: &Api<Pod>, pod: &str, command: &[&str]) -> Result<String> {
    let run = async {
        let params = AttachParams::default().stdout(true).stderr(true);
        let mut process = pods.exec(pod, command.iter().copied(), &params).await?;
        let mut out = process.stdout().context("no standard output")?;
        let mut err = process.stderr().context("no standard error")?;
        let status = process.take_status().context("no status")?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let (read_out, read_err) = tokio::join!(
            out.read_to_string(&mut stdout),
            err.read_to_string(&mut stderr)
        );
        read_out?;
        read_err?;
        let status = status.await.context("the connection ended early")?;
        if status.status.as_deref() != Some("Success") {
            bail!("{}: {}", status.message.unwrap_or_default(), stderr.trim());
        }
        Ok(stdout)
    };
    tokio::time::timeout(LIMIT, run)
        .await
        .context("it takes too long")
        .and_then(|done| done)
        .with_context(|| format!("failed to run {command:?} in pod {pod}"))
}
