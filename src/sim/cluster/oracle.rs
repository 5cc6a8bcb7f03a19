//! What must hold of the cluster after every step. Slow and obvious: it looks at what the storage holds,
//! never at what the operator believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;

use crate::cluster::server::handle_of;
use crate::cluster::strangers::Stranger;
use crate::cluster::world::{APP_CLAIM, PAIR, SITES, World};
use crate::image::Image;
use crate::on_disk::{read_superblock, staged, with_staged};
use api::names;
use api::v1alpha1::{PromotionSpec, SwitchStatus};
use planner::observe::read;
use planner::rebind::object::VolumeExt as _;
use protocol::pair::Record;
use protocol::units::{Epoch, Generation, ImageState, Point, Role};
use wire::control::Activity;

/// What a site's storage was like when it was looked at last: while it is like that, the same holds.
#[derive(PartialEq, Eq)]
struct Looked {
    volume: String,
    state: String,
    /// How often what is durable may have changed there.
    changes: [u64; 2],
    consents: usize,
    mounted: bool,
}

/// So many cuts are remembered: beyond it the oldest of them that no record names.
const CUTS_MAX: usize = 256;

/// What is known of what must hold.
#[derive(Default)]
pub(crate) struct Oracle {
    /// What did not hold when something was done.
    pub(crate) broken: Option<String>,
    /// Numbers of cycles that were ever recorded.
    pub(crate) numbered: BTreeSet<Point>,
    /// The site that the pair begins at: where nothing is made yet, a status that is wiped begins at the one
    /// that the manifest names by then.
    begins_at: usize,
    /// What each cut held.
    pub(crate) cuts: BTreeMap<Point, Image>,
    /// Epochs that a forced promotion has started.
    pub(crate) forced: BTreeSet<Epoch>,
    /// Cycles that the status calls committed.
    pub(crate) commits: u64,
    /// Changes of the role that came to their end.
    pub(crate) moves: u64,
    /// Which side was asked to lead which epoch, and as what.
    pub(crate) asked_to_lead: BTreeSet<(Epoch, usize, Generation)>,
    /// The site whose snapshot was the first of a cut.
    origins: BTreeMap<Point, usize>,
    /// Snapshots of a standby that hold something else than the cut: they must not count.
    wrong: BTreeSet<(usize, Point)>,
    /// Cuts of a volume that is neither site's.
    pub(crate) foreign: BTreeSet<Point>,
    known: BTreeSet<String>,
    pub(crate) seen: [Option<Record>; 2],
    looked: [Option<Looked>; 2],
    /// How often objects had changed when their volumes were found to be safe.
    safe_at: Option<(u64, u64)>,
    frozen: [Option<Arc<Vec<u8>>>; 2],
    pub(crate) rebinding_begun: bool,
    /// The change of the role that was recorded last.
    pub(crate) moving: Option<SwitchStatus>,
    /// What people have ever asked for, by UID.
    pub(crate) asked: BTreeMap<String, PromotionSpec>,
    /// What a role change was ever begun for, by UID.
    pub(crate) followed: BTreeSet<String>,
    /// What people have ever consented to discard: of which site, in which epoch.
    pub(crate) consents: BTreeSet<(usize, Epoch)>,
    /// People have taken back what they asked for since the last role change began.
    pub(crate) taken_back: bool,
    /// People have changed which site they call primary since that was acted on.
    pub(crate) primary_edited: bool,
    pub(crate) in_common: bool,
    /// Blocks of each side that may differ from what was cut, because something has rotted.
    pub(crate) rotten: [BTreeSet<u64>; 2],
    /// Those that had rotted at the side that was promoted last.
    pub(crate) promoted_rot: BTreeSet<u64>,
    /// Ranges that were compared.
    pub(crate) verified: u64,
    /// Claims that are somebody else's, by UID.
    pub(crate) strangers: BTreeMap<String, Stranger>,
}

impl Oracle {
    /// A side has gone back in time as a whole: its snapshots may be of what it does not hold any more.
    pub(crate) fn went_back(&mut self, at: usize, rotten: &BTreeSet<u64>) {
        self.seen[at] = None;
        self.looked[at] = None;
        self.frozen[at] = None;
        self.rotten[at].extend(rotten);
        self.in_common = false;
    }

    /// Forgets what the oldest cuts held, so that a long life does not fill the memory.
    fn forget_old_cuts(&mut self) {
        let records = self.seen.iter().flatten();
        let named = records.flat_map(|record| {
            let image = record.image.promotable_point();
            [record.committed, record.applied, image]
        });
        let named: BTreeSet<Point> = named.flatten().collect();
        while self.cuts.len() > CUTS_MAX {
            let mut all = self.cuts.keys();
            let Some(oldest) = all.find(|point| !named.contains(point)).copied() else {
                return;
            };
            self.cuts.remove(&oldest);
        }
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }
}

impl World {
    /// A site is put back to an older copy: what it was before counts no more.
    #[cfg(test)]
    pub(crate) fn forget_site(&mut self, at: usize) {
        self.oracle.seen[at] = None;
        self.oracle.looked[at] = None;
        self.oracle.frozen[at] = None;
    }

    /// The superblock of a site, as its storage has it.
    pub(crate) fn superblock(&self, at: usize) -> Option<Record> {
        let claim = names::state_claim(PAIR, SITES[at]);
        let handle = self.server.handle_of_claim(&claim)?;
        read_superblock(self.server.storage.files(&handle)?)
    }

    /// Everything that must hold now.
    ///
    /// # Errors
    /// What does not, as a sentence.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        self.learn_volumes();
        self.note_astray();
        self.note_verified();
        self.note_cuts()?;
        for (at, name) in (0..).zip(SITES) {
            let now = self.looks_now(at);
            if now.is_some() && self.oracle.looked[at] == now {
                continue;
            }
            self.oracle.looked[at] = now;
            let record = self.superblock(at);
            self.check_site(at, record.as_ref())
                .and_then(|()| self.staging_goes(at, record.as_ref()))
                .map_err(|why| format!("{name}: {why}"))?;
            self.oracle.seen[at] = record;
        }
        if let [Some(east), Some(west)] = &self.oracle.seen {
            let both = east.role == Role::Primary && west.role == Role::Primary;
            if both && east.epoch == west.epoch {
                return Err(format!("both sides are primary of epoch {}", east.epoch));
            }
        }
        let changes = (self.server.objects.writes(), self.server.changes);
        if self.oracle.safe_at != Some(changes) {
            self.volumes_are_safe()?;
            self.strangers_are_safe()?;
            self.oracle.safe_at = Some(changes);
        }
        self.follow_shipments()?;
        self.follow_app()
    }

    fn looks_now(&self, at: usize) -> Option<Looked> {
        let state = names::state_claim(PAIR, SITES[at]);
        let state = self.server.handle_of_claim(&state)?;
        let volume = self.volumes[at].clone()?;
        let storage = &self.server.storage;
        let files = storage.files(&state)?.changes();
        let changes = [files, storage.device(&volume)?.disk.changes()];
        Some(Looked {
            mounted: self.app_mounts().contains(&volume),
            volume,
            state,
            changes,
            consents: self.oracle.consents.len(),
        })
    }

    /// Which volume is whose is found once and stays so from the first superblock on.
    fn learn_volumes(&mut self) {
        let begun = self.oracle.seen.iter().any(Option::is_some);
        let primary = self.status().primary.as_deref();
        let leads = SITES.iter().position(|site| primary == Some(*site));
        if let Some(at) = leads.filter(|at| !begun && *at != self.oracle.begins_at) {
            self.oracle.begins_at = at;
            self.volumes = [None, None];
        }
        for (at, site) in (0..).zip(SITES) {
            if self.volumes[at].is_some() {
                continue;
            }
            let claim = match at == self.oracle.begins_at {
                true => APP_CLAIM.to_string(),
                false => names::replica_claim(PAIR, site),
            };
            if !self.is_strangers(&claim) {
                self.volumes[at] = self.server.handle_of_claim(&claim);
            }
        }
    }

    /// A cut is what its first snapshot holds; every other snapshot of it holds the same.
    fn note_cuts(&mut self) -> Result<(), String> {
        self.oracle.forget_old_cuts();
        for (name, snapshot) in &self.server.snapshots {
            let status = snapshot.status.as_ref();
            let cut = status.and_then(|status| status.creation_time.as_ref());
            let Some(point) = read::point(snapshot).filter(|_| cut.is_some()) else {
                continue;
            };
            let uid = snapshot.uid().unwrap_or_default();
            if !self.oracle.known.insert(uid) {
                continue;
            }
            let content = status.and_then(|s| s.bound_volume_snapshot_content_name.clone());
            let content = self.server.contents.get(&content.unwrap_or_default());
            let handle = content.and_then(|c| c.pointer("/status/snapshotHandle")?.as_str());
            let held = self
                .server
                .storage
                .snapshots
                .get(handle.unwrap_or_default());
            let Some(held) = held.map(|held| Image::sharing(&held.content.bytes)) else {
                continue;
            };
            let now = self.server.now();
            let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
            self.story
                .tell(millis, 2, || format!("snapshot {name} is cut"));
            let known = self.oracle.seen.iter().flatten();
            let counts = known.clone().any(|record| {
                [
                    record.committed,
                    record.applied,
                    record.image.promotable_point(),
                ]
                .contains(&Some(point))
            });
            let mut others = self.server.snapshots.iter();
            let shared = others.any(|(n, s)| n != name && read::point(s) == Some(point));
            let part = |at: &usize| read::is_part(snapshot, &self.sites[*at], "cut");
            let at = [0, 1].into_iter().find(part).unwrap_or_default();
            let origin = *self.oracle.origins.entry(point).or_insert(at);
            self.oracle.wrong.remove(&(at, point));
            let of = content.and_then(|c| c.pointer("/spec/source/volumeHandle")?.as_str());
            if of.is_some_and(|of| !self.volumes.contains(&Some(of.into()))) {
                self.oracle.foreign.insert(point);
                continue;
            }
            let rotten = self.oracle.rotten[at].clone();
            let first = self
                .oracle
                .cuts
                .entry(point)
                .or_insert_with(|| held.clone());
            // The standby's volume may be larger.
            if first.differs(held.bytes(), &rotten).is_none() {
                continue;
            }
            if at != origin {
                self.oracle.wrong.insert((at, point));
                continue;
            }
            if counts || shared {
                return Err(format!("snapshot {name} of {point} is of something else"));
            }
            // Nobody has anything of the first cut of that number: it was never shipped.
            *first = held;
        }
        Ok(())
    }

    fn check_site(&mut self, at: usize, record: Option<&Record>) -> Result<(), String> {
        let Some(record) = record else {
            return Ok(());
        };
        let volume = self.volumes[at].clone().unwrap_or_default();
        let Some(device) = self.server.storage.device(&volume) else {
            return Ok(());
        };
        let bytes = device.bytes();
        let before = self.oracle.seen[at].clone();
        let was = before.as_ref().is_some_and(|before| before.diverged);
        let now = record.lineage.last().map(|entry| entry.epoch);
        if was && !record.diverged && !self.consented(at, now) {
            return Err("writes that nobody else has were discarded without consent".into());
        }
        if !record.diverged {
            self.oracle.frozen[at] = None;
        } else if let Some(frozen) = &self.oracle.frozen[at] {
            let newest = self
                .oracle
                .seen
                .iter()
                .flatten()
                .map(|seen| seen.epoch)
                .max();
            // A volume that grew has lost nothing.
            if !bytes.starts_with(frozen) && !self.consented(at, newest) {
                return Err("writes that nobody else has were replaced without consent".into());
            }
        } else if !self.app_mounts().contains(&volume) {
            self.oracle.frozen[at] = Some(bytes.clone());
        }
        let was_standby = before
            .as_ref()
            .is_some_and(|before| before.role == Role::Standby);
        if record.role == Role::Primary && was_standby {
            self.rot_is_promoted(at);
        }
        if record.role == Role::Primary {
            return self.leads_by_request(at, record);
        }
        if record.diverged {
            return Ok(());
        }
        self.is_promotable(at, record.image, &bytes)?;
        let rose = record.committed.filter(|point| {
            before.is_some_and(|before| {
                before.role == Role::Standby && before.committed != Some(*point)
            })
        });
        if let Some(point) = record.committed
            && !self.is_late(at, point)
            && self.oracle.wrong.contains(&(at, point))
            && self.storage_cuts(at).contains_key(&point)
        {
            return Err(format!(
                "{point} is committed, and its snapshot is of something else"
            ));
        }
        if let Some(point) = rose
            && self.storage_cuts(at).get(&point).is_none_or(|cut| !cut)
        {
            return Err(format!(
                "{point} is committed, but there is no snapshot of it"
            ));
        }
        Ok(())
    }

    /// Whether the operator knows that a site's snapshot of this point is of something else.
    fn is_late(&self, at: usize, point: Point) -> bool {
        let status = self.status();
        let mut sites = status.sites.iter();
        let known = sites.find(|site| site.name == SITES[at]);
        let promoted = known.and_then(|site| site.promoted.as_ref());
        promoted.is_some_and(|promoted| promoted.is_late(point, status.epoch))
    }

    /// Where a mover has nothing to do any more, nothing is staged of what it has committed.
    fn staging_goes(&self, at: usize, record: Option<&Record>) -> Result<(), String> {
        let rests = self.movers[at].as_ref().is_some_and(|mover| {
            let idle = mover.host.status().activity == Activity::Idle;
            let committed = record.and_then(|record| record.committed);
            let own = mover.began_at != committed;
            own && idle && !mover.host.has_work() && !mover.host.can_save()
        });
        let committed = record.and_then(|record| record.committed);
        let Some(point) = committed.filter(|_| rests) else {
            return Ok(());
        };
        match self.state_files(at).and_then(staged) {
            Some(staged) if staged == point && !self.data.damaged[at] => {
                Err(format!("{point} is committed and still staged"))
            }
            _ => Ok(()),
        }
    }

    /// Nobody leads an epoch that nobody has asked it to.
    fn leads_by_request(&self, at: usize, record: &Record) -> Result<(), String> {
        let generation = record.lineage.last().map(|entry| entry.generation);
        let asked_to_lead = |drawn| {
            self.oracle
                .asked_to_lead
                .contains(&(record.epoch, at, drawn))
        };
        match generation.is_some_and(asked_to_lead) {
            true => Ok(()),
            false => Err(format!(
                "it is primary of epoch {} without a request",
                record.epoch
            )),
        }
    }

    /// What a promotion now would begin with is what was cut.
    fn is_promotable(&self, at: usize, image: ImageState, bytes: &[u8]) -> Result<(), String> {
        let redone;
        let (point, bytes) = match image {
            ImageState::Consistent(point) => (point, bytes),
            ImageState::Redo(point) => {
                let state = names::state_claim(PAIR, SITES[at]);
                let state = self.server.handle_of_claim(&state).unwrap_or_default();
                let files = self.server.storage.files(&state);
                redone = files.and_then(|files| with_staged(files, bytes));
                match &redone {
                    Some(redone) => (point, redone.as_slice()),
                    None if self.data.damaged[at] => return Ok(()),
                    None => return Err(format!("it counts on a set of {point} that is not whole")),
                }
            }
            ImageState::None | ImageState::Inconsistent => return Ok(()),
        };
        if self.oracle.foreign.contains(&point) {
            return Err(format!("it claims {point}, a cut of a foreign volume"));
        }
        let Some(cut) = self.oracle.cuts.get(&point) else {
            return Err(format!("it claims {point}, which was never cut"));
        };
        match cut.differs(bytes, &self.oracle.rotten[at]) {
            None => Ok(()),
            Some(block) => Err(format!("block {block} is not what was cut at {point}")),
        }
    }

    /// The points of which a site has a snapshot, and whether it is cut.
    pub(crate) fn storage_cuts(&self, at: usize) -> BTreeMap<Point, bool> {
        let site = self.site(at);
        let ours = self.server.snapshots.values();
        let ours = ours.filter(|snapshot| read::is_part(*snapshot, &site, "cut"));
        ours.filter_map(|snapshot| {
            let status = snapshot.status.as_ref();
            let cut = status.is_some_and(|status| status.creation_time.is_some());
            Some((read::point(snapshot)?, cut))
        })
        .collect()
    }

    /// Whether somebody has ever consented to discard what a site holds in an epoch.
    fn consented(&self, at: usize, epoch: Option<Epoch>) -> bool {
        let consents = &self.oracle.consents;
        epoch.is_some_and(|epoch| consents.contains(&(at, epoch)))
    }

    /// No volume of either site is deleted, or can be, and there is always a common cut.
    fn volumes_are_safe(&self) -> Result<(), String> {
        for (at, volume) in (0..).zip(&self.volumes) {
            let Some(volume) = volume else { continue };
            if self.server.storage.destroyed.contains(volume) {
                return Err(format!("the storage of site {} was deleted", SITES[at]));
            }
            let objects = self.server.objects.volumes.values();
            let objects: Vec<_> = objects
                .filter(|object| handle_of(object).as_ref() == Some(volume))
                .collect();
            if objects.is_empty() {
                return Err(format!(
                    "no object is left of the volume of site {}",
                    SITES[at]
                ));
            }
            if self.oracle.rebinding_begun
                && let Some(object) = objects.iter().find(|object| !object.is_retained())
            {
                let name = object.name_any();
                return Err(format!(
                    "PersistentVolume {name} can be deleted with its data"
                ));
            }
        }
        let cuts = [0, 1].map(|at| self.storage_cuts(at));
        let common = cuts[0].keys().any(|point| cuts[1].contains_key(point));
        if self.oracle.in_common && !common {
            return Err("there is no cut any more that both sides have a snapshot of".into());
        }
        Ok(())
    }
}
