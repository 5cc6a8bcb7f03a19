//! What no step follows from: people have to look at it.

use kube::ResourceExt as _;

use super::world::{desired, pair, volume, world};
use planner::rebind::{Objects, labels};

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
    let missing = refused(&|objects| {
        for volume in objects.volumes.values_mut() {
            volume
                .spec
                .as_mut()
                .unwrap()
                .persistent_volume_reclaim_policy = Some("Retain".into());
            let site = volume.name_any().replace("pvc-", "").parse().unwrap();
            volume.labels_mut().extend(labels(&pair(), &site));
        }
        objects.claims.remove("data");
    });
    assert!(missing.contains("nothing was kept of it"), "{missing}");
}
