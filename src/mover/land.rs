//! Opening staging (or the volume, for a first copy), and writing staged sets to the volume.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::journal::{
    DigestLog, DigestLogSpec, JournalError, Staging, StagingOutcome, StagingSpec,
};
use crate::mover::convert;
use crate::mover::run::{Input, Mover, OpenedLanding, OpenedStaging};
use crate::mover::target::apply;
use crate::mover::target::in_place::InPlace;
use crate::mover::target::receive::Landing;
use crate::pair::message::Begin;
use crate::pair::{Cause, Refused};
use crate::seam::{BlockFile, Disk};
use crate::units::Point;

/// Space on the metadata volume that staging leaves free, in bytes: for the superblock, the digests
/// of this cycle and the file system's own needs.
const STAGING_LEAVES_FREE: u64 = 4 << 20;

impl Mover {
    pub(super) fn open_staging(&mut self, begin: &Begin) {
        let number = self.next_number();
        self.target.opening = number;
        let disk = self.setup.disk.clone();
        let inputs = self.sender();
        let spec = StagingSpec {
            id: convert::cycle_id(begin),
            size_bytes: begin.size,
            rung: begin.rung,
        };
        let applied = self.side.record().and_then(|record| record.head());
        let kept = self.digests.as_ref().and_then(|digests| digests.point());
        tokio::task::spawn_blocking(move || {
            let landing = staging_for(&disk, spec, applied, kept);
            let result = landing.map(OpenedLanding);
            drop(inputs.blocking_send(Input::Opened(number, result)));
        });
    }

    pub(super) fn open_in_place(&mut self, begin: &Begin) {
        let number = self.next_number();
        self.target.opening = number;
        let Some(device) = self.setup.device.clone() else {
            return;
        };
        let (disk, inputs) = (self.setup.disk.clone(), self.sender());
        let (id, size, rung) = (convert::cycle_id(begin), begin.size, begin.rung);
        tokio::task::spawn_blocking(move || {
            let result = InPlace::open(device, disk, id, size, rung)
                .map(|in_place| OpenedLanding(Landing::InPlace(Box::new(in_place))));
            drop(inputs.blocking_send(Input::Opened(number, result)));
        });
    }

    pub(super) fn apply(&mut self, cycle: Point) {
        if self.target.applying {
            return;
        }
        let Some(device) = self.setup.device.clone() else {
            return;
        };
        self.target.applying = true;
        let staging = self.target.staging.take();
        let (disk, inputs, clock) = (
            self.setup.disk.clone(),
            self.sender(),
            self.setup.clock.clone(),
        );
        let done = self.target.applied_bytes.clone();
        tokio::task::spawn_blocking(move || {
            let started = clock.monotonic_ms();
            let result = write_staged(staging, disk, device, cycle, &done)
                .map(|staging| (OpenedStaging(Some(staging)), clock.monotonic_ms() - started));
            drop(inputs.blocking_send(Input::Written(result)));
        });
    }
}

/// Staging for this change set, taken up where it is durable, and its digests where they are of use.
fn staging_for(
    disk: &Arc<dyn Disk>,
    spec: StagingSpec,
    applied: Option<Point>,
    kept: Option<Point>,
) -> Result<Landing, Refused> {
    let failed = |error: JournalError| convert::journal_failed(&error);
    let free = disk
        .free_bytes()
        .map_err(|error| convert::disk_failed(&error, Cause::MetadataFull))?;
    let log_spec = DigestLogSpec {
        id: spec.id,
        size_bytes: spec.size_bytes,
        rung: spec.rung,
    };
    let counts = spec.id.from.is_some() && spec.id.from == kept;
    let mut log = match counts {
        true => Some(DigestLog::create(disk.clone(), log_spec).map_err(failed)?),
        false => None,
    };
    let outcome =
        Staging::recover(
            disk.clone(),
            u64::MAX,
            applied,
            &mut |batch, digests| match &mut log {
                Some(log) => log.append(batch.through, &batch.regions, digests),
                None => Ok(()),
            },
        )
        .map_err(failed)?;
    let (found, whole) = match outcome {
        StagingOutcome::Nothing => (None, false),
        StagingOutcome::Open(staging) => (Some(staging), false),
        StagingOutcome::Whole(staging) => (Some(staging), true),
    };
    // One that is sealed already, but was never told to be whole, is sent anew: there is nothing to
    // append to it.
    if let Some(staging) = found
        && staging.spec() == spec
        && !whole
    {
        return Ok(Landing::Staging(staging, log.map(Box::new)));
    }
    if counts {
        log = Some(DigestLog::create(disk.clone(), log_spec).map_err(failed)?);
    }
    let limit = free.saturating_sub(STAGING_LEAVES_FREE);
    let staging = Staging::create(disk.clone(), spec, limit).map_err(failed)?;
    Ok(Landing::Staging(Box::new(staging), log.map(Box::new)))
}

fn write_staged(
    staging: Option<Box<Staging>>,
    disk: Arc<dyn Disk>,
    device: Arc<dyn BlockFile>,
    cycle: Point,
    done: &AtomicU64,
) -> Result<Box<Staging>, Refused> {
    let staging = match staging {
        Some(staging) => staging,
        None => match Staging::recover(disk, u64::MAX, None, &mut |_, _| Ok(())) {
            Ok(StagingOutcome::Whole(staging)) => staging,
            Ok(_) => {
                return Err(Refused::new(
                    Cause::Corrupt,
                    format!(
                        "the staged set of cut {cycle} is not whole any more: a full copy is needed"
                    ),
                ));
            }
            Err(error) => return Err(convert::journal_failed(&error)),
        },
    };
    if staging.spec().id.cycle != cycle {
        return Err(Refused::new(
            Cause::Corrupt,
            format!(
                "cut {} lies in staging, not {cycle}",
                staging.spec().id.cycle
            ),
        ));
    }
    apply::apply(device, &staging, done)?;
    Ok(staging)
}
