//! One command in one container, with a time limit and the end of what it said.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::operator::quiesce::HookTarget;

/// The most bytes of a command's output that are kept, of each of its two streams: its end.
pub const OUTPUT_TAIL_BYTES_MAX: usize = 1024;

/// Runs `command`; an error is what to tell people.
pub(super) async fn exec(
    api: &Api<Pod>,
    target: &HookTarget,
    command: &[String],
    timeout: Duration,
) -> Result<(), String> {
    let mut said = Said::default();
    let ended = tokio::time::timeout(timeout, run(api, target, command, &mut said)).await;
    let failure = match ended {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure,
        Err(_) => format!("it took longer than {} s", timeout.as_secs()),
    };
    Err(format!("{failure}{}", said.quoted()))
}

async fn run(
    api: &Api<Pod>,
    target: &HookTarget,
    command: &[String],
    said: &mut Said,
) -> Result<(), String> {
    let params = AttachParams::default()
        .container(&target.container)
        .stdin(false)
        .stdout(true)
        .stderr(true);
    let mut process = api
        .exec(&target.pod, command, &params)
        .await
        .map_err(|e| format!("it could not be started: {e}"))?;
    let status = process.take_status();
    let (stdout, stderr) = (process.stdout(), process.stderr());
    tokio::join!(
        keep_tail(stdout, &mut said.stdout),
        keep_tail(stderr, &mut said.stderr)
    );
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    match status {
        Some(status) => judge(&status),
        None => Err("the connection to it ended before it did".into()),
    }
}

/// What the command's status says.
fn judge(status: &Status) -> Result<(), String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let causes = status
        .details
        .iter()
        .flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref());
    match (code, status.message.as_deref()) {
        (Some(code), _) => Err(format!("it ended with exit code {code}")),
        (None, Some(message)) => Err(format!("it failed: {message}")),
        (None, None) => Err("it failed, and the kubelet does not say why".into()),
    }
}

/// The end of what a command said.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Said {
    /// What people need to see of it: errors first, else the output.
    fn quoted(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        let (err, out) = (text(&self.stderr), text(&self.stdout));
        match (err.is_empty(), out.is_empty()) {
            (false, _) => format!("; it said: {err}"),
            (true, false) => format!("; it said: {out}"),
            (true, true) => String::new(),
        }
    }
}

async fn keep_tail(stream: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut piece = [0; 1024];
    // A stream that breaks ends; the command's status tells what became of it.
    while let Ok(n @ 1..) = stream.read(&mut piece).await {
        tail.extend_from_slice(&piece[..n]);
        let excess = tail.len().saturating_sub(OUTPUT_TAIL_BYTES_MAX);
        tail.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_how_the_command_ended() {
        let status = |value| serde_json::from_value::<Status>(value).unwrap();
        judge(&status(json!({"status": "Success"}))).unwrap();
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode",
            "message": "command terminated with non-zero exit code",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}});
        assert_eq!(
            judge(&status(failed)).unwrap_err(),
            "it ended with exit code 3"
        );
        let other = json!({"status": "Failure", "message": "no such container"});
        assert!(
            judge(&status(other))
                .unwrap_err()
                .contains("no such container")
        );
        assert!(judge(&status(json!({}))).is_err());
    }

    #[tokio::test]
    async fn only_the_end_of_the_output_is_kept() {
        let long: Vec<u8> = (0..5000_u32).map(|n| b'a' + (n % 26) as u8).collect();
        let mut said = Said::default();
        keep_tail(Some(&long[..]), &mut said.stderr).await;
        assert_eq!(said.stderr, long[long.len() - OUTPUT_TAIL_BYTES_MAX..]);
        said.stdout = b"out".to_vec();
        assert!(said.quoted().starts_with("; it said: "));
        said.stderr.clear();
        assert_eq!(said.quoted(), "; it said: out");
        assert_eq!(Said::default().quoted(), "");
    }
}
