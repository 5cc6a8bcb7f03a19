//! What is the pair's and what is not: by the UID of its object, never by a name; and what a pair that is
//! applied again finds.

use kube::ResourceExt as _;

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{PAIR, SITES, World};
use api::v1alpha1::PromotionKind;
use api::{Reason, conditions, names};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use planner::validate::validate;
use serde_json::json;

/// A claim of the standby's name that somebody else has made, with a volume.
fn somebody_elses(world: &mut World) -> PersistentVolumeClaim {
    let bytes = world.manifest.spec.as_ref().unwrap().resources.clone();
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"name": names::replica_claim(PAIR, SITES[WEST]), "namespace": "shop"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast-west", "volumeMode": "Block",
            "resources": bytes,
        },
    }))
    .unwrap();
    world.server.put_claim(&claim).unwrap();
    claim
}

fn message(world: &World) -> String {
    let status = world.status();
    let degraded = conditions::get(&status.conditions, conditions::DEGRADED);
    degraded.map_or(String::new(), |degraded| degraded.message.clone())
}

/// K-3: a claim of the right name is not the pair's: it is neither taken nor written nor deleted, and the
/// status names it.
#[test]
fn k_3_a_claim_of_the_right_name_is_not_taken() {
    let mut world = World::applied(21, |_| {});
    let claim = somebody_elses(&mut world);
    world.until("it to be named", |world| {
        message(world).contains(&format!(
            "{} exists but is not this pair's",
            claim.name_any()
        ))
    });
    world.steps(600);
    let found = &world.server.objects.claims[&claim.name_any()];
    assert!(found.labels().is_empty(), "{:?}", found.labels());
    assert!(world.movers[WEST].is_none(), "its volume is written to");
    assert_eq!(world.committed(), None);
}

/// K-3: a replica that an earlier pair has kept is taken over where the spec names it.
#[test]
fn k_3_a_kept_replica_is_taken_over_when_the_spec_names_it() {
    let mut world = World::applied(22, |_| {});
    let claim = somebody_elses(&mut world);
    world.edit(|spec| spec.sites[WEST].replica_claim_name = Some(claim.name_any()));
    world.until("the first copy", |world| world.committed().is_some());
    world.rests();
    let found = &world.server.objects.claims[&claim.name_any()];
    assert!(found.labels().contains_key(names::PAIR_UID_LABEL));
}

/// The pair's object is deleted, with all that goes with it, and the same manifest is applied again.
fn applied_again(world: &mut World) {
    let server = &mut world.server;
    server
        .pods
        .retain(|_, pod| !pod.labels().contains_key(names::PAIR_LABEL));
    server.snapshots.clear();
    server.contents.clear();
    for site in SITES {
        let claim = names::state_claim(PAIR, site);
        server.objects.delete_claim(&claim);
    }
    server.settle_volumes();
    let pair = server.pair.as_mut().unwrap();
    pair.metadata.uid = Some("pair-2".into());
    pair.status = None;
    pair.spec.primary = SITES[EAST].into();
    world.server.asked.promotions.clear();
    world.restart();
    world.server.changed();
}

/// K-15: a pair that is applied again after a failover does not call one site's volume the other's.
#[test]
fn k_15_a_pair_applied_again_never_swaps_its_sites() {
    let mut world = World::at_rest(23, |_| {});
    world.promote(WEST, PromotionKind::Planned);
    world.until_led_by(WEST);
    world.rests();
    let primary = |site: &str| {
        let site = site.to_string();
        move |spec: &mut api::v1alpha1::ReplicationPairSpec| spec.primary = site
    };
    applied_again(&mut world);
    let observed = world.observed();
    let problem = validate(&observed).problem().cloned().unwrap();
    assert_eq!(problem.reason, Reason::SitesSwapped, "{}", problem.message);
    assert!(
        problem.message.contains("spec.primary to west"),
        "{}",
        problem.message
    );
    let decision = world.think();
    assert_eq!(decision.status.pair_id, None, "it has begun");
    assert!(decision.actions.is_empty(), "{:?}", decision.actions);
    // As the message says.
    world.edit(primary("west"));
    let observed = world.observed();
    assert_eq!(validate(&observed).problem(), None);
}

/// K-17: whatever the snapshot class says, no content and no snapshot of the storage is left behind.
#[test]
fn k_17_a_class_that_retains_leaves_nothing_behind() {
    let mut world = World::applied(24, |_| {});
    for class in &mut world.server.snapshot_classes {
        class.deletion_policy = "Retain".into();
    }
    world.until("the first copy", |world| world.committed().is_some());
    for _ in 0..4 {
        world.commit_something();
    }
    world.rests();
    assert_eq!(
        world.server.contents.len(),
        2,
        "{:?}",
        world.server.contents.keys()
    );
    assert_eq!(world.server.storage.snapshots.len(), 2);
}

/// K-12: a storage clock that is a day off is said, and neither stops nor doubles the cycles.
#[test]
fn k_12_a_storage_clock_that_is_off_is_said() {
    for hours in [-24, 0, 24] {
        let mut world = World::applied(25, |_| {});
        let off = jiff::SignedDuration::from_hours(hours);
        world.server.clocks_off = [("east.csi".to_string(), off)].into();
        world.until("the first copy", |world| world.committed().is_some());
        world.rests();
        let (holds, _) = world.condition(conditions::STORAGE_CLOCK_OFF);
        assert_eq!(holds == "True", hours != 0, "{hours} h");
    }
}
