//! One leader a cluster. The lease may pause our writes; it never fences data: epochs do.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long the lease is held without being renewed, in seconds. Another operator takes over at most
/// this long after ours has died.
pub const LEASE_SECONDS: u64 = 20;
/// How long before that it is renewed, in seconds; also the difference of clocks that is tolerated.
pub const LEASE_GRACE_SECONDS: u64 = 10;
/// How often it is looked up whether the lease is still ours.
const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// The longest that giving the lease back may take; beyond it, it expires by itself.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why leadership is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease can't be read or written.
    #[error("failed to hold Lease {lease}: {reason}")]
    Failed {
        /// `namespace/name`.
        lease: String,
        /// What happened.
        reason: String,
    },
    /// Another operator leads now, or may lead: the lease could not be renewed in time.
    #[error("lost Lease {lease}: {reason}; this process ends, so that nothing is done twice")]
    Lost {
        /// `namespace/name`.
        lease: String,
        /// How.
        reason: String,
    },
}

/// The running election.
#[derive(Debug)]
pub struct Leadership {
    id: String,
    name: String,
    identity: String,
    api: Api<Lease>,
    elected: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
    leads: watch::Sender<bool>,
}

/// Takes part in the election for Lease `name` as `identity`, which must be unique to the process,
/// such as the pod's name.
///
/// # Errors
/// When the lease can't be created.
pub async fn elect(
    client: Client,
    namespace: &str,
    name: &str,
    identity: &str,
) -> Result<Leadership, LeaseError> {
    let id = format!("{namespace}/{name}");
    let manager = LeaseManagerBuilder::new(client.clone(), name)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(LEASE_SECONDS)
        .with_grace(LEASE_GRACE_SECONDS)
        .with_field_manager(format!("ferry-operator-{identity}"))
        .build()
        .await
        .map_err(|e| LeaseError::Failed {
            lease: id.clone(),
            reason: e.to_string(),
        })?;
    let (elected, task) = manager.watch().await;
    Ok(Leadership {
        id,
        name: name.into(),
        identity: identity.into(),
        api: Api::namespaced(client, namespace),
        elected,
        task,
        leads: watch::Sender::new(false),
    })
}

impl Leadership {
    /// Returns when this process leads.
    ///
    /// # Errors
    /// When the election has ended.
    pub async fn acquired(&mut self) -> Result<(), LeaseError> {
        match self.elected.wait_for(|leads| *leads).await {
            Ok(_) => {
                self.leads.send_replace(true);
                Ok(())
            }
            Err(_) => Err(LeaseError::Failed {
                lease: self.id.clone(),
                reason: "the election has ended".into(),
            }),
        }
    }

    /// Returns when leadership is lost, or can't be proved any more: end the process then.
    pub async fn lost(&mut self) -> LeaseError {
        let mut elected = self.elected.clone();
        let reason = tokio::select! {
            changed = elected.wait_for(|leads| !*leads) => match changed {
                Ok(_) => "another operator holds it".into(),
                Err(_) => "the election has ended".into(),
            },
            reason = self.unproved() => reason,
        };
        self.leads.send_replace(false);
        LeaseError::Lost {
            lease: self.id.clone(),
            reason,
        }
    }

    /// Whether this process leads now, for readiness and metrics.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Gives the lease back, so that another operator need not wait for it to expire.
    pub async fn release(self) {
        self.leads.send_replace(false);
        // The election gives the lease back when nobody listens to it any more.
        drop(self.elected);
        match tokio::time::timeout(RELEASE_TIMEOUT, self.task).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, lease = %self.id, "lease not given back"),
            Ok(Err(error)) => tracing::warn!(%error, lease = %self.id, "lease not given back"),
            Err(_) => tracing::warn!(lease = %self.id, "lease not given back in time"),
        }
    }

    /// Returns when the lease can't be proved to be ours for as long as it lasts. The election alone
    /// would go on believing in itself while the API server can't be reached.
    async fn unproved(&self) -> String {
        let limit = Duration::from_secs(LEASE_SECONDS);
        let mut proved = Instant::now();
        loop {
            tokio::time::sleep(CHECK_PERIOD).await;
            let asked = Instant::now();
            let failure = match tokio::time::timeout(limit, self.api.get(&self.name)).await {
                Ok(Ok(lease)) if is_held(&lease, &self.identity, Timestamp::now()) => {
                    proved = asked;
                    continue;
                }
                Ok(Ok(_)) => "it is not ours or has expired".into(),
                Ok(Err(e)) => format!("it can't be read: {e}"),
                Err(_) => "the API server does not answer".to_string(),
            };
            if proved.elapsed() >= limit {
                return failure;
            }
        }
    }
}

/// Whether the lease says that `identity` holds it at `now`.
fn is_held(lease: &Lease, identity: &str, now: Timestamp) -> bool {
    let Some(spec) = &lease.spec else {
        return false;
    };
    let seconds = spec.lease_duration_seconds.unwrap_or(0).max(0);
    let lasts = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    spec.holder_identity.as_deref() == Some(identity)
        && spec
            .renew_time
            .as_ref()
            .is_some_and(|renewed| now < renewed.0 + lasts)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn a_lease_is_ours_only_while_it_says_so_and_lasts() {
        let now = Timestamp::now();
        let lease = |holder: Option<&str>, age: u64| Lease {
            spec: Some(LeaseSpec {
                holder_identity: holder.map(Into::into),
                lease_duration_seconds: Some(20),
                renew_time: Some(MicroTime(now - Duration::from_secs(age))),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert!(is_held(&lease(Some("a"), 19), "a", now));
        assert!(!is_held(&lease(Some("a"), 20), "a", now));
        assert!(!is_held(&lease(Some("b"), 0), "a", now));
        assert!(!is_held(&lease(None, 0), "a", now));
        assert!(!is_held(&Lease::default(), "a", now));
    }
}
