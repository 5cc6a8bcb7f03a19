//! The three statements of the module, for every small view of a site and everything that can be
//! desired of it.

use std::collections::BTreeSet;

use protocol::units::{Epoch, Point, Role, VolumeId};

use super::*;
use crate::observe::{
    Application, Claim, Cut, MoverPod, SiteView, SourceClaim, SuperblockSeen, Volume, VolumeMode,
};

const OLD: Point = Point::new(1, 1);
const NEW: Point = Point::new(1, 2);

fn claim(name: &str) -> Claim {
    Claim {
        name: name.into(),
        uid: format!("uid-{name}"),
        deleting: false,
        requested_bytes: 1,
        capacity_bytes: 1,
        bound: true,
        mode: VolumeMode::Block,
        storage_class: None,
        volume: Some(Volume {
            name: format!("pv-{name}"),
            driver: Some("d".into()),
            handle: Some(name.into()),
        }),
        parked: false,
    }
}

fn cut(point: Point) -> Cut {
    Cut {
        name: format!("cut-{point}"),
        version: None,
        point,
        created: None,
        ready: true,
        error: None,
        content: Some("content".into()),
        being_created: false,
        facts: None,
        retained: false,
        clock_off: None,
        mode_change_allowed: true,
        restore_bytes: None,
        deleting: false,
    }
}

fn pod(claim: Option<&str>) -> MoverPod {
    MoverPod {
        name: "mover".into(),
        uid: "1".into(),
        ip: None,
        device_claim: claim.map(Into::into),
        deleting: false,
        overdue: None,
        node: None,
        ended: false,
        problem: None,
    }
}

fn key() -> VolumeId {
    VolumeId {
        driver: "d".into(),
        handle: "here".into(),
    }
}

/// Every combination of what the statements look at: the superblock, the pod, the claims, the cuts.
fn every_view(mut check: impl FnMut(&SiteView)) {
    let mut superblocks = vec![None];
    for role in [Role::Primary, Role::Standby] {
        for epoch in [1, 2].map(Epoch) {
            for committed in [None, Some(OLD), Some(NEW)] {
                superblocks.push(Some(SuperblockSeen {
                    role,
                    epoch,
                    committed,
                }));
            }
        }
    }
    let pods = [None, Some(None), Some(Some("replica")), Some(Some("read"))];
    for remembered in superblocks {
        for device in pods {
            for bits in 0_u32..1 << 5 {
                let bit = |n: u32| bits & (1 << n) != 0;
                let source = SourceClaim {
                    name: "read".into(),
                    point: NEW,
                    storage_class: None,
                    bound: bit(4),
                    deleting: false,
                };
                check(&SiteView {
                    remembered,
                    pod: device.map(pod),
                    app_claim: bit(0).then(|| claim("data")),
                    replica_claim: bit(1).then(|| claim("replica")),
                    state_claim: Some(claim("state")),
                    cuts: [(2, OLD), (3, NEW)]
                        .into_iter()
                        .filter(|(n, _)| bit(*n))
                        .map(|(_, point)| cut(point))
                        .collect(),
                    source_claims: vec![source],
                    ..SiteView::empty("east".parse().unwrap())
                });
            }
        }
    }
}

/// Everything that can be desired, as far as the statements are concerned.
fn everything_desired() -> Vec<SiteDesired> {
    let mut all = Vec::new();
    let movers = [
        MoverDesired::Off,
        MoverDesired::Leave,
        MoverDesired::Probe,
        MoverDesired::Reader(NEW),
        MoverDesired::Writer,
    ];
    let keeps = [
        Keep::Everything,
        Keep::Only(BTreeSet::new()),
        Keep::Only(BTreeSet::from([NEW])),
    ];
    let claims = [
        None,
        Some(ClaimDesired::App(key())),
        Some(ClaimDesired::Replica(key())),
        Some(ClaimDesired::Parked(key())),
    ];
    for mover in movers {
        for keep in &keeps {
            for claim in &claims {
                for discard in [None, Some(OLD)] {
                    for epoch in [None, Some(Epoch(1)), Some(Epoch(2))] {
                        all.push(SiteDesired {
                            epoch,
                            mover,
                            keep_cuts: keep.clone(),
                            claim: claim.clone(),
                            discard,
                            ..SiteDesired::idle("east".parse().unwrap())
                        });
                    }
                }
            }
        }
    }
    all
}

/// What the statements say, written a second time and in another form.
fn holds(view: &SiteView, decision: &SiteDecision) -> bool {
    let primary = matches!(view.remembered, Some(seen) if seen.role == Role::Primary);
    let committed = view.remembered.and_then(|seen| seen.committed);
    let writes = decision.actions.iter().any(|action| {
        matches!(
            action,
            Action::StartMover {
                device: Device::Replica(_),
                ..
            }
        )
    });
    let drops = |point: Point| {
        let name = format!("cut-{point}");
        let version = None;
        decision
            .actions
            .contains(&Action::DropCut { name, version })
    };
    let takes = matches!(decision.claim, Some(ClaimDesired::App(_)));
    !(takes && !primary || writes && primary || committed.is_some_and(drops))
}

#[test]
fn whatever_is_desired_the_three_statements_hold() {
    let desired = everything_desired();
    let (mut walked, mut refused) = (0, 0);
    // What is not barred does happen, so that the statements do not hold without trying.
    let (mut bound, mut written, mut dropped) = (0, 0, 0);
    every_view(|view| {
        for desired in &desired {
            walked += 1;
            let known = view.remembered.map(|seen| seen.epoch);
            let Ok(decision) = decide(view, desired) else {
                refused += 1;
                assert!(known > desired.epoch, "{view:?} refused {desired:?}");
                continue;
            };
            assert!(known.is_none() || desired.epoch.is_none() || known <= desired.epoch);
            assert!(holds(view, &decision), "{view:?} {desired:?} {decision:?}");
            bound += usize::from(matches!(decision.claim, Some(ClaimDesired::App(_))));
            for action in &decision.actions {
                match action {
                    Action::StartMover {
                        device: Device::Replica(_),
                        ..
                    } => written += 1,
                    Action::DropCut { .. } => dropped += 1,
                    _ => {}
                }
            }
        }
    });
    assert_eq!(walked, 13 * 4 * 32 * desired.len());
    assert!(refused > 0 && bound > 0 && written > 0 && dropped > 0);
}

#[test]
fn a_claim_that_is_barred_is_reported() {
    let view = SiteView::empty("east".parse().unwrap());
    let desired = SiteDesired {
        claim: Some(ClaimDesired::App(key())),
        ..SiteDesired::idle("east".parse().unwrap())
    };
    let decision = decide(&view, &desired).unwrap();
    assert_eq!(decision.claim, None);
    assert!(decision.barred[0].contains("does not say that it is primary"));
}

#[test]
fn what_was_decided_in_an_epoch_that_is_over_is_refused_as_a_whole() {
    let view = SiteView {
        remembered: Some(SuperblockSeen {
            role: Role::Standby,
            epoch: Epoch(3),
            committed: None,
        }),
        application: Some(Application::Found {
            wanted: 1,
            present: 1,
            scaled_by: None,
            claims_go_when_scaled: false,
            version: None,
        }),
        ..SiteView::empty("east".parse().unwrap())
    };
    let desired = SiteDesired {
        epoch: Some(Epoch(2)),
        application: ApplicationDesired::Stop,
        ..SiteDesired::idle("east".parse().unwrap())
    };
    let refused = Refused::StaleEpoch {
        desired: Epoch(2),
        known: Epoch(3),
    };
    assert_eq!(Local(&view).desire(&desired), Err(refused));
}

/// A claim that waits for its volume can't grow: asking for it would fail, and what comes after it would
/// not be tried.
#[test]
fn a_claim_grows_once_it_is_bound() {
    for bound in [false, true] {
        let view = SiteView {
            state_claim: Some(Claim {
                bound,
                ..claim("state")
            }),
            ..SiteView::empty("east".parse().unwrap())
        };
        let desired = SiteDesired {
            volumes: Some(VolumesDesired {
                state_bytes: 2,
                state_bytes_min: 2,
                replica: None,
            }),
            ..SiteDesired::idle("east".parse().unwrap())
        };
        let decision = decide(&view, &desired).unwrap();
        let grows = |action: &Action| matches!(action, Action::Grow { bytes: 2, .. });
        assert_eq!(decision.actions.iter().any(grows), bound);
    }
}

/// Two sites of one cluster share the application's claim: it is exchanged when one takes it and the
/// other lets it go, and not before.
#[test]
fn the_claims_of_two_local_sites_are_exchanged_together() {
    let part = |site: &str, claim: Option<ClaimDesired>| {
        let decision = SiteDecision {
            claim,
            ..SiteDecision::default()
        };
        (SiteDesired::idle(site.parse().unwrap()), decision)
    };
    let pair = || {
        let pair = protocol::units::PairName::new("shop", "orders").unwrap();
        (pair, "uid".to_string())
    };
    let both = [
        part("east", Some(ClaimDesired::Replica(key()))),
        part("west", Some(ClaimDesired::App(key()))),
    ];
    let desired = rebinding(pair(), Epoch(2), "data", &both).unwrap();
    assert_eq!(desired.primary.unwrap().site.as_str(), "west");
    assert_eq!(desired.standby.unwrap().site.as_str(), "east");
    let half = [both[0].clone(), part("west", None)];
    assert_eq!(rebinding(pair(), Epoch(2), "data", &half), None);
    let closed = [
        both[0].clone(),
        part("west", Some(ClaimDesired::Parked(key()))),
    ];
    let parked = rebinding(pair(), Epoch(2), "data", &closed).unwrap();
    assert_eq!(parked.primary, None);
    assert_eq!(parked.closed.unwrap().site.as_str(), "west");
}
