//! What no step follows from: people have to look at it.

use kube::ResourceExt as _;

use super::world::{desired, pair, volume, world};
use crate::rebind::{RebindView, new_volume, next};

#[test]
fn what_only_people_can_judge_is_left_to_them() {
    let desired = desired("west", "east", 2);
    let refused = |change: &dyn Fn(&mut RebindView)| {
        let mut model = world("Filesystem");
        change(&mut model.view);
        next(&model.view, &desired).unwrap_err().to_string()
    };
    let gone = refused(&|view| {
        view.volumes.remove("pvc-west");
    });
    assert!(gone.contains("vol-west"), "{gone}");
    let foreign = refused(&|view| {
        let claim = view.claims.get_mut("data").unwrap();
        claim.spec.as_mut().unwrap().volume_name = Some("pvc-other".into());
        view.volumes
            .insert("pvc-other".into(), volume("other", "Filesystem", "data"));
    });
    assert!(foreign.contains("pvc-other"), "{foreign}");
    let taken = refused(&|view| {
        let reference = view
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
    let missing = refused(&|view| {
        for volume in view.volumes.values_mut() {
            volume
                .spec
                .as_mut()
                .unwrap()
                .persistent_volume_reclaim_policy = Some("Retain".into());
            let site = volume.name_any().replace("pvc-", "").parse().unwrap();
            volume
                .labels_mut()
                .extend(new_volume::labels(&pair(), &site));
        }
        view.claims.remove("data");
    });
    assert!(missing.contains("nothing was kept of it"), "{missing}");
}
