//! Carrying a request out step by step, with what others do in between, and what must hold all along.

use std::collections::BTreeSet;

use kube::ResourceExt as _;

use super::world::{claim, key, run_pod};
use crate::cluster::server::Server;
use api::names;
use planner::rebind::object::{BIND_COMPLETED, ClaimExt as _, VolumeExt as _};
use planner::rebind::{DesiredBinding, Next, RebindView, Step, Wait, next};

pub(super) const STEPS_MAX: usize = 80;

/// What others may do at any moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
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

pub(super) const EVENTS: [Event; 5] = [
    Event::Replay,
    Event::Apply,
    Event::Start,
    Event::DeleteClaim,
    Event::DeleteSpare,
];

pub(super) struct Run {
    pub(super) server: Server,
    pub(super) desired: DesiredBinding,
    pub(super) history: Vec<Step>,
    /// Controllers act only when they are waited for.
    pub(super) slow: bool,
    /// The operator dies between asking for a step and learning of it, so it asks twice.
    pub(super) twice: bool,
    /// What others did, before the step of which number.
    events: Vec<(usize, Event)>,
}

impl Run {
    pub(super) fn new(server: Server, desired: DesiredBinding) -> Run {
        Run {
            server,
            desired,
            history: Vec::new(),
            slow: false,
            twice: false,
            events: Vec::new(),
        }
    }

    /// Runs to the end; `events` happen before the step of their number. Returns the steps taken.
    pub(super) fn finish(&mut self, events: &[(usize, Event)]) -> usize {
        self.events = events.to_vec();
        for number in 0..STEPS_MAX {
            for (_, event) in events.iter().filter(|(at, _)| *at == number) {
                self.happen(*event);
                self.check();
            }
            match next(&self.view(), &self.desired).unwrap_or_else(|e| self.fail(&e.to_string())) {
                Next::Done => return number,
                Next::Wait(wait) => grant(&mut self.server, &wait),
                Next::Do(step) => {
                    for _ in 0..if self.twice { 2 } else { 1 } {
                        self.request(&step);
                    }
                    self.history.push(step);
                    if !self.slow {
                        self.server.settle_volumes();
                    }
                }
            }
            self.check();
        }
        self.fail("it does not come to an end")
    }

    pub(super) fn request(&mut self, step: &Step) {
        if let Step::DeleteClaim { claim, .. } = step {
            let users = self.server.users_of(claim);
            assert!(users.is_empty(), "{claim} is deleted under {users:?}");
        }
        self.server.rebind_request(&self.desired, step).unwrap();
        self.check();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Replay => {
                for step in self.history.clone() {
                    self.server.rebind_request(&self.desired, &step).unwrap();
                }
            }
            // While no object holds the claim's place, because a person has deleted it or the claim that
            // had it, a claim that is created before anybody looks gets an empty volume (K-1).
            Event::Apply if !self.is_reserved() => {}
            Event::Apply => {
                let mut manifest = claim("data", "Filesystem", "", "class-east");
                let kept = self.server.objects.record.as_ref();
                if let Some(kept) = kept {
                    manifest.spec.clone_from(&kept.claim.spec);
                }
                manifest.status = None;
                manifest.annotations_mut().remove(BIND_COMPLETED);
                manifest.spec.get_or_insert_default().volume_name = None;
                let step = Step::CreateClaim(Box::new(manifest));
                self.server.rebind_request(&self.desired, &step).unwrap();
                self.server.settle_volumes();
            }
            Event::Start => {
                if self.server.objects.claims.contains_key("data") {
                    run_pod(&mut self.server, "late", "data");
                }
            }
            Event::DeleteClaim => {
                if let Some(claim) = self.server.objects.claims.get("data") {
                    let step = Step::DeleteClaim {
                        claim: "data".into(),
                        uid: claim.uid().unwrap(),
                        resource_version: claim.resource_version().unwrap(),
                    };
                    // People delete a claim only when it is recorded nowhere: then it is their loss.
                    if self.server.objects.record.is_some() {
                        self.server.rebind_request(&self.desired, &step).unwrap();
                    }
                }
            }
            Event::DeleteSpare => {
                let view = self.view();
                let spare = view.volumes.values().find(|volume| {
                    let key = volume.volume_id().unwrap();
                    view.volumes_of(&key).filter(|v| !v.is_going()).count() > 1
                });
                if let Some(volume) = spare {
                    let step = Step::DeleteVolume {
                        volume: volume.name_any(),
                        uid: volume.uid().unwrap(),
                        resource_version: volume.resource_version().unwrap(),
                    };
                    self.server.rebind_request(&self.desired, &step).unwrap();
                }
            }
        }
        if !self.slow {
            self.server.settle_volumes();
        }
    }

    fn is_reserved(&self) -> bool {
        let mut volumes = self.server.objects.volumes.values();
        volumes.any(|v| v.is_for(&self.desired.pair, "data") && v.is_reserved() && !v.is_going())
    }

    /// What must hold after every change, whoever made it.
    fn check(&self) {
        let view = &self.view();
        let destroyed = &self.server.storage.destroyed;
        assert!(destroyed.is_empty(), "storage was deleted");
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
                    "{} is not retained\n{}",
                    volume.name_any(),
                    self.story()
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
            let fresh = taken.insert(volume.volume_id());
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

    /// The desired binding, and nothing left over.
    pub(super) fn check_end(&self, app_mode: &str) {
        let view = &self.view();
        let (primary, standby) = (
            self.desired.primary.as_ref().unwrap(),
            self.desired.standby.as_ref().unwrap(),
        );
        let replica = self.desired.replica_claim(&standby.site);
        let names: Vec<&String> = view.claims.keys().collect();
        assert_eq!(names, ["data", &replica], "{}", self.story());
        for (claim, site, mode) in [("data", primary, app_mode), (&replica, standby, "Block")] {
            let claim = &view.claims[claim];
            let volume = &view.volumes[claim.volume_name()];
            assert!(claim.is_bound() && volume.is_bound_to(claim));
            assert_eq!(volume.volume_id().as_ref(), Some(&site.volume));
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

    pub(super) fn view(&self) -> RebindView {
        self.server.rebind_view(&self.desired)
    }

    fn story(&self) -> String {
        let steps: Vec<String> = self.history.iter().map(ToString::to_string).collect();
        format!("after:\n  {}\nwith {:?}", steps.join("\n  "), self.events)
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}\n{:#?}", self.story(), self.view())
    }
}

/// Others do what is waited for.
pub(super) fn grant(server: &mut Server, wait: &Wait) {
    match wait {
        Wait::InUse { claim, .. } => {
            for pod in server.users_of(claim) {
                server.pods.remove(&pod);
            }
        }
        Wait::ClaimGone { claim, finalizers } => {
            let snapshots = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
            let stopped = finalizers.iter().any(|name| name == snapshots);
            assert!(!stopped, "waits for a snapshotter that may be stopped");
            server.objects.change_claim(claim, None, |claim| {
                claim
                    .metadata
                    .finalizers
                    .get_or_insert_default()
                    .retain(|f| !finalizers.contains(f));
            });
        }
        Wait::Bound { .. } => {}
    }
    server.settle_volumes();
}
