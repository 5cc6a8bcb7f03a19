//! Asking a driver's service.

use kube::Client;

use crate::operator::metadata::{ExtentStream, MetadataError, SnapshotFacts};

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

/// Asks drivers which extents of a snapshot matter.
#[derive(Clone)]
pub struct MetadataClient {}

impl MetadataClient {
    /// A client that requests tokens for `account`.
    #[must_use]
    pub fn new(client: Client, account: ServiceAccount) -> MetadataClient {
        todo!("{} {account:?}", client.default_namespace())
    }

    /// Everything that is allocated in `snapshot`, made by `driver`, of a volume of `capacity` bytes.
    ///
    /// # Errors
    /// [`MetadataError::because`] says why the rung can't be used. The first message has come in
    /// when this returns without an error.
    pub async fn allocated(
        &self,
        driver: &str,
        snapshot: &SnapshotName,
        capacity: u64,
    ) -> Result<ExtentStream, MetadataError> {
        todo!("{driver} {snapshot:?} {capacity}")
    }

    /// Everything in `snapshot` that may differ from `base`. The two must have been proved to belong
    /// together ([`super::prove_delta`]); this is done here again with `facts` of both.
    ///
    /// # Errors
    /// As [`MetadataClient::allocated`].
    pub async fn delta(
        &self,
        base: &SnapshotFacts,
        target: &SnapshotFacts,
        snapshot: &SnapshotName,
        capacity: u64,
    ) -> Result<ExtentStream, MetadataError> {
        todo!("{base:?} {target:?} {snapshot:?} {capacity}")
    }
}
