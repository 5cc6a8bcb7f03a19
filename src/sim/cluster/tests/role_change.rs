//! A planned change of the role on the simulated cluster: with somebody who starts the application at every
//! step, and cancelled at every step. That nothing which was acknowledged is lost, and that nobody starts
//! on the wrong volume, the world checks after every step by itself.

use api::Reason;
use api::conditions;
use api::v1alpha1::{SwitchStatus, SwitchStep};
use jiff::SignedDuration;

use crate::cluster::ClusterOptions;
use crate::cluster::run::live_until;
use crate::cluster::world::{SITES, World};
use crate::story::Story;

/// More steps than any part of a life takes.
const STEPS_MAX: u32 = 6_000;

/// The steps of a planned change, in order, up to where the new primary's claim is bound.
pub(super) const STEPS: [SwitchStep; 7] = [
    SwitchStep::StopApplication,
    SwitchStep::LastCut,
    SwitchStep::Park,
    SwitchStep::Ship,
    SwitchStep::Promote,
    SwitchStep::Demote,
    SwitchStep::Rebind,
];

/// A pair that has its first copy and is at rest.
fn pair(seed: u64) -> World {
    let story = Story::new(false);
    let mut world = World::new(seed, &ClusterOptions::default(), story).unwrap();
    until(&mut world, "the first copy", |world| {
        world.status().committed_point.is_some() && world.app_runs()
    });
    world
}

/// Goes on until `done`; the application writes meanwhile, where it runs.
fn until(world: &mut World, what: &str, done: impl Fn(&World) -> bool) {
    for _ in 0..STEPS_MAX {
        if done(world) {
            return;
        }
        world.app_writes();
        world.step(false).unwrap();
    }
    let status = world.status().clone();
    panic!(
        "{what} does not come: {:?} {:?}",
        status.switch, status.waiting
    );
}

fn switch(world: &World) -> SwitchStatus {
    world.status().clone().switch.unwrap()
}

fn ask_for(world: &mut World, site: &str) {
    world.edit(|spec| spec.primary = site.into());
}

fn at(world: &World, step: &SwitchStep) -> bool {
    let switch = world.status().clone().switch;
    switch.is_some_and(|switch| switch.step == *step && switch.finished_at.is_none())
}

/// A planned change that has come to `step`.
fn changing(seed: u64, step: &SwitchStep) -> World {
    let mut world = pair(seed);
    ask_for(&mut world, SITES[1]);
    until(&mut world, &format!("step {step}"), |world| at(world, step));
    world
}

fn ended(world: &World) -> bool {
    let switch = world.status().clone().switch;
    switch.is_some_and(|switch| switch.finished_at.is_some()) && world.app_runs()
}

/// Why a change was cancelled, once everything works again and it has ended.
fn cancelled_because(world: &mut World) -> String {
    world.heal();
    until(world, "the end", ended);
    let switch = switch(world);
    assert_eq!(switch.step, SwitchStep::Cancelled);
    switch.cancelled.unwrap()
}

/// Both sides hold the same in the end, and nothing is left over.
fn comes_to_rest(world: &mut World) {
    world.edit(|spec| spec.snapshot.interval = "5m".into());
    for _ in 0..2 {
        let from = world.oracle.commits;
        live_until(world, |world| world.oracle.commits > from).unwrap();
    }
    world.check_end().unwrap();
}

/// K-4: after the final cut of a planned change no pod can start on the old volume; a user seen
/// nevertheless: new final cut, or the old side is diverged; never silently clean.
#[test]
fn k_4_whoever_starts_the_application_at_any_step_loses_nothing() {
    for (seed, step) in (0..).zip(&STEPS) {
        let mut world = changing(seed, step);
        world.server.scale_up("argocd-controller");
        until(&mut world, "the end", ended);
        let switch = switch(&world);
        assert_eq!(switch.step, SwitchStep::Done, "{step}: {switch:?}");
        let diverged = world.status().sites.iter().any(|site| site.diverged);
        assert!(!diverged, "{step}");
        comes_to_rest(&mut world);
    }
}

/// K-5: the final cut is taken when the volume is detached: no user pod, no VolumeAttachment, not in
/// volumesInUse; the wait is bounded and named. K-6: cancelled by itself after `roleChangeTimeout`, the
/// application running again.
#[test]
fn k_5_the_last_cut_waits_until_the_volume_is_detached_and_not_for_ever() {
    let mut world = pair(3);
    world.server.health.detach_stopped = true;
    let cut = world.status().clone().last_cut;
    ask_for(&mut world, SITES[1]);
    until(&mut world, "the wait", |world| {
        let waiting = world.status().clone().waiting;
        waiting.is_some_and(|wait| wait.what.contains("attached to or in use at node node-"))
    });
    assert_eq!(world.status().clone().last_cut, cut);
    assert!(at(&world, &SwitchStep::StopApplication));
    world.pass(SignedDuration::from_secs(121));
    until(&mut world, "the cancel", |world| {
        switch(world).cancelled.is_some()
    });
    let why = cancelled_because(&mut world);
    assert!(
        why.contains("stood still for 120 s") && why.contains("node-"),
        "{why}"
    );
    // It is not begun again by itself, and that is reported.
    for _ in 0..400 {
        world.step(false).unwrap();
    }
    let status = world.status().clone();
    assert_eq!(status.primary.as_deref(), Some(SITES[0]));
    let condition = conditions::get(&status.conditions, conditions::SWITCHING).unwrap();
    assert_eq!(condition.reason, Reason::RoleChangeCancelled.as_str());
}

/// K-6: a planned change loses nothing or does not happen: cancellable at every step, the application
/// running again.
#[test]
fn k_6_a_change_that_is_withdrawn_at_any_step_does_not_happen() {
    for (seed, step) in (10..).zip(&STEPS[..5]) {
        let mut world = changing(seed, step);
        ask_for(&mut world, SITES[0]);
        until(&mut world, "the end", ended);
        let status = world.status().clone();
        assert_eq!(switch(&world).step, SwitchStep::Cancelled, "{step}");
        assert_eq!(status.primary.as_deref(), Some(SITES[0]), "{step}");
        // Once the new primary was asked, the old one is promoted in the epoch after.
        let epoch = if *step == SwitchStep::Promote { 3 } else { 1 };
        assert_eq!(status.epoch, Some(epoch), "{step}");
        assert!(!status.sites.iter().any(|site| site.diverged), "{step}");
        comes_to_rest(&mut world);
    }
}

/// K-6: whatever is lost in the middle: cancelled by itself after `roleChangeTimeout`, the application
/// running again.
#[test]
fn k_6_a_change_that_stands_still_is_cancelled_by_itself() {
    for (seed, step) in (20..).zip(&STEPS[..4]) {
        let mut world = changing(seed, step);
        // No pod starts any more, and no mover answers.
        world
            .server
            .admission
            .refused
            .push(crate::cluster::admission::Kind::Pod);
        let now = world.millis();
        world.net.cut(now);
        world.net.down_until = now + 3_600_000;
        for _ in 0..400 {
            world.step(false).unwrap();
        }
        world.pass(SignedDuration::from_secs(121));
        until(&mut world, "the cancel", |world| {
            switch(world).cancelled.is_some()
        });
        world.heal();
        until(&mut world, "the end", ended);
        assert_eq!(switch(&world).step, SwitchStep::Cancelled, "{step}");
        assert_eq!(world.status().primary.as_deref(), Some(SITES[0]), "{step}");
        comes_to_rest(&mut world);
    }
}

/// K-6: the old primary's mover is lost after the promotion: the last cut is at both sides, so nothing
/// has to wait for it, and it follows when it comes back, without consent.
#[test]
fn k_6_an_old_primary_that_is_lost_after_the_promotion_holds_up_nothing() {
    let mut world = changing(30, &SwitchStep::Demote);
    world
        .server
        .admission
        .refused
        .push(crate::cluster::admission::Kind::Pod);
    let mover = api::names::mover(crate::cluster::world::PAIR, SITES[0]);
    world.server.delete_pod(&mover, None);
    until(&mut world, "the next step", |world| {
        !at(world, &SwitchStep::Demote)
    });
    world.heal();
    until(&mut world, "the end", ended);
    assert_eq!(switch(&world).step, SwitchStep::Done);
    comes_to_rest(&mut world);
    assert!(!world.status().sites.iter().any(|site| site.diverged));
}

/// K-27: whoever keeps scaling the application up during a planned change is named (field manager, kind)
/// after the third time, and the change is cancelled instead of killing the application over and over.
#[test]
fn k_27_whoever_keeps_scaling_up_is_named_and_the_change_is_cancelled() {
    let mut world = pair(40);
    // Before the volume is closed, so that each time counts.
    world.server.health.detach_stopped = true;
    ask_for(&mut world, SITES[1]);
    for _ in 0..3 {
        until(&mut world, "the stop", |world| {
            let seen = world
                .status()
                .switch
                .as_ref()
                .is_some_and(|s| s.stopped == Some(true));
            seen && world
                .server
                .workload
                .as_ref()
                .is_some_and(|w| w.replicas == 0)
        });
        world.server.scale_up("argocd-controller");
        until(&mut world, "that is seen", |world| {
            world
                .status()
                .switch
                .as_ref()
                .is_some_and(|s| s.stopped != Some(true) || s.finished_at.is_some())
        });
    }
    let why = cancelled_because(&mut world);
    assert!(
        why.contains("argocd-controller") && why.contains("3 times"),
        "{why}"
    );
}

/// K-21: a StatefulSet whose claims are deleted when scaled is refused before anything is scaled.
#[test]
fn k_21_claims_that_go_when_scaled_bar_a_planned_change() {
    let mut world = pair(50);
    world
        .server
        .workload
        .as_mut()
        .unwrap()
        .claims_go_when_scaled = true;
    ask_for(&mut world, SITES[1]);
    until(&mut world, "the refusal", |world| {
        let status = world.status().clone();
        let condition = conditions::get(&status.conditions, conditions::SWITCHING);
        condition.is_some_and(|c| c.reason == Reason::ClaimsGoWhenScaled.as_str())
    });
    assert_eq!(world.server.workload.as_ref().unwrap().replicas, 1);
    assert!(world.status().switch.is_none());
}

/// K-2: both PersistentVolumes are Retain from the first reconcile that sees them.
#[test]
fn k_2_both_volumes_are_retained_long_before_any_change() {
    use planner::rebind::object::VolumeExt as _;
    let world = pair(60);
    for volume in world.volumes.iter().flatten() {
        let mut objects = world.server.objects.volumes.values();
        let object = objects
            .find(|object| crate::cluster::server::handle_of(object).as_ref() == Some(volume));
        assert!(object.unwrap().is_retained(), "{volume}");
    }
}

/// K-13: whatever the step at which the status is wiped, the change goes on where it was: nobody has lost
/// anything, and the application has as many replicas as before.
#[test]
fn k_13_a_change_goes_on_after_its_status_was_wiped_at_any_step() {
    for (seed, step) in (20..).zip(&STEPS) {
        let mut world = pair(seed);
        world.server.set_scale(3);
        ask_for(&mut world, SITES[1]);
        until(&mut world, &format!("step {step}"), |world| at(world, step));
        world.wipe();
        until(&mut world, "the end", ended);
        let switch = switch(&world);
        assert_eq!(switch.step, SwitchStep::Done, "{step}: {switch:?}");
        assert_eq!(world.status().primary.as_deref(), Some(SITES[1]), "{step}");
        let replicas = world.server.workload.as_ref().map(|found| found.replicas);
        assert_eq!(replicas, Some(3), "{step}");
        let diverged = world.status().sites.iter().any(|site| site.diverged);
        assert!(!diverged, "{step}");
        comes_to_rest(&mut world);
    }
}
