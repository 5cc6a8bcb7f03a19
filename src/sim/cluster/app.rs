//! The application: it writes through its claim, and remembers what was acknowledged. Whatever it finds
//! when it starts again is compared with that.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use rand::Rng;

use crate::cluster::server::phase;
use crate::cluster::world::{APP_CLAIM, APP_POD, World};
use crate::image::{Image, Tag};
use crate::on_disk::blocks;
use crate::volume::Volume as Device;
use planner::observe::HookTarget;
use protocol::pair::Record;
use protocol::units::{Epoch, Point, Role, Seq};

/// Blocks that an application writes which writes little, over and over.
const REWRITTEN: u64 = 6;

/// The application.
#[derive(Default)]
pub(crate) struct App {
    /// The pod that runs now, and the volume that it has mounted.
    running: Option<(String, String)>,
    /// What was acknowledged to it.
    acknowledged: Option<Image>,
    /// The epoch that it ran in last.
    epoch: Epoch,
    next_tag: Tag,
    /// Its people have made its claim again while no volume was reserved for it.
    pub(crate) may_be_elsewhere: bool,
    /// A hook holds it: it writes nothing.
    held: bool,
    /// How often it was started.
    pub(crate) starts: u64,
}

#[cfg(test)]
impl App {
    /// What it has written is gone with its people's consent.
    pub(crate) fn forget(&mut self) {
        self.acknowledged = None;
        self.running = None;
    }
}

/// The point that the newest epoch began with.
fn promoted_from(record: &Record) -> Option<Point> {
    let last = record.lineage.last()?;
    let seq = Seq(last.start.0.checked_sub(1)?);
    let mut before = (1..last.epoch.0).rev();
    let epoch = before.find(|epoch| {
        let entry = record.lineage.entry(Epoch(*epoch));
        entry.is_some_and(|entry| entry.start <= seq)
    })?;
    Some(Point {
        epoch: Epoch(epoch),
        seq,
    })
}

impl App {
    /// The side that it ran at was put back: it goes on from there.
    pub(crate) fn went_back(&mut self) {
        self.acknowledged = None;
    }
}

impl World {
    /// Sees whether its pod has started or ended.
    ///
    /// # Errors
    /// When it finds something else than it may.
    pub(crate) fn follow_app(&mut self) -> Result<(), String> {
        let pod = self.server.pods.get(APP_POD);
        let uid = pod
            .filter(|pod| phase(pod) == "Running")
            .and_then(|pod| pod.uid());
        let known = self.app.running.as_ref().map(|(uid, _)| uid.clone());
        if uid == known {
            return Ok(());
        }
        self.app.running = None;
        self.app.held = false;
        let Some(uid) = uid else {
            return Ok(());
        };
        let Some(handle) = self.server.handle_of_claim(APP_CLAIM) else {
            return Ok(());
        };
        self.started(&handle)?;
        self.app.running = Some((uid, handle));
        Ok(())
    }

    fn started(&mut self, handle: &str) -> Result<(), String> {
        let found = self.server.storage.device(handle);
        let found = found.ok_or("the application's volume is gone")?;
        // It writes on storage that works.
        found.disk.heal();
        let found = found.bytes();
        let at = self
            .volumes
            .iter()
            .position(|known| known.as_deref() == Some(handle));
        let Some(at) = at else {
            // Kubernetes has started it on what its people have made: nobody could keep it from that.
            return match self.app.may_be_elsewhere {
                true => Ok(()),
                false => Err("the application starts on a volume that is neither site's".into()),
            };
        };
        let now = self.millis();
        self.story.tell(now, at, || "the application starts".into());
        self.app.starts += 1;
        let records = [0, 1].map(|at| self.superblock(at));
        let Some(record) = &records[at] else {
            self.app.acknowledged.get_or_insert(Image::sharing(&found));
            return Ok(());
        };
        if record.role != Role::Primary {
            return Err("the application starts on the volume of a standby".into());
        }
        let newest = records.iter().flatten().map(|record| record.epoch).max();
        if Some(record.epoch) != newest {
            return Err("the application starts at a side whose epoch is over".into());
        }
        let (since, rotten) = (self.app.epoch, self.oracle.promoted_rot.clone());
        if let Some(acknowledged) = self.app.acknowledged.clone() {
            let mut forced = self.oracle.forced.iter();
            let forced = forced.any(|epoch| *epoch > since && *epoch <= record.epoch);
            if since < record.epoch && since > Epoch(0) {
                let point = promoted_from(record).ok_or("a side was promoted from no point")?;
                let promoted = self.oracle.cuts.get(&point);
                let promoted =
                    promoted.ok_or("a side was promoted from a point that was never cut")?;
                if promoted.differs(&found, &rotten).is_some() {
                    return Err(format!(
                        "the application does not find what was cut at {point}"
                    ));
                }
            }
            let lost = acknowledged.differs(&found, &rotten);
            if let Some(block) = lost.filter(|_| !forced) {
                return Err(format!(
                    "block {block} that was acknowledged in epoch {since} is not what the application \
                     finds in epoch {}, though nothing was forced",
                    record.epoch
                ));
            }
        }
        self.app.epoch = record.epoch;
        self.app.acknowledged = Some(Image::sharing(&found));
        Ok(())
    }

    /// It writes if it runs: data, zeros and discards.
    pub(crate) fn app_writes(&mut self) -> bool {
        let device = self.app_device().filter(|_| !self.app.held).cloned();
        let Some(device) = device else {
            return false;
        };
        let most = if self.rewrites { REWRITTEN } else { u64::MAX };
        let all = blocks(device.size()).min(most);
        let random = &mut self.random;
        let first = random.random_range(0..all);
        let count = random.random_range(1..=6).min(all - first);
        let zeros = random.random_range(0..3) == 0;
        let mut writes: Vec<(u64, Tag)> = Vec::new();
        for block in first..first + count {
            // Sometimes a block goes back to what it was before.
            let old = self.app.next_tag > 4 && random.random_range(0..4) == 0;
            let tag = match (zeros, old || self.rewrites) {
                (true, _) => 0,
                (false, true) if self.rewrites => random.random_range(1..=2),
                (false, true) => random.random_range(1..=4),
                (false, false) => {
                    self.app.next_tag += 1;
                    self.app.next_tag
                }
            };
            writes.push((block, tag));
        }
        device.write(&writes);
        let elsewhere = self.app_is_elsewhere();
        let acknowledged = self.app.acknowledged.as_mut();
        if let Some(acknowledged) = acknowledged.filter(|_| !elsewhere) {
            for (block, tag) in writes {
                acknowledged.write(block, tag);
            }
        }
        true
    }

    /// The device that it has mounted.
    pub(crate) fn app_device(&self) -> Option<&Device> {
        let (_, handle) = self.app.running.as_ref()?;
        self.server.storage.device(handle)
    }

    /// Whether its claim is bound to a volume that is neither site's.
    pub(crate) fn app_is_elsewhere(&self) -> bool {
        let handle = self.server.handle_of_claim(APP_CLAIM);
        handle.is_some_and(|handle| !self.volumes.contains(&Some(handle)))
    }

    /// Its volume has become larger.
    pub(crate) fn app_has_grown(&mut self, bytes: u64) {
        let elsewhere = self.app_is_elsewhere();
        let acknowledged = self.app.acknowledged.as_mut();
        if let Some(acknowledged) = acknowledged.filter(|_| !elsewhere) {
            acknowledged.grow(bytes);
        }
    }

    /// The pods that hooks run in: its own, where the pair has hooks.
    pub(crate) fn hook_targets(&self) -> Vec<HookTarget> {
        let pair = self.server.pair.as_ref();
        let hooks = pair.map_or(0, |pair| pair.spec.quiesce.hooks.len());
        let runs = self.app_runs();
        let targets = (0..hooks).filter(|_| runs).map(|hook| HookTarget {
            hook,
            pod: APP_POD.into(),
            container: "db".into(),
        });
        targets.collect()
    }

    /// Its hooks run, before a cut or after it.
    pub(crate) fn hook(&mut self, targets: &[HookTarget], hold: bool) {
        if self.app_runs() && targets.iter().any(|target| target.pod == APP_POD) {
            self.app.held = hold;
        }
    }

    /// Whether a hook holds it.
    pub(crate) fn app_is_held(&self) -> bool {
        self.app.held
    }

    /// Whether it runs.
    pub(crate) fn app_runs(&self) -> bool {
        self.app.running.is_some()
    }

    /// Whether its claim is of interest to a pod that uses it now.
    pub(crate) fn app_mounts(&self) -> BTreeSet<String> {
        let running = self.app.running.iter();
        running.map(|(_, handle)| handle.clone()).collect()
    }
}
