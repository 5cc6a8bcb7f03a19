//! Asking a driver's service.

use std::sync::Arc;

use kube::Client;

use crate::changed_blocks::error::List;
use crate::changed_blocks::request::Question;
use crate::changed_blocks::token::{AccountTokens, Tokens};
use crate::changed_blocks::{ExtentStream, MetadataError, discovery, prove_delta};
use planner::observe::SnapshotFacts;

/// The operator's own ServiceAccount, in whose name tokens are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A VolumeSnapshot object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Asks drivers which extents of a snapshot matter. Cheap to clone.
#[derive(Clone)]
pub struct MetadataClient {
    client: Client,
    tokens: Arc<dyn Tokens>,
}

impl MetadataClient {
    /// A client that requests tokens for `account`.
    #[must_use]
    pub fn new(client: Client, account: ServiceAccount) -> MetadataClient {
        MetadataClient {
            tokens: Arc::new(AccountTokens::new(client.clone(), account)),
            client,
        }
    }

    /// Everything that is allocated in `snapshot`, made by `driver`, of which the mover reads a
    /// device of `device_bytes`.
    ///
    /// # Errors
    /// [`MetadataError::because`] says why the change source can't be used. The first message has come in
    /// when this returns without an error.
    pub async fn allocated(
        &self,
        driver: &str,
        snapshot: &SnapshotName,
        device_bytes: u64,
    ) -> Result<ExtentStream, MetadataError> {
        let question = Question {
            service: discovery::find(&self.client, driver).await?,
            list: List::Allocated,
            snapshot: snapshot.clone(),
            base: String::new(),
        };
        ExtentStream::open(question, self.tokens.clone(), device_bytes, device_bytes).await
    }

    /// Everything in `snapshot`, of which the mover reads a device of `device_bytes`, that may
    /// differ from `base`; what the volume has grown by counts as different. That `base` and `target`
    /// are snapshots of one volume, in this order, is proved here. That it is the right volume is for
    /// the caller to prove ([`prove_delta`]).
    ///
    /// # Errors
    /// As [`MetadataClient::allocated`].
    pub async fn delta(
        &self,
        base: &SnapshotFacts,
        target: &SnapshotFacts,
        snapshot: &SnapshotName,
        device_bytes: u64,
    ) -> Result<ExtentStream, MetadataError> {
        prove_delta(base, target, target.volume_handle.as_deref().unwrap_or(""))?;
        let question = Question {
            service: discovery::find(&self.client, &target.driver).await?,
            list: List::Delta,
            snapshot: snapshot.clone(),
            base: base.handle.clone(),
        };
        let base_bytes = base.size_bytes.unwrap_or(device_bytes);
        ExtentStream::open(question, self.tokens.clone(), device_bytes, base_bytes).await
    }
}
