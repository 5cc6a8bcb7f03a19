//! What no step follows from: people have to look at it.

use super::world::{desired, volume, world};
use planner::rebind::Objects;

#[test]
fn what_only_people_can_judge_is_left_to_them() {
    let desired = desired("west", "east", 2);
    let refused = |change: &dyn Fn(&mut Objects)| {
        let mut server = world("Filesystem");
        change(&mut server.objects);
        server.rebind_once(&desired).unwrap_err().to_string()
    };
    let gone = refused(&|objects| {
        objects.volumes.remove("pvc-west");
    });
    assert!(gone.contains("vol-west"), "{gone}");
    let foreign = refused(&|objects| {
        let claim = objects.claims.get_mut("data").unwrap();
        claim.spec.as_mut().unwrap().volume_name = Some("pvc-other".into());
        objects
            .volumes
            .insert("pvc-other".into(), volume("other", "Filesystem", "data"));
    });
    assert!(foreign.contains("pvc-other"), "{foreign}");
    // K-3: a replica claim that another pair, or a person, has made, and that got the pair's volume.
    let stranger = refused(&|objects| {
        let claim = objects.claims.get_mut("orders-west-replica").unwrap();
        claim.metadata.labels = None;
    });
    assert!(
        stranger.contains("shop/orders-west-replica, which is not the pair's"),
        "{stranger}"
    );
    let taken = refused(&|objects| {
        let reference = objects
            .volumes
            .get_mut("pvc-west")
            .unwrap()
            .spec
            .as_mut()
            .unwrap();
        let reference = reference.claim_ref.as_mut().unwrap();
        reference.namespace = Some("elsewhere".into());
    });
    assert!(taken.contains("elsewhere/orders-west-replica"), "{taken}");
}
