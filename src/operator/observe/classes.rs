//! Storage and snapshot classes, as far as a pair is concerned with them. Pure.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::api::v1alpha1::SiteSpec;
use crate::operator::observe::{SnapshotClasses, StorageClassView};
use crate::operator::snapshot_api::{DEFAULT_CLASS, VolumeSnapshotClass};

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

impl Classes {
    /// The classes of a cluster; `snapshot` is `None` where the snapshot API is not served.
    #[must_use]
    pub fn of(storage: Vec<StorageClass>, snapshot: Option<Vec<VolumeSnapshotClass>>) -> Classes {
        let snapshots_served = snapshot.is_some();
        let snapshot = snapshot.unwrap_or_default();
        let yes = |annotations: &std::collections::BTreeMap<String, String>, key: &str| {
            annotations.get(key).is_some_and(|value| value == "true")
        };
        let immediate = storage
            .iter()
            .filter(|class| class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer"))
            .map(ResourceExt::name_any)
            .collect();
        Classes {
            immediate,
            storage: storage
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
        }
    }

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
}
