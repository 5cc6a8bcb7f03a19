//! The rules that the API server checks, checked where they are written, without a server.

use kube::core::cel::{validate_cel, validate_cel_update};

use crate::{Promotion, ReplicationPair, Resync};

const PAIR: &str = "
apiVersion: ferry.dev/v1alpha1
kind: ReplicationPair
metadata: {name: orders, namespace: shop}
spec:
  claimName: data
  primary: east
  sites: [{name: east, storageClassName: fast}, {name: west, storageClassName: fast-west}]
  snapshot: {interval: 30s}
  verify: {interval: 168h}
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
    for days in ["interval: 1d", "interval: 7d12h"] {
        assert_eq!(said(&with("interval: 168h", days), None), "", "{days}");
    }
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
        ("interval: 30s", "interval: 9s", "shortest interval is 10s"),
        (
            "interval: 168h",
            "interval: 59s",
            "shortest interval of comparisons is 1m",
        ),
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

const PROMOTION: &str = "
apiVersion: ferry.dev/v1alpha1
kind: Promotion
metadata: {name: orders-1, namespace: shop}
spec: {pairRef: {name: orders}, site: west, epoch: 3, kind: Forced, acceptLossOf: 5m, cancel: false}
";

/// The promotion with one text replaced by another.
fn promotion(from: &str, to: &str) -> Promotion {
    assert!(PROMOTION.contains(from), "{from} is not in the example");
    serde_yaml::from_str(&PROMOTION.replace(from, to)).unwrap()
}

#[test]
fn a_promotion_never_changes_but_to_be_cancelled() {
    let made = promotion("west", "west");
    assert!(validate_cel(&made).is_ok());
    for (from, to) in [
        ("name: orders}", "name: invoices}"),
        ("west", "east"),
        ("epoch: 3", "epoch: 4"),
        ("kind: Forced, acceptLossOf: 5m", "kind: Planned"),
        ("acceptLossOf: 5m", "acceptLossOf: 6m"),
        ("acceptLossOf: 5m, ", ""),
    ] {
        let changed = validate_cel_update(&promotion(from, to), &made);
        assert!(changed.is_err(), "{to:?} was taken");
    }
    let cancelled = promotion("cancel: false", "cancel: true");
    assert!(validate_cel_update(&cancelled, &made).is_ok());
    let said = validate_cel_update(&made, &cancelled).unwrap_err();
    assert!(said.to_string().contains("stays so"), "{said}");
    let planned = validate_cel(&promotion("kind: Forced", "kind: Planned"));
    assert!(planned.is_err(), "a planned move loses nothing");
}

#[test]
fn a_resync_never_changes() {
    let resync = |site: &str| -> Resync {
        let spec = format!("{{pairRef: {{name: orders}}, discardSite: {site}, epoch: 3}}");
        let head = "apiVersion: ferry.dev/v1alpha1\nkind: Resync\nmetadata: {name: r}\nspec: ";
        serde_yaml::from_str(&format!("{head}{spec}")).unwrap()
    };
    assert!(validate_cel(&resync("east")).is_ok());
    assert!(validate_cel_update(&resync("east"), &resync("east")).is_ok());
    assert!(validate_cel_update(&resync("west"), &resync("east")).is_err());
}
