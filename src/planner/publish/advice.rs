//! What to do about a refusal, from the words of Kubernetes 1.34's admission plugins and authorizers.

/// What the words contain, all of it, and what to do then; the first that fits counts.
const ADVICE: [(&[&str], &str); 6] = [
    (
        &["violates PodSecurity"],
        "allow the namespace's movers (label pod-security.kubernetes.io/enforce: baseline), or set the chart's \
         mover.securityContext and mover.podSecurityContext as docs/runbook.md says for restricted",
    ),
    (
        &["failed quota", "must specify"],
        "set what the quota asks for in the chart's mover.resources, or a default by a LimitRange",
    ),
    (
        &["exceeded quota"],
        "raise the ResourceQuota, or free what it counts",
    ),
    (
        &["usage per"],
        "change the namespace's LimitRange, or the size that is asked for",
    ),
    (
        &["User \"", "cannot"],
        "upgrade the chart with the operator's image: its ClusterRole grants what the operator needs",
    ),
    (
        &["webhook"],
        "see the webhook that the message names: it has to answer, and to admit the object",
    ),
];

/// What to do about a refusal in these words; it is tried again by itself in any case.
#[must_use]
pub fn advice(words: &str) -> &'static str {
    let fits = |parts: &[&str]| parts.iter().all(|part| words.contains(part));
    let found = ADVICE.iter().find(|(parts, _)| fits(parts));
    found.map_or("it is tried again within half a minute", |(_, advice)| {
        advice
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K-8: every refusal says what to do, by the words that Kubernetes uses.
    #[test]
    fn k_8_each_refusal_has_its_advice() {
        let said = [
            (
                "pods \"orders-east-mover\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                "pod-security.kubernetes.io/enforce",
            ),
            (
                "pods \"orders-east-mover\" is forbidden: failed quota: compute: must specify limits.cpu for: mover",
                "mover.resources",
            ),
            (
                "persistentvolumeclaims \"orders-east-meta\" is forbidden: exceeded quota: claims, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=4, limited: persistentvolumeclaims=4",
                "ResourceQuota",
            ),
            (
                "persistentvolumeclaims \"orders-east-meta\" is forbidden: maximum storage usage per PersistentVolumeClaim is 256Mi, but request is 512Mi",
                "LimitRange",
            ),
            (
                "pods is forbidden: User \"system:serviceaccount:ferry:ferry-operator\" cannot create resource \"pods\" in API group \"\" in the namespace \"shop\"",
                "ClusterRole",
            ),
            (
                "admission webhook \"validate.kyverno.svc\" denied the request: no",
                "webhook",
            ),
        ];
        for (words, expected) in said {
            assert!(
                advice(words).contains(expected),
                "{words}: {}",
                advice(words)
            );
        }
        assert!(advice("etcdserver: request timed out").contains("tried again"));
    }
}
