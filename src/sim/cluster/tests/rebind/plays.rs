//! Moves that end as desired, whatever happens meanwhile.

use kube::ResourceExt as _;

use super::run::{EVENTS, Event, Run, STEPS_MAX, grant};
use super::world::{desired, parked, site, world};
use crate::cluster::server::Server;
use planner::rebind::object::ClaimExt as _;
use planner::rebind::{DesiredBinding, Next, next, plan};

fn modes() -> impl Iterator<Item = (&'static str, bool, bool)> {
    ["Filesystem", "Block"].into_iter().flat_map(|app| {
        [(false, false), (true, false), (false, true), (true, true)]
            .into_iter()
            .map(move |(slow, twice)| (app, slow, twice))
    })
}

#[test]
fn a_switch_and_a_failback_end_as_requested_whatever_crashes_in_between() {
    for (app, slow, twice) in modes() {
        let mut run = Run::new(world(app), desired("west", "east", 2));
        (run.slow, run.twice) = (slow, twice);
        run.finish(&[]);
        run.check_end(app);
        assert_eq!(run.finish(&[]), 0, "done is done");
        let mut back = Run::new(run.server, desired("east", "west", 3));
        (back.slow, back.twice) = (slow, twice);
        back.finish(&[]);
        back.check_end(app);
        let mut again = Run::new(back.server, desired("west", "east", 4));
        again.finish(&[]);
        again.check_end(app);
    }
}

fn interfered(app: &str, slow: bool, events: &[(usize, Event)]) {
    let mut run = Run::new(world(app), desired("west", "east", 2));
    run.slow = slow;
    run.finish(events);
    run.check_end(app);
}

#[test]
fn any_interference_at_any_step_ends_as_requested() {
    for (app, slow, _) in modes().filter(|(_, _, twice)| !twice) {
        let steps = Run::new(world(app), desired("west", "east", 2)).finish(&[]);
        for at in 0..steps + 2 {
            for event in EVENTS {
                interfered(app, slow, &[(at, event)]);
            }
        }
    }
}

#[test]
fn any_two_interferences_at_any_steps_end_as_requested() {
    let steps = Run::new(world("Filesystem"), desired("west", "east", 2)).finish(&[]);
    for first in 0..steps {
        for second in first..steps {
            for one in EVENTS {
                for two in EVENTS.into_iter().filter(|two| *two != one) {
                    interfered("Filesystem", true, &[(first, one), (second, two)]);
                }
            }
        }
    }
}

#[test]
fn a_change_of_mind_half_way_ends_as_requested() {
    for (app, slow, _) in modes().filter(|(_, _, twice)| !twice) {
        let steps = Run::new(world(app), desired("west", "east", 2)).finish(&[]);
        for turn in 0..steps {
            let mut run = Run::new(world(app), desired("west", "east", 2));
            run.slow = slow;
            for _ in 0..turn {
                match next(&run.view(), &run.desired).unwrap() {
                    Next::Do(step) => run.request(&step),
                    Next::Wait(wait) => grant(&mut run.server, &wait),
                    Next::Done => break,
                }
                if !slow {
                    run.server.settle_volumes();
                }
            }
            let mut back = Run::new(run.server, desired("east", "west", 3));
            back.slow = slow;
            back.finish(&[]);
            back.check_end(app);
        }
    }
}

#[test]
fn sites_in_two_clusters_keep_the_claim_while_the_role_is_elsewhere() {
    let mut server = world("Filesystem");
    let east = |primary: bool| DesiredBinding {
        primary: primary.then(|| site("east")),
        standby: (!primary).then(|| site("east")),
        ..desired("east", "west", 2)
    };
    // The other cluster's objects are not here.
    server.objects.claims.retain(|name, _| name == "data");
    server.objects.volumes.retain(|name, _| name == "pvc-east");
    let before = server.objects.claims["data"].clone();
    let drive = |server: &mut Server, desired: &DesiredBinding| {
        for _ in 0..STEPS_MAX {
            match server.rebind_once(desired).unwrap() {
                Next::Done => return,
                Next::Wait(wait) => grant(server, &wait),
                Next::Do(_) => {}
            }
            server.settle_volumes();
        }
        panic!("it does not come to an end");
    };
    drive(&mut server, &east(false));
    let names: Vec<&String> = server.objects.claims.keys().collect();
    assert_eq!(names, ["data", "orders-east-replica"]);
    assert!(
        !server.objects.claims["data"].is_bound(),
        "it is not parked"
    );
    assert!(server.objects.record.is_some());
    drive(&mut server, &east(true));
    let names: Vec<&String> = server.objects.claims.keys().collect();
    assert_eq!(names, ["data"]);
    let after = &server.objects.claims["data"];
    assert_eq!(after.labels(), before.labels());
    assert_eq!(
        after.spec.as_ref().unwrap().resources,
        before.spec.as_ref().unwrap().resources
    );
    assert!(server.objects.record.is_none() && server.storage.destroyed.is_empty());
}

#[test]
fn the_plan_says_every_step() {
    let run = &mut Run::new(world("Filesystem"), desired("west", "east", 2));
    let planned = plan(&run.view(), &run.desired).unwrap();
    let text: Vec<String> = planned
        .steps
        .iter()
        .map(|step| format!("{} {}", if step.wait { "…" } else { "-" }, step.sentence))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
    run.finish(&[]);
    assert!(plan(&run.view(), &run.desired).unwrap().steps.is_empty());
}

#[test]
fn a_snapshotter_that_is_stopped_does_not_hold_up_a_failover() {
    let mut server = world("Filesystem");
    for claim in server.objects.claims.values_mut() {
        let protection = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
        claim.finalizers_mut().push(protection.into());
    }
    Run::new(server, desired("west", "east", 2)).finish(&[]);
}

/// K-4: a parked claim is bound to nothing, whatever interferes, and then to the volume that is desired,
/// whichever that is.
#[test]
fn k_4_a_claim_is_parked_and_bound_again_whatever_interferes() {
    for (app, slow, _) in modes().filter(|(_, _, twice)| !twice) {
        for (to, from) in [("west", "east"), ("east", "west")] {
            let closed = || parked("east", "west", 1);
            let steps = Run::new(world(app), closed()).finish(&[]);
            for at in 0..steps + 2 {
                for event in EVENTS {
                    let mut run = Run::new(world(app), closed());
                    run.slow = slow;
                    run.finish(&[(at, event)]);
                    run.finish(&[]);
                    assert!(!run.server.objects.claims["data"].is_bound());
                    let mut bind = Run::new(run.server, desired(to, from, 2));
                    bind.slow = slow;
                    bind.finish(&[(at, event)]);
                    bind.check_end(app);
                }
            }
        }
    }
}
