//! Storage and snapshot classes are few, cluster-wide and seldom changed, so they are read at most
//! every so often.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::operator::observe::Classes;
use crate::operator::snapshot_api::VolumeSnapshotClass;

/// How long what was read is used.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// What was read, and when.
#[derive(Debug, Default)]
pub struct ClassCache(Mutex<Option<(Instant, Classes)>>);

impl ClassCache {
    /// The classes, from memory if they are recent.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn classes(&self, client: &Client) -> Result<Classes, kube::Error> {
        let kept = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        if let Some((at, classes)) = kept.filter(|(at, _)| at.elapsed() < KEPT_FOR) {
            tracing::trace!(?at, "classes from memory");
            return Ok(classes);
        }
        let classes = read(client).await?;
        let mut kept = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *kept = Some((Instant::now(), classes.clone()));
        Ok(classes)
    }
}

async fn read(client: &Client) -> Result<Classes, kube::Error> {
    let storage = Api::<StorageClass>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let snapshot = Api::<VolumeSnapshotClass>::all(client.clone())
        .list(&ListParams::default())
        .await;
    let snapshot = match snapshot {
        Ok(list) => Some(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => return Err(error),
    };
    Ok(Classes::of(storage.items, snapshot))
}
