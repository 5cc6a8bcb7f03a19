//! Opening staging (or the volume, for a first copy), and writing staged sets to the volume.

use crate::convert;
use crate::run::{Input, Mover, OpenedLanding, OpenedStaging};
use crate::target::apply::{APPLY_THREADS, write_staged};
use crate::target::in_place::InPlace;
use crate::target::receive::Landing;
use crate::target::staging::staging_for;
use protocol::pair::message::Begin;
use protocol::units::Point;
use storage::journal::StagingSpec;
use storage::volume::Applier;

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
            let applier = Applier::start(device.clone(), APPLY_THREADS);
            let result = InPlace::open(device, applier, disk, id, size, rung)
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
            let applier = Applier::start(device, APPLY_THREADS);
            let result = write_staged(staging, disk, &applier, cycle, &done)
                .map(|staging| (OpenedStaging(Some(staging)), clock.monotonic_ms() - started));
            drop(inputs.blocking_send(Input::Written(result)));
        });
    }
}
