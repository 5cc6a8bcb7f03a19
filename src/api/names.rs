//! Names of the objects that a pair owns, and the labels by which they are found again.

use protocol::units::Point;

/// Field manager of the operator's writes.
pub const OPERATOR_MANAGER: &str = "ferry-operator";
/// Field manager of the plugin's writes. Its name must not begin with `kubectl`: Flux takes back whatever
/// such a manager has written (fluxcd/pkg ssa/patch.go), and with it a failover (K-16).
pub const PLUGIN_MANAGER: &str = "ferry-plugin";
/// Finalizer on pairs.
pub const FINALIZER: &str = "ferry.dev/teardown";
/// Label on everything that a pair owns: the pair's name.
pub const PAIR_LABEL: &str = "ferry.dev/pair";
/// Label on PersistentVolumes, which have no namespace: the namespace of the pair.
pub const PAIR_NAMESPACE_LABEL: &str = "ferry.dev/pair-namespace";
/// Label: the site that the object belongs to.
pub const SITE_LABEL: &str = "ferry.dev/site";
/// Label on snapshots and claims made from them: the cut, `epoch.seq`.
pub const POINT_LABEL: &str = "ferry.dev/point";
/// Label: what the object is for, one of `replica`, `metadata`, `cut`, `source`, `mover`.
pub const PART_LABEL: &str = "ferry.dev/part";
/// Value of [`PART_LABEL`] on a pod that reads a diverged volume for `kubectl ferry salvage`.
pub const SALVAGE_PART: &str = "salvage";
/// Label that marks objects of this program.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "ferry";
/// Annotation on a PersistentVolume: the reclaim policy that it had before Ferry retained it.
pub const RECLAIM_POLICY_ANNOTATION: &str = "ferry.dev/reclaim-policy";

/// Longest pair name for which every derived name stays within 63 characters.
pub const PAIR_NAME_MAX: usize = 32;

/// The claim that holds a site's volume while the site is standby.
#[must_use]
pub fn replica_claim(pair: &str, site: &str) -> String {
    format!("{pair}-{site}-replica")
}

/// The claim with a site's superblock, staging and digests.
#[must_use]
pub fn state_claim(pair: &str, site: &str) -> String {
    format!("{pair}-{site}-meta")
}

/// A site's mover pod, its certificate's secret.
#[must_use]
pub fn mover(pair: &str, site: &str) -> String {
    format!("{pair}-{site}-mover")
}

/// The pod that reads a site's diverged volume for `kubectl ferry salvage`.
#[must_use]
pub fn salvage(pair: &str, site: &str) -> String {
    format!("{pair}-{site}-salvage")
}

/// The VolumeSnapshot of a cut at a site.
#[must_use]
pub fn snapshot(pair: &str, site: &str, point: Point) -> String {
    format!("{pair}-{site}-{}-{}", point.epoch, point.seq)
}

/// The claim made from a cut, which the source mover reads.
#[must_use]
pub fn source_claim(pair: &str, site: &str, point: Point) -> String {
    format!("{pair}-{site}-{}-{}-read", point.epoch, point.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K-16: Flux undoes what a manager of such a name has written.
    #[test]
    fn no_field_manager_passes_for_kubectl() {
        for manager in [OPERATOR_MANAGER, PLUGIN_MANAGER] {
            assert!(!manager.starts_with("kubectl"), "{manager}");
        }
    }
}
