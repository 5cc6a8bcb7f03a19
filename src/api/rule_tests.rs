//! The rules that the API server checks, checked where they are written, without a server.

use kube::core::cel::{validate_cel, validate_cel_update};

use crate::ReplicationPair;

const PAIR: &str = "
apiVersion: ferry.dev/v1alpha1
kind: ReplicationPair
metadata: {name: orders, namespace: shop}
spec:
  claimName: data
  primary: east
  sites: [{name: east, storageClassName: fast}, {name: west, storageClassName: fast-west}]
  transfer:
    timeZone: Europe/Berlin
    bandwidthSchedule: [{from: '08:00', to: '20:00', rate: 10Mi}]
";

/// The pair with one text replaced by another.
fn with(from: &str, to: &str) -> ReplicationPair {
    assert!(PAIR.contains(from), "{from} is not in the example");
    serde_yaml::from_str(&PAIR.replace(from, to)).unwrap()
}

/// What is said of the pair; empty when it is taken.
fn said(pair: &ReplicationPair, old: Option<&ReplicationPair>) -> String {
    let result = match old {
        None => validate_cel(pair),
        Some(old) => validate_cel_update(pair, old),
    };
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn a_pair_as_documented_is_taken() {
    let pair = with("data", "data");
    assert_eq!(said(&pair, None), "");
    assert_eq!(said(&pair, Some(&pair)), "");
}

#[test]
fn each_rule_refuses_with_its_sentence() {
    for (from, to, sentence) in [
        (
            "claimName: data",
            "claimName: ''",
            "claimName must name a claim",
        ),
        ("name: west", "name: east", "two different sites"),
        (
            "primary: east",
            "primary: north",
            "name of one of the two sites",
        ),
        ("to: '20:00'", "to: '08:00'", "from and to must differ"),
    ] {
        let said = said(&with(from, to), None);
        assert!(said.contains(sentence), "{to}: {said:?}");
    }
}

#[test]
fn what_can_never_change_is_refused_and_what_can_is_taken() {
    let old = with("data", "data");
    let claim = with("claimName: data", "claimName: other");
    assert!(said(&claim, Some(&old)).contains("belongs to one volume"));
    let site = with("name: west", "name: north");
    assert!(said(&site, Some(&old)).contains("names of the two sites can't be changed"));
    for (from, to) in [("primary: east", "primary: west"), ("10Mi", "20Mi")] {
        assert_eq!(said(&with(from, to), Some(&old)), "", "{to}");
    }
}
