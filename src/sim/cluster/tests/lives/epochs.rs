//! Sides that are put back to an older copy, of another epoch.

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{SITES, World};
use api::Reason;
use api::v1alpha1::SwitchStep;
use protocol::units::{Epoch, Role};

fn pair(seed: u64) -> World {
    World::at_rest(seed, |_| {})
}

fn move_to(world: &mut World, at: usize) {
    world.edit(|spec| spec.primary = SITES[at].into());
    world.until_led_by(at);
    world.app_writes();
    world.cycle_now();
}

#[test]
fn a_standby_put_back_to_before_the_role_moved_can_be_promoted_all_the_same() {
    let mut world = pair(1);
    let old = world.copy_of_site(WEST);
    move_to(&mut world, WEST);
    move_to(&mut world, EAST);
    world.put_site_back(WEST, &old);
    world.force(WEST);
    world.until_led_by(WEST);
    assert_eq!(world.status().epoch, Some(4));
}

#[test]
fn an_old_primary_put_back_where_the_role_is_to_go_is_demoted_first() {
    let mut world = pair(2);
    let old = world.copy_of_site(EAST);
    move_to(&mut world, WEST);
    world.put_site_back(EAST, &old);
    world.edit(|spec| spec.primary = SITES[EAST].into());
    world.until("the demotion", |world| {
        let record = world.superblock(EAST);
        record.is_some_and(|record| record.role == Role::Standby && record.epoch == Epoch(2))
    });
    world.steps(100);
    assert!(world.is_diverged(EAST));
    assert_eq!(world.leads(), WEST);
}

#[test]
fn a_request_to_promote_an_old_primary_that_was_put_back_can_be_withdrawn() {
    let mut world = pair(3);
    let old = world.copy_of_site(EAST);
    move_to(&mut world, WEST);
    world.away[EAST] = true;
    world.force(EAST);
    world.until("the promotion", |world| {
        let switch = world.status().clone().switch;
        switch.is_some_and(|switch| switch.step == SwitchStep::Promote)
    });
    world.put_site_back(EAST, &old);
    world.away[EAST] = false;
    world.until("the report", |world| world.says(&Reason::NoCommittedPoint));
    world.withdraw();
    world.until("the cancel", |world| {
        world.status().clone().switch.unwrap().step == SwitchStep::Cancelled
    });
    assert_eq!(world.leads(), WEST);
}

#[test]
fn a_side_that_leads_again_since_the_other_was_put_back_is_not_diverged() {
    let mut world = pair(4);
    let old = world.copy_of_site(WEST);
    world.away[EAST] = true;
    world.force(WEST);
    world.until_led_by(WEST);
    world.steps(300);
    assert!(world.is_diverged(EAST));
    world.away[EAST] = false;
    world.put_site_back(WEST, &old);
    // A cycle needs both, and only both of them together say who leads.
    world.discard(EAST, 2);
    world.ask_for_cycle();
    world.until("the first primary to lead again", |world| {
        world.leads() == EAST && !world.is_moving()
    });
    world.steps(60);
    assert!(!world.is_diverged(EAST));
}
