//! Moves that end as desired, whatever happens meanwhile.

use kube::ResourceExt as _;

use super::run::{EVENTS, Event, Run, STEPS_MAX};
use super::world::{desired, site, world};
use crate::rebind::model::Model;
use crate::rebind::{DesiredBinding, Next, next, plan};

fn modes() -> impl Iterator<Item = (&'static str, bool, bool)> {
    ["Filesystem", "Block"].into_iter().flat_map(|app| {
        [(false, false), (true, false), (false, true), (true, true)]
            .into_iter()
            .map(move |(slow, twice)| (app, slow, twice))
    })
}

#[test]
fn a_switch_and_a_failback_end_as_wished_whatever_crashes_in_between() {
    for (app, slow, twice) in modes() {
        let mut run = Run::new(world(app), desired("west", "east", 2));
        (run.slow, run.twice) = (slow, twice);
        run.finish(&[]);
        run.check_end(app);
        assert_eq!(run.finish(&[]), 0, "done is done");
        let mut back = Run::new(run.model, desired("east", "west", 3));
        (back.slow, back.twice) = (slow, twice);
        back.finish(&[]);
        back.check_end(app);
        let mut again = Run::new(back.model, desired("west", "east", 4));
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
fn any_interference_at_any_step_ends_as_wished() {
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
fn any_two_interferences_at_any_steps_end_as_wished() {
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
fn a_change_of_mind_half_way_ends_as_wished() {
    for (app, slow, _) in modes().filter(|(_, _, twice)| !twice) {
        let steps = Run::new(world(app), desired("west", "east", 2)).finish(&[]);
        for turn in 0..steps {
            let mut run = Run::new(world(app), desired("west", "east", 2));
            run.slow = slow;
            for _ in 0..turn {
                match next(&run.model.view, &run.desired).unwrap() {
                    Next::Do(step) => run.carry_out(&step),
                    Next::Wait(wait) => run.model.grant(&wait),
                    Next::Done => break,
                }
                if !slow {
                    run.model.settle();
                }
            }
            let mut back = Run::new(run.model, desired("east", "west", 3));
            back.slow = slow;
            back.finish(&[]);
            back.check_end(app);
        }
    }
}

#[test]
fn sites_in_two_clusters_keep_the_claim_while_the_role_is_elsewhere() {
    let mut model = world("Filesystem");
    let east = |primary: bool| DesiredBinding {
        primary: primary.then(|| site("east")),
        standby: (!primary).then(|| site("east")),
        ..desired("east", "west", 2)
    };
    // The other cluster's objects are not here.
    model.view.claims.retain(|name, _| name == "data");
    model.view.volumes.retain(|name, _| name == "pvc-east");
    let before = model.view.claims["data"].clone();
    let drive = |model: &mut Model, desired: &DesiredBinding| {
        for _ in 0..STEPS_MAX {
            match next(&model.view, desired).unwrap() {
                Next::Done => return,
                Next::Wait(wait) => model.grant(&wait),
                Next::Do(step) => model.execute(desired, &step),
            }
            model.settle();
        }
        panic!("it does not come to an end");
    };
    drive(&mut model, &east(false));
    let names: Vec<&String> = model.view.claims.keys().collect();
    assert_eq!(names, ["orders-east-replica"]);
    assert!(model.view.record.is_some());
    drive(&mut model, &east(true));
    let names: Vec<&String> = model.view.claims.keys().collect();
    assert_eq!(names, ["data"]);
    let after = &model.view.claims["data"];
    assert_eq!(after.labels(), before.labels());
    assert_eq!(
        after.spec.as_ref().unwrap().resources,
        before.spec.as_ref().unwrap().resources
    );
    assert!(model.view.record.is_none() && model.destroyed.is_empty());
}

#[test]
fn the_plan_says_every_step_and_changes_nothing() {
    let model = world("Filesystem");
    let planned = plan(&model.view, &desired("west", "east", 2)).unwrap();
    let text: Vec<String> = planned
        .steps
        .iter()
        .map(|step| format!("{} {}", if step.wait { "…" } else { "-" }, step.sentence))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
    assert_eq!(model.view, world("Filesystem").view);
    let run = &mut Run::new(model, desired("west", "east", 2));
    run.finish(&[]);
    assert!(
        plan(&run.model.view, &run.desired)
            .unwrap()
            .steps
            .is_empty()
    );
}

#[test]
fn a_snapshotter_that_is_stopped_does_not_hold_up_a_failover() {
    let mut model = world("Filesystem");
    for claim in model.view.claims.values_mut() {
        let protection = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
        claim.finalizers_mut().push(protection.into());
    }
    Run::new(model, desired("west", "east", 2)).finish(&[]);
}
