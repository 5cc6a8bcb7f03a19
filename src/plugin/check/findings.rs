//! What the facts mean for a pair. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::facts::{Facts, Known, Right};
use super::finding::{Finding, Level, finding};
use super::storage::{claim, classes};
use crate::operators::Operator;
use planner::validate::quantity_bytes;

/// The oldest Kubernetes that Ferry is made for.
const VERSION_MIN: (u32, u32) = (1, 30);

/// Clocks that differ by more than this make certificates and ages wrong.
const CLOCK_MAX_SECONDS: i64 = 60;

/// Pods that a pair runs at once: two movers.
const PODS: u64 = 2;

/// Claims that a pair makes beside the application's: two for state, the replica, one from a cut.
const CLAIMS: u64 = 4;

/// The findings, in the order in which one stands on the other.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![
        version(&facts.version),
        crd(&facts.crd),
        operator(&facts.operators),
        clock(&facts.clock_seconds),
        pod_security(&facts.namespace, &facts.pod_security),
    ];
    found.extend(classes(facts));
    found.extend(claim(facts));
    found.extend(quotas(facts));
    found.extend(limits(facts));
    found.extend(rights(facts));
    found
}

fn version(version: &Known<(u32, u32)>) -> Finding {
    let subject = "Kubernetes";
    match version {
        Ok(known) if *known < VERSION_MIN => finding(
            Level::Fails,
            subject,
            format!(
                "version {}.{}; Ferry needs {}.{} or newer",
                known.0, known.1, VERSION_MIN.0, VERSION_MIN.1
            ),
        ),
        Ok((major, minor)) => finding(Level::Passes, subject, format!("version {major}.{minor}")),
        Err(why) => finding(Level::Unknown, subject, why),
    }
}

fn crd(served: &Known<Vec<String>>) -> Finding {
    let subject = "CRDs";
    match served {
        Ok(versions) if versions.iter().any(|version| version == "v1alpha1") => {
            finding(Level::Passes, subject, "ferry.dev/v1alpha1 is served")
        }
        Ok(versions) if versions.is_empty() => finding(
            Level::Fails,
            subject,
            "the server knows no ferry.dev: install Ferry with Helm, or apply its crds folder",
        ),
        Ok(versions) => finding(
            Level::Fails,
            subject,
            format!(
                "ferry.dev is served as {}, and this plugin speaks v1alpha1: use the plugin of the \
                 installed version",
                versions.join(", ")
            ),
        ),
        Err(why) => finding(Level::Unknown, subject, why),
    }
}

fn operator(operators: &Known<Vec<Operator>>) -> Finding {
    let subject = "operator";
    let found = match operators {
        Ok(found) => found,
        Err(why) => return finding(Level::Unknown, subject, why),
    };
    match (found.iter().find(|one| one.ready > 0), found.first()) {
        (Some(ready), _) => finding(
            Level::Passes,
            subject,
            format!("Deployment {}/{} is ready", ready.namespace, ready.name),
        ),
        (None, Some(one)) => finding(
            Level::Fails,
            subject,
            format!(
                "Deployment {}/{} has no ready pod: kubectl -n {} describe pods",
                one.namespace, one.name, one.namespace
            ),
        ),
        (None, None) => finding(
            Level::Fails,
            subject,
            "no Deployment of the chart is there: helm install ferry …",
        ),
    }
}

fn clock(ahead: &Known<i64>) -> Finding {
    let subject = "clock";
    match ahead {
        Ok(seconds) if seconds.abs() > CLOCK_MAX_SECONDS => finding(
            Level::Warns,
            subject,
            format!(
                "this machine and the API server differ by {} s: ages shown here are wrong by that, and \
                 if the cluster's nodes differ as much, certificates are refused. Use NTP on both",
                seconds.abs()
            ),
        ),
        Ok(_) => finding(
            Level::Passes,
            subject,
            "this machine and the API server agree",
        ),
        Err(why) => finding(Level::Unknown, subject, why),
    }
}

fn pod_security(namespace: &str, level: &Known<Option<String>>) -> Finding {
    let subject = "PodSecurity";
    match level {
        Ok(Some(level)) if level == "restricted" => finding(
            Level::Warns,
            subject,
            format!(
                "namespace {namespace} enforces restricted, and movers run as root by default, without any \
                 capability, to open block devices: have the container runtime give devices to their \
                 pod's user (containerd: device_ownership_from_security_context) and set the Helm value \
                 mover.template (docs/security.md), or enforce baseline"
            ),
        ),
        Ok(Some(level)) => finding(
            Level::Passes,
            subject,
            format!("namespace {namespace} enforces {level}, which movers keep to"),
        ),
        Ok(None) => finding(
            Level::Passes,
            subject,
            format!("namespace {namespace} enforces none"),
        ),
        Err(why) => finding(Level::Unknown, subject, why),
    }
}

fn quotas(facts: &Facts) -> Vec<Finding> {
    let quotas = match &facts.quotas {
        Ok(quotas) => quotas,
        Err(why) => return vec![finding(Level::Unknown, "quota", why)],
    };
    let short = |name: &str, hard: &Amounts, used: &Amounts| {
        let left =
            |key: &str| Some(count(hard, key)?.saturating_sub(count(used, key).unwrap_or(0)));
        [("pods", PODS), ("persistentvolumeclaims", CLAIMS)]
            .into_iter()
            .filter_map(|(key, needs)| {
                let left = left(key).filter(|left| *left < needs)?;
                Some(finding(
                    Level::Warns,
                    "quota",
                    format!("ResourceQuota {name} leaves {left} {key}, and a pair needs {needs}"),
                ))
            })
            .collect::<Vec<_>>()
    };
    let mut found: Vec<Finding> = quotas
        .iter()
        .flat_map(|quota| {
            let status = quota.status.clone().unwrap_or_default();
            short(
                &quota.name_any(),
                &status.hard.unwrap_or_default(),
                &status.used.unwrap_or_default(),
            )
        })
        .collect();
    if found.is_empty() {
        found.push(finding(
            Level::Passes,
            "quota",
            "leaves room for a pair's pods and claims",
        ));
    }
    found
}

type Amounts = BTreeMap<String, Quantity>;

fn count(amounts: &Amounts, key: &str) -> Option<u64> {
    quantity_bytes(amounts.get(key)?)
}

fn limits(facts: &Facts) -> Vec<Finding> {
    let ranges = match &facts.limits {
        Ok(ranges) => ranges,
        Err(why) => return vec![finding(Level::Unknown, "limits", why)],
    };
    let mut found = Vec::new();
    for range in ranges {
        for item in range.spec.iter().flat_map(|spec| &spec.limits) {
            let most = |key: &str| count(item.max.as_ref()?, key);
            let (key, kind) = match item.type_.as_str() {
                "PersistentVolumeClaim" => ("storage", "claim"),
                _ => ("memory", "mover"),
            };
            if let Some(most) = most(key) {
                found.push(finding(
                    Level::Warns,
                    "limits",
                    format!(
                        "LimitRange {} allows a {kind} at most {} of {key}: a mover needs 384 MiB by default, \
                         and the replica as much as the volume",
                        range.name_any(),
                        crate::format::bytes(i64::try_from(most).unwrap_or(i64::MAX))
                    ),
                ));
            }
        }
    }
    found
}

fn rights(facts: &Facts) -> Vec<Finding> {
    let right = |right: &Right| {
        let subject = "rights";
        let what = format!("{} {}", right.verb, right.resource);
        match &right.allowed {
            Ok(true) => finding(Level::Passes, subject, format!("you may {what}")),
            Ok(false) => finding(
                Level::Warns,
                subject,
                format!("you may not {what} in namespace {}", facts.namespace),
            ),
            Err(why) => finding(Level::Unknown, subject, why),
        }
    };
    facts.rights.iter().map(right).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
    use k8s_openapi::api::storage::v1::StorageClass;

    use super::*;
    use crate::sample;
    use planner::observe::Classes;

    fn class(name: &str, driver: &str) -> StorageClass {
        StorageClass {
            metadata: kube::core::ObjectMeta {
                name: Some(name.into()),
                ..Default::default()
            },
            provisioner: driver.into(),
            ..StorageClass::default()
        }
    }

    fn good() -> Facts {
        let snapshots = api::snapshots::VolumeSnapshotClass {
            metadata: kube::core::ObjectMeta {
                name: Some("snap".into()),
                ..Default::default()
            },
            driver: "block.example".into(),
            deletion_policy: "Delete".into(),
        };
        Facts {
            namespace: "shop".into(),
            pair: None,
            version: Ok((1, 34)),
            crd: Ok(vec!["v1alpha1".into()]),
            operators: Ok(vec![Operator {
                namespace: "ferry-system".into(),
                name: "ferry-operator".into(),
                version: None,
                ready: 1,
            }]),
            classes: Ok(Classes::of(
                vec![class("fast", "block.example")],
                Some(vec![snapshots]),
            )),
            drivers: vec!["block.example".into()],
            claim: Ok(None),
            pod_security: Ok(None),
            quotas: Ok(Vec::new()),
            limits: Ok(Vec::new()),
            rights: Vec::new(),
            clock_seconds: Ok(1),
        }
    }

    fn worst(facts: &Facts) -> Finding {
        all(facts)
            .into_iter()
            .min_by_key(|finding| finding.level)
            .unwrap()
    }

    #[test]
    fn a_good_cluster_passes_everything() {
        assert_eq!(worst(&good()).level, Level::Passes, "{:?}", all(&good()));
    }

    #[test]
    fn each_fact_that_bars_a_pair_is_named() {
        let cases: [(fn(&mut Facts), &str); 5] = [
            (|f| f.version = Ok((1, 29)), "1.30"),
            (|f| f.crd = Ok(Vec::new()), "knows no ferry.dev"),
            (|f| f.operators = Ok(Vec::new()), "no Deployment"),
            (
                |f| f.classes = Ok(Classes::of(vec![class("fast", "block.example")], None)),
                "snapshot CRDs",
            ),
            (
                |f| f.drivers = vec!["nfs.csi.k8s.io".into()],
                "no block driver",
            ),
        ];
        for (change, words) in cases {
            let mut facts = good();
            change(&mut facts);
            let worst = worst(&facts);
            assert_eq!(worst.level, Level::Fails);
            assert!(worst.message.contains(words), "{}", worst.message);
        }
    }

    #[test]
    fn a_site_without_its_class_fails_by_name() {
        let mut facts = good();
        let mut pair = sample::shipping();
        pair.spec.sites[0].storage_class_name = Some("fast".into());
        pair.spec.sites[1].storage_class_name = Some("gone".into());
        facts.pair = Some(pair);
        let found = all(&facts);
        let at = |name: &str| {
            found
                .iter()
                .find(|finding| finding.subject == name)
                .unwrap()
        };
        assert_eq!(at("site east").level, Level::Passes);
        assert!(at("site west").message.contains("no StorageClass gone"));
    }

    #[test]
    fn a_quota_that_is_nearly_used_up_warns_with_what_is_left() {
        let amounts = |pods: &str| Some(BTreeMap::from([("pods".into(), Quantity(pods.into()))]));
        let mut facts = good();
        facts.quotas = Ok(vec![ResourceQuota {
            status: Some(ResourceQuotaStatus {
                hard: amounts("10"),
                used: amounts("9"),
            }),
            ..ResourceQuota::default()
        }]);
        let worst = worst(&facts);
        assert_eq!(worst.level, Level::Warns);
        assert!(worst.message.contains("leaves 1 pods"), "{}", worst.message);
    }

    #[test]
    fn what_could_not_be_read_is_unknown_and_never_passes() {
        let mut facts = good();
        facts.pod_security = Err("namespaces \"shop\" is forbidden".into());
        assert_eq!(worst(&facts).level, Level::Unknown);
    }
}
