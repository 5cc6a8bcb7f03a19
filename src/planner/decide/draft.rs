//! What a decision is made of while it is made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::admission;
use crate::decide::admission::Barred;
use crate::decide::{Action, Device};
use crate::observe::{Claim, Observed, SiteView, Timeline};
use crate::validate::{Problem, Settings, Validated};
use api::Reason;
use api::v1alpha1::{CyclePhase, CycleStatus, ReplicationPairStatus, WaitStatus};
use protocol::units::{Epoch, Point, Seq, SiteName};
use wire::control::MoverStatus;

/// The outcome of a visit's thinking.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The status to record first.
    pub status: ReplicationPairStatus,
    /// The marks of time to keep.
    pub timeline: Timeline,
    /// What to do then, in this order.
    pub actions: Vec<Action>,
    /// When to visit again if nothing wakes us before.
    pub due: Option<Timestamp>,
    /// What fails at present, though it will be tried again.
    pub trouble: Option<Problem>,
    /// Why a request to move the role is not followed.
    pub refused: Option<Problem>,
    /// Why no cycle may begin, if so.
    pub barred: Option<Barred>,
}

/// A decision in the making.
pub struct Draft<'a> {
    /// What was observed.
    pub o: &'a Observed,
    /// What came of the spec.
    pub validated: &'a Validated,
    /// What to go by, for what runs already.
    pub set: &'a Settings,
    /// The status, as it will be recorded.
    pub status: ReplicationPairStatus,
    /// The marks of time.
    pub line: Timeline,
    /// What fails at present.
    pub trouble: Option<Problem>,
    /// Why a request to move the role is not followed.
    pub refused: Option<Problem>,
    /// Points whose snapshots and claims stay, by site.
    pub keep: BTreeSet<(SiteName, Point)>,
    /// Movers that should run; a site without an entry should have none.
    pub wanted: BTreeMap<SiteName, Device>,
    /// Whether cycles may begin (no switch stands against it).
    pub cycles_allowed: bool,
    /// Whether a cycle has to begin now, whatever the interval says.
    pub cycle_now: bool,
    actions: Vec<Action>,
    due: Option<Timestamp>,
    waiting: Option<String>,
}

impl<'a> Draft<'a> {
    /// The status as it was, nothing to do yet.
    #[must_use]
    pub fn new(o: &'a Observed, validated: &'a Validated) -> Draft<'a> {
        Draft {
            o,
            validated,
            set: validated.carry_on_with(),
            status: o.pair.status.clone().unwrap_or_default(),
            line: o.timeline.clone(),
            trouble: None,
            refused: None,
            keep: BTreeSet::new(),
            wanted: BTreeMap::new(),
            cycles_allowed: true,
            cycle_now: false,
            actions: Vec::new(),
            due: None,
            waiting: None,
        }
    }

    /// Does `action`, after those before it.
    pub fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Waits for `what`; the first wait of a visit is the one that is shown.
    pub fn wait(&mut self, what: String) {
        self.waiting.get_or_insert(what);
    }

    /// Visits again at `when` at the latest.
    pub fn visit_at(&mut self, when: Timestamp) {
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }

    /// Visits again after `pause` at the latest.
    pub fn visit_in(&mut self, pause: SignedDuration) {
        self.visit_at(after(self.o.now, pause));
    }

    /// Something fails at present.
    pub fn trouble(&mut self, reason: Reason, message: String) {
        self.trouble.get_or_insert(Problem::new(reason, message));
    }

    /// Now, as the API writes it.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.o.now)
    }

    /// The primary's view.
    #[must_use]
    pub fn primary(&self) -> Option<&'a SiteView> {
        let name = self.status.primary.as_deref()?;
        self.site_called(name)
    }

    /// The standby's view.
    #[must_use]
    pub fn standby(&self) -> Option<&'a SiteView> {
        let name = self.status.primary.as_deref()?;
        self.o.sites.iter().find(|site| site.name.as_str() != name)
    }

    /// The claim that the application mounts, at the primary.
    #[must_use]
    pub fn app_claim(&self) -> Option<&'a Claim> {
        self.primary()?.app_claim.as_ref()
    }

    /// The view of the site called `name`, as the status writes it.
    #[must_use]
    pub fn site_called(&self, name: &str) -> Option<&'a SiteView> {
        self.o.sites.iter().find(|site| site.name.as_str() == name)
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(
            self.status
                .epoch
                .and_then(|e| u64::try_from(e).ok())
                .unwrap_or(0),
        )
    }

    /// The committed point.
    #[must_use]
    pub fn committed(&self) -> Option<Point> {
        self.status
            .committed_point
            .as_ref()
            .map(|point| point.point())
    }

    /// The running cycle.
    #[must_use]
    pub fn cycle(&self) -> Option<&CycleStatus> {
        self.status.cycle.as_ref()
    }

    /// Sets the running cycle's phase.
    pub fn phase(&mut self, phase: CyclePhase) {
        if let Some(cycle) = self.status.cycle.as_mut() {
            let from = std::mem::replace(&mut cycle.phase, phase.clone());
            assert!(
                from == phase || from.may_go_to(&phase),
                "a cycle can't go from {from} to {phase}"
            );
        }
        self.line.phase_since(&phase, self.o.now);
    }

    /// How long the running cycle has been in its phase, as far as this process has seen.
    pub fn in_phase(&mut self, phase: &CyclePhase) -> SignedDuration {
        let since = self.line.phase_since(phase, self.o.now);
        self.o.now.duration_since(since)
    }

    /// Asks for a mover at `site`.
    pub fn want(&mut self, site: &SiteName, device: Device) {
        self.wanted.insert(site.clone(), device);
    }

    /// Asks for a mover at `site` with whatever device it has now: only its superblock matters.
    pub fn want_as_is(&mut self, site: &SiteView) {
        let running = site.pod.as_ref().filter(|pod| !pod.deleting && !pod.ended);
        let claim = running.and_then(|pod| pod.device_claim.clone());
        self.want(&site.name, claim.map_or(Device::None, Device::Cut));
    }

    /// The report of the mover at `site`, if it runs with the device that is wanted.
    #[must_use]
    pub fn mover(&self, site: &SiteName) -> Option<&'a MoverStatus> {
        let view = self.o.site(site)?;
        let wanted = self.wanted.get(site)?;
        let device = view.pod.as_ref()?.device_claim.as_deref();
        view.live().filter(|_| device == wanted.claim())
    }

    /// The highest sequence number that was ever used, as far as anybody knows: cuts and reports
    /// count as well as the status, so that a wiped status never makes a number be used twice.
    #[must_use]
    pub fn highest_seq(&self) -> Seq {
        let reports = self
            .o
            .sites
            .iter()
            .filter_map(|s| s.mover.as_ref()?.superblock.as_ref());
        let told = reports.flat_map(|report| {
            let start = report
                .lineage
                .last()
                .map(|entry| entry.start.0.saturating_sub(1));
            let points = [report.committed, report.applied, report.image.whole()];
            let points = points.into_iter().flatten();
            points.map(|point| point.seq.0).chain(start)
        });
        let cut = self.o.sites.iter().flat_map(|s| {
            let claims = s.source_claims.iter().map(|claim| claim.point);
            s.cuts.iter().map(|cut| cut.point).chain(claims)
        });
        let cut = cut.map(|point| point.seq.0);
        let switch = self
            .status
            .switch
            .as_ref()
            .and_then(|s| s.promoted_point.as_ref());
        let recorded = [
            self.status.committed_point.as_ref(),
            self.status.last_cut.as_ref(),
            self.status.cycle.as_ref().map(|cycle| &cycle.point),
            switch,
        ]
        .into_iter()
        .flatten()
        .map(|point| point.point().seq.0);
        let given = self.status.last_seq.and_then(|seq| u64::try_from(seq).ok());
        Seq(told
            .chain(cut)
            .chain(recorded)
            .chain(given)
            .max()
            .unwrap_or(0))
    }

    /// The decision.
    #[must_use]
    pub fn finish(mut self) -> Decision {
        let now = self.now();
        let barred = admission::barred(&self);
        self.status.waiting = self
            .waiting
            .take()
            .map(|what| match self.status.waiting.take() {
                Some(before) if before.what == what => before,
                _ => WaitStatus { what, since: now },
            });
        self.status.observed_generation = self.o.pair.metadata.generation;
        Decision {
            status: self.status,
            timeline: self.line,
            actions: self.actions,
            due: self.due,
            trouble: self.trouble,
            refused: self.refused,
            barred,
        }
    }
}

/// `pause` after `from`; the end of time when that is too far away to be written down.
#[must_use]
pub fn after(from: Timestamp, pause: SignedDuration) -> Timestamp {
    from.checked_add(pause).unwrap_or(Timestamp::MAX)
}
