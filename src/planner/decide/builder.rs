//! What a decision is made of while it is made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::PairDecision;
use crate::decide::admission;
use crate::mutations::Rule;
use crate::observe::{Claim, Observed, SiteView, Timeline};
use crate::requests::Answer;
use crate::site::{HookStep, MoverDesired, MoverTask, SiteDesired, permitted};
use crate::validate::{Problem, Settings, Validated};
use api::Reason;
use api::v1alpha1::{CyclePhase, CycleStatus, ReplicationPairStatus};
use protocol::units::{Epoch, Point, Role, Seq, SiteName};
use wire::control::{MoverStatus, Request};

/// A decision in the making.
pub struct DecisionBuilder<'a> {
    /// What was observed.
    pub observed: &'a Observed,
    /// What came of the spec.
    pub validated: &'a Validated,
    /// What to go by, for what runs already.
    pub settings: &'a Settings,
    /// The status, as it will be recorded.
    pub status: ReplicationPairStatus,
    /// The marks of time.
    pub timeline: Timeline,
    /// What fails at present.
    pub trouble: Option<Problem>,
    /// Why a change of `spec.primary` is not followed.
    pub refused: Option<Problem>,
    /// Why the promotion that would begin does not.
    pub answer: Option<Answer>,
    /// Points whose snapshots and claims stay, by site.
    pub keep: BTreeSet<(SiteName, Point)>,
    /// What the sites are to become; one without an entry is to be idle.
    desired: BTreeMap<SiteName, SiteDesired>,
    /// What becomes of the hooks.
    pub hooks: Option<HookStep>,
    /// Whether cycles may begin (no switch stands against it).
    pub cycles_allowed: bool,
    /// Whether a cycle has to begin now, whatever the interval says.
    pub cycle_now: bool,
    due: Option<Timestamp>,
    waiting: Option<String>,
}

impl<'a> DecisionBuilder<'a> {
    /// The status as it was, nothing to do yet.
    #[must_use]
    pub fn new(observed: &'a Observed, validated: &'a Validated) -> DecisionBuilder<'a> {
        DecisionBuilder {
            observed,
            validated,
            settings: validated.carry_on_with(),
            status: observed.pair.status.clone().unwrap_or_default(),
            timeline: observed.timeline.clone(),
            trouble: None,
            refused: None,
            answer: None,
            keep: BTreeSet::new(),
            desired: BTreeMap::new(),
            hooks: None,
            cycles_allowed: true,
            cycle_now: false,
            due: None,
            waiting: None,
        }
    }

    /// What `site` is to become, for changing.
    pub fn at(&mut self, site: &SiteName) -> &mut SiteDesired {
        self.desired
            .entry(site.clone())
            .or_insert_with(|| SiteDesired::idle(site.clone()))
    }

    /// Asks the mover at `site` for `request`, after what it was asked for before.
    pub fn ask(&mut self, site: &SiteName, request: Request) {
        self.task(site, MoverTask::Request(request));
    }

    /// Gives the mover at `site` a task, after those before it.
    pub fn task(&mut self, site: &SiteName, task: MoverTask) {
        let tasks = &mut self.at(site).tasks;
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }

    /// Desires a mover at `site`.
    pub fn want(&mut self, site: &SiteName, mover: MoverDesired) {
        self.at(site).mover = mover;
    }

    /// Desires no mover anywhere.
    pub fn want_none(&mut self) {
        for desired in self.desired.values_mut() {
            desired.mover = MoverDesired::Off;
        }
    }

    /// The mover that is desired at `site`.
    #[must_use]
    pub fn wanted(&self, site: &SiteName) -> MoverDesired {
        self.desired
            .get(site)
            .map_or(MoverDesired::Off, |desired| desired.mover)
    }

    /// Waits for `what`; the first wait of a reconcile is the one that is shown.
    pub fn wait(&mut self, what: String) {
        self.waiting.get_or_insert(what);
    }

    /// Checks again at `when` at the latest.
    pub fn recheck_at(&mut self, when: Timestamp) {
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }

    /// Checks again after `pause` at the latest.
    pub fn recheck_in(&mut self, pause: SignedDuration) {
        self.recheck_at(after(self.observed.now, pause));
    }

    /// Something fails at present.
    pub fn trouble(&mut self, reason: Reason, message: String) {
        self.trouble.get_or_insert(Problem::new(reason, message));
    }

    /// Now, as the API writes it.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.observed.now)
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
        self.observed
            .sites
            .iter()
            .find(|site| site.name.as_str() != name)
    }

    /// The claim that the application mounts, at the primary.
    #[must_use]
    pub fn app_claim(&self) -> Option<&'a Claim> {
        self.primary()?.app_claim.as_ref()
    }

    /// The view of the site called `name`, as the status writes it.
    #[must_use]
    pub fn site_called(&self, name: &str) -> Option<&'a SiteView> {
        self.observed
            .sites
            .iter()
            .find(|site| site.name.as_str() == name)
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
        self.timeline.phase_since(&phase, self.observed.now);
    }

    /// How long the running cycle has been in its phase, as far as this process has seen.
    pub fn in_phase(&mut self, phase: &CyclePhase) -> SignedDuration {
        let since = self.timeline.phase_since(phase, self.observed.now);
        self.observed.now.duration_since(since)
    }

    /// The report of the mover at `site`, if it runs with the device that is desired.
    #[must_use]
    pub fn mover(&self, site: &SiteName) -> Option<&'a MoverStatus> {
        let view = self.observed.site(site)?;
        let claim = match permitted(view, self.wanted(site)) {
            MoverDesired::Off | MoverDesired::Leave => return None,
            MoverDesired::Probe => return view.live(),
            MoverDesired::Reader(point) => &view.source_claim(point)?.name,
            MoverDesired::Writer => &view.replica_claim.as_ref()?.name,
        };
        let device = view.pod.as_ref()?.device_claim.as_ref();
        view.live().filter(|_| device == Some(claim))
    }

    /// The highest sequence number that was ever used, as far as anybody knows: cuts and reports
    /// count as well as the status, so that a wiped status never makes a number be used twice.
    #[must_use]
    pub fn highest_seq(&self) -> Seq {
        if let Some(committed) = self.committed()
            && self.observed.rules().breaks(Rule::NumbersReused)
        {
            return committed.seq;
        }
        let reports = self
            .observed
            .sites
            .iter()
            .filter_map(|s| s.mover.as_ref()?.superblock.as_ref());
        let reported = reports.flat_map(|report| {
            let start = report
                .lineage
                .last()
                .map(|entry| entry.start.0.saturating_sub(1));
            let points = [
                report.committed,
                report.applied,
                report.image.promotable_point(),
            ];
            let points = points.into_iter().flatten();
            points.map(|point| point.seq.0).chain(start)
        });
        let cut = self.observed.sites.iter().flat_map(|s| {
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
        Seq(reported
            .chain(cut)
            .chain(recorded)
            .chain(given)
            .max()
            .unwrap_or(0))
    }

    /// The decision: what is recorded, and what each site is to become, the standby first, for a target
    /// has to expect what a source ships.
    #[must_use]
    pub fn finish(mut self) -> PairDecision {
        let barred = admission::barred(&self);
        let sites: Vec<&SiteView> = match (self.standby(), self.primary()) {
            (Some(standby), Some(primary)) => vec![standby, primary],
            _ => self.observed.sites.iter().collect(),
        };
        let mut sites: Vec<SiteDesired> =
            sites.into_iter().map(|view| self.desired(view)).collect();
        // The hooks run where the application does.
        if let Some(primary) = sites.last_mut() {
            primary.hooks = self.hooks.take();
        }
        self.status.observed_generation = self.observed.pair.metadata.generation;
        PairDecision {
            ledger: self.status,
            timeline: self.timeline,
            sites,
            waiting: self.waiting,
            due: self.due,
            trouble: self.trouble,
            refused: self.refused,
            answer: self.answer,
            barred,
        }
    }

    /// What the site of `view` is to become, with the part that the pair's record gives it.
    fn desired(&mut self, view: &SiteView) -> SiteDesired {
        let primary = self.status.primary.as_deref() == Some(view.name.as_str());
        let epoch = self.status.epoch.map(|_| self.epoch());
        let desired = self.at(&view.name);
        desired.epoch = epoch;
        desired.role = if primary {
            Role::Primary
        } else {
            Role::Standby
        };
        desired.clone()
    }
}

/// `pause` after `from`; the end of time when that is too far away to be written down.
#[must_use]
pub fn after(from: Timestamp, pause: SignedDuration) -> Timestamp {
    from.checked_add(pause).unwrap_or(Timestamp::MAX)
}
