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
/// Label on everything that a pair owns: the UID of the pair's object. What lacks it is not the pair's,
/// whatever its name is (K-3).
pub const PAIR_UID_LABEL: &str = "ferry.dev/pair-uid";
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
/// Annotation on a state claim: the change of the role that is under way, should the status be lost (K-13).
pub const ROLE_CHANGE_ANNOTATION: &str = "ferry.dev/role-change";

/// Longest pair name for which every derived name stays within 63 characters.
pub const PAIR_NAME_MAX: usize = 32;

/// What the names of a site's objects begin with: never the same for two sites of a namespace (K-24). With
/// dashes in a name, `db` at `eu-west` and `db-eu` at `west` would be the same, so it is said how long the
/// pair's name is: that, and where both end, tells the two apart. What follows a beginning without it has
/// fewer dashes.
fn stem(pair: &str, site: &str) -> String {
    if !pair.contains('-') && !site.contains('-') {
        return format!("{pair}-{site}");
    }
    format!("{pair}-{site}-x{}", pair.len())
}

/// The claim that holds a site's volume while the site is standby.
#[must_use]
pub fn replica_claim(pair: &str, site: &str) -> String {
    format!("{}-replica", stem(pair, site))
}

/// The claim with a site's superblock, staging and digests.
#[must_use]
pub fn state_claim(pair: &str, site: &str) -> String {
    format!("{}-meta", stem(pair, site))
}

/// A site's mover pod, its certificate's secret.
#[must_use]
pub fn mover(pair: &str, site: &str) -> String {
    format!("{}-mover", stem(pair, site))
}

/// The pod that reads a site's diverged volume for `kubectl ferry salvage`.
#[must_use]
pub fn salvage(pair: &str, site: &str) -> String {
    format!("{}-salvage", stem(pair, site))
}

/// The VolumeSnapshot of a cut at a site.
#[must_use]
pub fn snapshot(pair: &str, site: &str, point: Point) -> String {
    format!("{}-{}-{}", stem(pair, site), point.epoch, point.seq)
}

/// The claim made from a cut, which the source mover reads.
#[must_use]
pub fn source_claim(pair: &str, site: &str, point: Point) -> String {
    format!("{}-read", snapshot(pair, site, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K-24: two sites of two pairs never have an object's name in common, however many dashes there are.
    #[test]
    fn k_24_names_never_collide() {
        let words = [
            "db",
            "db-eu",
            "db-eu-west",
            "eu",
            "eu-west",
            "west",
            "1",
            "west-1",
            "1-2",
        ];
        let mut seen = std::collections::BTreeMap::new();
        for pair in words {
            for site in words {
                for point in [Point::new(1, 2), Point::new(2, 1)] {
                    let own = [
                        replica_claim(pair, site),
                        state_claim(pair, site),
                        mover(pair, site),
                        salvage(pair, site),
                        snapshot(pair, site, point),
                        source_claim(pair, site, point),
                    ];
                    for name in own {
                        let owner = *seen.entry(name.clone()).or_insert((pair, site));
                        assert_eq!(owner, (pair, site), "{name}");
                    }
                }
            }
        }
        assert_eq!(replica_claim("orders", "west"), "orders-west-replica");
    }

    /// K-16: Flux undoes what a manager of such a name has written.
    #[test]
    fn no_field_manager_passes_for_kubectl() {
        for manager in [OPERATOR_MANAGER, PLUGIN_MANAGER] {
            assert!(!manager.starts_with("kubectl"), "{manager}");
        }
    }
}
