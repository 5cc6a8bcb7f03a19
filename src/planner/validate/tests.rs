//! Every kind of bad input has its reason, and a sentence that says what to do.

use crate::observe::samples::at_rest as good;
use crate::observe::{Observed, PodUse};
use crate::validate::validate;
use api::Reason;
use api::v1alpha1::Mode;

fn reason_of(break_it: impl FnOnce(&mut Observed)) -> Reason {
    let mut observed = good();
    break_it(&mut observed);
    let validated = validate(&observed);
    let problem = validated.problem().expect("bad input was taken");
    assert!(
        problem.message.len() > 40,
        "says too little: {}",
        problem.message
    );
    problem.reason.clone()
}

#[test]
fn a_good_pair_has_no_problem() {
    assert_eq!(validate(&good()).problem(), None);
}

#[test]
fn what_the_pair_names_must_exist() {
    assert_eq!(
        reason_of(|o| o.sites[0].app_claim = None),
        Reason::ClaimNotFound
    );
    assert_eq!(
        reason_of(|o| o.sites[0].app_claim.as_mut().unwrap().volume = None),
        Reason::ClaimNotBound
    );
    assert_eq!(
        reason_of(|o| o.sites[1].storage_class = None),
        Reason::StorageClassNotFound
    );
    assert_eq!(
        reason_of(|o| o.sites[0].snapshot_classes.named_for_both = Some(("gone".into(), None))),
        Reason::SnapshotClassNotFound
    );
    assert_eq!(
        reason_of(|o| {
            o.sites[0].snapshot_classes.all.clear();
        }),
        Reason::SnapshotClassNotFound
    );
}

/// D-16: a file share is refused by its driver, before anything of it is read.
#[test]
fn a_file_share_is_refused_by_its_driver() {
    let share = |o: &mut Observed| {
        let claim = o.sites[0].app_claim.as_mut().unwrap();
        claim.volume.as_mut().unwrap().driver = Some("rook.cephfs.csi.ceph.com".into());
    };
    assert_eq!(reason_of(share), Reason::NotABlockImage);
}

#[test]
fn drivers_and_classes_must_fit() {
    let other = |o: &mut Observed| {
        o.sites[0].snapshot_classes.all = vec![("theirs".into(), "another".into(), false)];
    };
    assert_eq!(reason_of(other), Reason::DriverWithoutSnapshots);
    assert_eq!(
        reason_of(|o| o.sites[0].snapshots_served = false),
        Reason::DriverWithoutSnapshots
    );
    assert_eq!(
        reason_of(|o| {
            let volume = o.sites[0]
                .app_claim
                .as_mut()
                .unwrap()
                .volume
                .as_mut()
                .unwrap();
            volume.driver = None;
        }),
        Reason::DriverWithoutSnapshots
    );
    let named = Some(("theirs".to_string(), Some("another".to_string())));
    assert_eq!(
        reason_of(|o| o.sites[0]
            .snapshot_classes
            .named_for_both
            .clone_from(&named)),
        Reason::SnapshotClassMismatch
    );
    assert_eq!(
        reason_of(|o| o.sites[1].snapshot_classes.named_here.clone_from(&named)),
        Reason::SnapshotClassMismatch
    );
    // A class named for both sites that fits only the primary's driver is no problem: the standby
    // does without, or uses its driver's own.
    let mut observed = good();
    observed.sites[1].snapshot_classes.named_for_both = named;
    assert_eq!(validate(&observed).problem(), None);
}

#[test]
fn the_spec_must_make_sense() {
    let edit = |change: fn(&mut api::ReplicationPairSpec)| reason_of(|o| change(&mut o.pair.spec));
    assert_eq!(edit(|s| s.mode = Mode::Journal), Reason::ModeNotSupported);
    assert_eq!(
        edit(|s| s.snapshot.interval = "9s".into()),
        Reason::IntervalTooShort
    );
    assert_eq!(
        edit(|s| s.snapshot.interval = "5x".into()),
        Reason::IntervalTooShort
    );
    assert_eq!(
        edit(|s| s.transfer.bandwidth = Some("fast".into())),
        Reason::QuantityInvalid
    );
    for (interval, rate) in [
        (None, "fast"),
        (None, "1000Ki"),
        (Some("59s"), "64Mi"),
        (Some("7x"), "64Mi"),
    ] {
        assert_eq!(
            reason_of(|o| {
                o.pair.spec.verify.interval = interval.map(Into::into);
                o.pair.spec.verify.rate = rate.into();
            }),
            Reason::QuantityInvalid,
            "{interval:?} at {rate}"
        );
    }
    assert_eq!(
        edit(|s| s.sites[1].name = "east".into()),
        Reason::SitesInvalid
    );
    assert_eq!(edit(|s| drop(s.sites.pop())), Reason::SitesInvalid);
    assert_eq!(edit(|s| s.primary = "north".into()), Reason::SitesInvalid);
    assert_eq!(
        reason_of(|o| o.sites[1].known = false),
        Reason::SitesInvalid
    );
    assert_eq!(
        reason_of(|o| o.pair.metadata.name = Some("x".repeat(40))),
        Reason::NameTooLong
    );
    assert_eq!(
        reason_of(|o| o.rival = Some("older".into())),
        Reason::ClaimInTwoPairs
    );
}

#[test]
fn the_standbys_volume_must_be_ours_and_large_enough() {
    let user = PodUse {
        name: "shell".into(),
        container: "sh".into(),
        running: true,
        scheduled: true,
        labels: Default::default(),
        overdue: None,
        node: None,
    };
    assert_eq!(
        reason_of(|o| o.sites[1].replica_users = vec![user]),
        Reason::ReplicaInUse
    );
    let grown = |o: &mut Observed| o.sites[0].app_claim.as_mut().unwrap().capacity_bytes *= 2;
    assert_eq!(
        reason_of(|o| {
            grown(o);
            o.sites[1].storage_class.as_mut().unwrap().expandable = false;
        }),
        Reason::ReplicaTooSmall
    );
    // Where the standby can grow, a grown source is no problem.
    let mut observed = good();
    grown(&mut observed);
    assert_eq!(validate(&observed).problem(), None);
}
