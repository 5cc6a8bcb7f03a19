//! Storage and snapshot classes: few, cluster-wide, seldom changed, so read at most every so often.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use api::snapshots::{DEFAULT_CLASS, VolumeSnapshotClass};
use api::v1alpha1::SiteSpec;
use planner::observe::{SnapshotClasses, StorageClassView};

/// How long what was read is used.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Annotation on the cluster's default StorageClass.
const DEFAULT_STORAGE_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// The classes of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    storage: Vec<(StorageClassView, bool)>,
    snapshot: Vec<(String, String, bool)>,
    /// Storage classes whose claims are bound without a pod.
    pub immediate: std::collections::BTreeSet<String>,
    /// Whether the snapshot API is served.
    pub snapshots_served: bool,
}

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
    let (snapshot, snapshots_served) = match snapshot {
        Ok(list) => (list.items, true),
        Err(kube::Error::Api(status)) if status.code == 404 => (Vec::new(), false),
        Err(error) => return Err(error),
    };
    let yes = |annotations: &std::collections::BTreeMap<String, String>, key: &str| {
        annotations.get(key).is_some_and(|value| value == "true")
    };
    let immediate = storage
        .items
        .iter()
        .filter(|class| class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer"))
        .map(ResourceExt::name_any)
        .collect();
    Ok(Classes {
        immediate,
        storage: storage
            .items
            .into_iter()
            .map(|class| {
                let default = yes(class.annotations(), DEFAULT_STORAGE_CLASS);
                let view = StorageClassView {
                    name: class.name_any(),
                    driver: class.provisioner.clone(),
                    expandable: class.allow_volume_expansion == Some(true),
                };
                (view, default)
            })
            .collect(),
        snapshot: snapshot
            .into_iter()
            .map(|class| {
                let default = yes(class.annotations(), DEFAULT_CLASS);
                (class.name_any(), class.driver, default)
            })
            .collect(),
        snapshots_served,
    })
}

impl Classes {
    /// The storage class that `site` names, or the default one.
    #[must_use]
    pub fn storage_class(&self, site: &SiteSpec) -> Option<StorageClassView> {
        let mut all = self.storage.iter();
        let found = match &site.storage_class_name {
            Some(name) => all.find(|(class, _)| class.name == *name),
            None => all.find(|(_, default)| *default),
        };
        found.map(|(class, _)| class.clone())
    }

    /// The snapshot classes that matter at a site.
    #[must_use]
    pub fn snapshot_classes(
        &self,
        here: Option<&String>,
        both: Option<&String>,
    ) -> SnapshotClasses {
        let named = |name: Option<&String>| {
            let name = name?;
            let driver = self
                .snapshot
                .iter()
                .find(|(n, _, _)| n == name)
                .map(|(_, driver, _)| driver.clone());
            Some((name.clone(), driver))
        };
        SnapshotClasses {
            named_here: named(here),
            named_for_both: named(both),
            all: self.snapshot.clone(),
        }
    }

    /// How many snapshot classes there are.
    #[must_use]
    pub fn snapshot_class_count(&self) -> usize {
        self.snapshot.len()
    }
}
