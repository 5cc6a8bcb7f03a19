//! A move of the role against a model of the API: with a crash after every step, slow controllers,
//! requests that arrive twice or late, and people and tools that interfere.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;
use serde_json::json;

use super::model::Model;
use super::object::{ClaimExt as _, VolumeExt as _};
use super::*;
use crate::api::names;
use crate::units::{Epoch, PairName};

const STEPS_MAX: usize = 80;

fn pair() -> PairName {
    "shop/orders".parse().unwrap()
}

fn key(site: &str) -> VolumeKey {
    VolumeKey {
        driver: format!("{site}.example"),
        handle: format!("vol-{site}"),
    }
}

fn site(name: &str) -> SiteVolume {
    SiteVolume {
        site: name.parse().unwrap(),
        volume: key(name),
    }
}

fn wish(primary: &str, standby: &str, epoch: u64) -> RebindWish {
    RebindWish {
        pair: pair(),
        epoch: Epoch(epoch),
        app_claim: "data".into(),
        primary: Some(site(primary)),
        standby: Some(site(standby)),
    }
}

/// A PersistentVolume as external-provisioner makes it.
fn volume(site: &str, mode: &str, claim: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("pvc-{site}"), "uid": format!("pv-{site}"), "resourceVersion": "1",
            "annotations": {
                "pv.kubernetes.io/provisioned-by": format!("{site}.example"),
                "pv.kubernetes.io/bound-by-controller": "yes",
            },
            "finalizers": [
                "external-provisioner.volume.kubernetes.io/finalizer",
                "kubernetes.io/pv-protection",
            ],
        },
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": format!("class-{site}"),
            "volumeMode": mode,
            "mountOptions": if mode == "Block" { json!([]) } else { json!(["noatime"]) },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "site", "operator": "In", "values": [site]},
            ]}]}},
            "csi": {
                "driver": format!("{site}.example"), "volumeHandle": format!("vol-{site}"),
                "fsType": if mode == "Block" { json!(null) } else { json!("xfs") },
                "volumeAttributes": {"pool": site},
                "controllerExpandSecretRef": {"name": "s", "namespace": "n"},
            },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
                "name": claim, "uid": format!("uid-{claim}"), "resourceVersion": "1",
            },
        },
    }))
    .unwrap()
}

fn claim(name: &str, mode: &str, volume: &str, class: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": {"app": name},
            "annotations": {"team": "orders", "pv.kubernetes.io/bind-completed": "yes"},
            "finalizers": ["kubernetes.io/pvc-protection"],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": class, "volumeMode": mode, "volumeName": volume,
        },
        "status": {"phase": "Bound"},
    }))
    .unwrap()
}

/// East is primary; the application and the movers are running.
fn world(app_mode: &str) -> Model {
    let replica = names::replica_claim("orders", "west");
    let view = RebindView {
        claims: BTreeMap::from([
            (
                "data".into(),
                claim("data", app_mode, "pvc-east", "class-east"),
            ),
            (
                replica.clone(),
                claim(&replica, "Block", "pvc-west", "class-west"),
            ),
        ]),
        volumes: BTreeMap::from([
            ("pvc-east".into(), volume("east", app_mode, "data")),
            ("pvc-west".into(), volume("west", "Block", &replica)),
        ]),
        users: BTreeMap::from([
            ("data".into(), vec!["db-0".into()]),
            (replica, vec!["orders-west-mover".into()]),
        ]),
        record: None,
    };
    let mut model = Model::new(view, &pair());
    model.settle();
    model
}

/// What others may do at any moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// Every request that was ever sent arrives again.
    Replay,
    /// A GitOps tool creates the application's claim from its manifest, if it is gone.
    Apply,
    /// A pod starts that uses the application's claim, if it is there.
    Start,
    /// Somebody deletes the application's claim.
    DeleteClaim,
    /// Somebody deletes one object of a volume that has several.
    DeleteSpare,
}

const EVENTS: [Event; 5] = [
    Event::Replay,
    Event::Apply,
    Event::Start,
    Event::DeleteClaim,
    Event::DeleteSpare,
];

struct Run {
    model: Model,
    wish: RebindWish,
    history: Vec<Step>,
    /// Controllers act only when they are waited for.
    slow: bool,
    /// The operator dies between asking for a step and learning of it, so it asks twice.
    twice: bool,
}

impl Run {
    fn new(model: Model, wish: RebindWish) -> Run {
        Run {
            model,
            wish,
            history: Vec::new(),
            slow: false,
            twice: false,
        }
    }

    /// Runs to the end; `events` happen before the step of their number. Returns the steps taken.
    fn finish(&mut self, events: &[(usize, Event)]) -> usize {
        for number in 0..STEPS_MAX {
            for (_, event) in events.iter().filter(|(at, _)| *at == number) {
                self.happen(*event);
                self.check();
            }
            match next(&self.model.view, &self.wish).unwrap_or_else(|e| self.fail(&e.to_string())) {
                Next::Done => return number,
                Next::Wait(wait) => self.model.grant(&wait),
                Next::Do(step) => {
                    for _ in 0..if self.twice { 2 } else { 1 } {
                        self.carry_out(&step);
                    }
                    self.history.push(step);
                    if !self.slow {
                        self.model.settle();
                    }
                }
            }
            self.check();
        }
        self.fail("it does not come to an end")
    }

    fn carry_out(&mut self, step: &Step) {
        if let Step::DeleteClaim { claim, .. } = step {
            let users = self.model.view.users_of(claim);
            assert!(users.is_empty(), "{claim} is deleted under {users:?}");
        }
        self.model.execute(&self.wish, step);
        self.check();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Replay => {
                for step in self.history.clone() {
                    self.model.execute(&self.wish, &step);
                }
            }
            Event::Apply => {
                let mut manifest = claim("data", "Filesystem", "", "class-east");
                let kept = self.model.view.record.as_ref();
                if let Some(kept) = kept {
                    manifest.spec.clone_from(&kept.claim.spec);
                }
                manifest.status = None;
                manifest.spec.get_or_insert_default().volume_name = None;
                self.model
                    .execute(&self.wish, &Step::CreateClaim(Box::new(manifest)));
                self.model.settle();
            }
            Event::Start => {
                if self.model.view.claims.contains_key("data") {
                    self.model
                        .view
                        .users
                        .insert("data".into(), vec!["late".into()]);
                }
            }
            Event::DeleteClaim => {
                if let Some(claim) = self.model.view.claims.get("data") {
                    let step = Step::DeleteClaim {
                        claim: "data".into(),
                        uid: claim.uid().unwrap(),
                        resource_version: claim.resource_version().unwrap(),
                    };
                    // People delete a claim only when it is recorded nowhere: then it is their loss.
                    if self.model.view.record.is_some() {
                        self.model.execute(&self.wish, &step);
                    }
                }
            }
            Event::DeleteSpare => {
                let spare = self.model.view.volumes.values().find(|volume| {
                    let key = VolumeKey::of(volume).unwrap();
                    self.model
                        .view
                        .volumes_of(&key)
                        .filter(|v| !v.is_going())
                        .count()
                        > 1
                });
                if let Some(volume) = spare {
                    let step = Step::DeleteVolume {
                        volume: volume.name_any(),
                        uid: volume.uid().unwrap(),
                        resource_version: volume.resource_version().unwrap(),
                    };
                    self.model.execute(&self.wish, &step);
                }
            }
        }
        if !self.slow {
            self.model.settle();
        }
    }

    /// What must hold after every change, whoever made it.
    fn check(&self) {
        let view = &self.model.view;
        assert!(self.model.destroyed.is_empty(), "storage was deleted");
        for site in ["east", "west"] {
            let objects = view.volumes_of(&key(site)).count();
            assert!(
                objects > 0,
                "no object of {site}'s volume\n{}",
                self.story()
            );
        }
        let begun = self
            .history
            .iter()
            .any(|step| !matches!(step, Step::Retain { .. }));
        if begun {
            for volume in view.volumes.values() {
                assert!(
                    volume.is_retained(),
                    "{} is not retained",
                    volume.name_any()
                );
            }
        }
        let mut taken = BTreeSet::new();
        for claim in view.claims.values().filter(|claim| claim.is_bound()) {
            let volume = &view.volumes.get(claim.volume_name());
            let volume = volume.unwrap_or_else(|| self.fail("a claim has lost its volume"));
            assert!(
                volume.is_bound_to(claim),
                "{} is bound one way",
                claim.name_any()
            );
            let fresh = taken.insert(VolumeKey::of(volume));
            assert!(
                fresh,
                "two claims are bound to one volume\n{}",
                self.story()
            );
        }
        if !view.claims.contains_key("data") {
            assert!(view.record.is_some(), "the claim is gone and not recorded");
        }
    }

    /// The wished binding, and nothing left over.
    fn check_end(&self, app_mode: &str) {
        let view = &self.model.view;
        let (primary, standby) = (
            self.wish.primary.as_ref().unwrap(),
            self.wish.standby.as_ref().unwrap(),
        );
        let replica = self.wish.replica_claim(&standby.site);
        let names: Vec<&String> = view.claims.keys().collect();
        assert_eq!(names, ["data", &replica], "{}", self.story());
        for (claim, site, mode) in [("data", primary, app_mode), (&replica, standby, "Block")] {
            let claim = &view.claims[claim];
            let volume = &view.volumes[claim.volume_name()];
            assert!(claim.is_bound() && volume.is_bound_to(claim));
            assert_eq!(VolumeKey::of(volume).as_ref(), Some(&site.volume));
            let spec = volume.spec.as_ref().unwrap();
            assert_eq!(spec.volume_mode.as_deref(), Some(mode));
            assert_eq!(
                spec.storage_class_name,
                Some(format!("class-{}", site.site))
            );
            let csi = spec.csi.as_ref().unwrap();
            assert_eq!(
                csi.volume_attributes.as_ref().unwrap()["pool"],
                site.site.as_str()
            );
            assert!(csi.controller_expand_secret_ref.is_some());
            assert!(spec.node_affinity.is_some());
            assert_eq!(
                volume.annotations()[names::RECLAIM_POLICY_ANNOTATION],
                "Delete",
                "the policy to go back to is lost"
            );
            let others = view.volumes_of(&site.volume).filter(|other| {
                !volume.is_going()
                    && !other.is_going()
                    && other.metadata.name != volume.metadata.name
            });
            assert_eq!(
                others.count(),
                0,
                "superseded objects are left\n{}",
                self.story()
            );
        }
        let app = &view.claims["data"];
        assert_eq!(app.labels()["app"], "data");
        assert_eq!(app.annotations()["team"], "orders");
        let spec = app.spec.as_ref().unwrap();
        assert_eq!(spec.storage_class_name.as_deref(), Some("class-east"));
        if app_mode == "Filesystem" {
            let spec = view.volumes[app.volume_name()].spec.as_ref().unwrap();
            assert_eq!(spec.csi.as_ref().unwrap().fs_type.as_deref(), Some("xfs"));
            assert_eq!(
                spec.mount_options.as_deref(),
                Some(&["noatime".to_string()][..])
            );
        }
        assert_eq!(view.record, None);
    }

    fn story(&self) -> String {
        let steps: Vec<String> = self.history.iter().map(ToString::to_string).collect();
        format!("after:\n  {}", steps.join("\n  "))
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}\n{:#?}", self.story(), self.model.view)
    }
}

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
        let mut run = Run::new(world(app), wish("west", "east", 2));
        (run.slow, run.twice) = (slow, twice);
        run.finish(&[]);
        run.check_end(app);
        assert_eq!(run.finish(&[]), 0, "done is done");
        let mut back = Run::new(run.model, wish("east", "west", 3));
        (back.slow, back.twice) = (slow, twice);
        back.finish(&[]);
        back.check_end(app);
        let mut again = Run::new(back.model, wish("west", "east", 4));
        again.finish(&[]);
        again.check_end(app);
    }
}

fn interfered(app: &str, slow: bool, events: &[(usize, Event)]) {
    let mut run = Run::new(world(app), wish("west", "east", 2));
    run.slow = slow;
    run.finish(events);
    run.check_end(app);
}

#[test]
fn any_interference_at_any_step_ends_as_wished() {
    for (app, slow, _) in modes().filter(|(_, _, twice)| !twice) {
        let steps = Run::new(world(app), wish("west", "east", 2)).finish(&[]);
        for at in 0..steps + 2 {
            for event in EVENTS {
                interfered(app, slow, &[(at, event)]);
            }
        }
    }
}

#[test]
fn any_two_interferences_at_any_steps_end_as_wished() {
    let steps = Run::new(world("Filesystem"), wish("west", "east", 2)).finish(&[]);
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
        let steps = Run::new(world(app), wish("west", "east", 2)).finish(&[]);
        for turn in 0..steps {
            let mut run = Run::new(world(app), wish("west", "east", 2));
            run.slow = slow;
            for _ in 0..turn {
                match next(&run.model.view, &run.wish).unwrap() {
                    Next::Do(step) => run.carry_out(&step),
                    Next::Wait(wait) => run.model.grant(&wait),
                    Next::Done => break,
                }
                if !slow {
                    run.model.settle();
                }
            }
            let mut back = Run::new(run.model, wish("east", "west", 3));
            back.slow = slow;
            back.finish(&[]);
            back.check_end(app);
        }
    }
}

#[test]
fn sites_in_two_clusters_keep_the_claim_while_the_role_is_elsewhere() {
    let mut model = world("Filesystem");
    let east = |primary: bool| RebindWish {
        primary: primary.then(|| site("east")),
        standby: (!primary).then(|| site("east")),
        ..wish("east", "west", 2)
    };
    // The other cluster's objects are not here.
    model.view.claims.retain(|name, _| name == "data");
    model.view.volumes.retain(|name, _| name == "pvc-east");
    let before = model.view.claims["data"].clone();
    let drive = |model: &mut Model, wish: &RebindWish| {
        for _ in 0..STEPS_MAX {
            match next(&model.view, wish).unwrap() {
                Next::Done => return,
                Next::Wait(wait) => model.grant(&wait),
                Next::Do(step) => model.execute(wish, &step),
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
fn what_only_people_can_judge_is_left_to_them() {
    let wish = wish("west", "east", 2);
    let refused = |change: &dyn Fn(&mut RebindView)| {
        let mut model = world("Filesystem");
        change(&mut model.view);
        next(&model.view, &wish).unwrap_err().to_string()
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

#[test]
fn the_plan_says_every_step_and_changes_nothing() {
    let model = world("Filesystem");
    let plan = plan(&model.view, &wish("west", "east", 2)).unwrap();
    let text: Vec<String> = plan
        .steps
        .iter()
        .map(|step| format!("{} {}", if step.wait { "…" } else { "-" }, step.sentence))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
    assert_eq!(model.view, world("Filesystem").view);
    let run = &mut Run::new(model, wish("west", "east", 2));
    run.finish(&[]);
    assert!(
        super::plan(&run.model.view, &run.wish)
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
    Run::new(model, wish("west", "east", 2)).finish(&[]);
}
