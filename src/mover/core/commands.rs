//! What a request of the operator leads to.

use crate::effect::Effect;
use crate::input::RequestId;
use crate::machine::Core;
use crate::mutations::Rule;
use crate::translate;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::side::Command;
use protocol::pair::source::Ship;
use protocol::pair::{Cause, Refused};
use protocol::units::{Extent, ImageState, Point};
use wire::control::{ChangeList, Request, Response, ShipRequest, VerifyRequest};

impl Core {
    /// Handles a request. The answer follows everything that the request makes durable, and the
    /// commit of digests that it leads to; it waits for nothing else.
    pub(super) fn request(&mut self, id: RequestId, request: Request) {
        let shutdown = request == Request::Shutdown;
        self.committing = None;
        let asked = request.clone();
        let response = match self.handle(request) {
            Ok(()) => match self.waits_for_the_volume(&asked) {
                Some(epoch) => return self.target.promotions.push((id, epoch)),
                None => Response::Accepted,
            },
            Err(refused) => {
                tracing::info!(refused = %refused, "refused a request");
                Response::Refused(translate::refusal(&refused))
            }
        };
        match self.committing.take() {
            Some(number) => drop(self.replies.insert(number, (id, response))),
            None => self.reply(id, response),
        }
        self.ending |= shutdown;
    }

    /// Answers, after what has changed is shown.
    pub(super) fn reply(&mut self, id: RequestId, response: Response) {
        self.show();
        self.effect(Effect::Reply(id, response));
    }

    fn handle(&mut self, request: Request) -> Result<(), Refused> {
        match request {
            Request::Shutdown => return Ok(()),
            Request::SetBandwidth { bytes_per_second } => {
                self.effect(Effect::SetBandwidth(bytes_per_second));
                return Ok(());
            }
            _ => self.usable(&request)?,
        }
        let request = match request {
            Request::Init(init) => Command::Init(translate::init_of(init)),
            Request::Ship(ship) => return self.ship(ship, None),
            Request::Verify(verify) => return self.verify(verify),
            Request::Receive(receive) => {
                self.needs_device(true)?;
                let actions = self.side.command(Command::Receive(receive.cycle))?;
                self.target.peer = Some(receive.peer_site);
                self.follow(actions);
                return Ok(());
            }
            Request::Commit { cycle } => Command::Commit(cycle),
            Request::Abort { reason } => Command::Abort(reason),
            Request::Promote(promote) => {
                let image = self.side.record().map(|record| record.image);
                if matches!(image, Some(ImageState::Redo(_))) {
                    self.needs_device(true)?;
                }
                Command::Promote(translate::promote_of(promote))
            }
            Request::Demote(demote) => Command::Demote(translate::demote_of(demote)),
            // Whoever serves the connection answers these.
            Request::Status { .. }
            | Request::Extents(_)
            | Request::ExtentsFailed { .. }
            | Request::SetBandwidth { .. }
            | Request::Shutdown => return Ok(()),
        };
        let request = self
            .config
            .rules
            .mutate_request(self.side.record(), request);
        let actions = self.side.command(request)?;
        self.follow(actions);
        Ok(())
    }

    /// Nothing is done over a superblock that can't be used, unless the request says, by consent, that
    /// it is discarded: then the next one saved takes its place.
    fn usable(&mut self, request: &Request) -> Result<(), Refused> {
        let Some(unusable) = &self.unusable else {
            return Ok(());
        };
        let consented = matches!(request, Request::Init(init) if init.over_damage);
        if !(consented && unusable.discardable) {
            let message = unusable.refusal.message.clone();
            return Err(Refused::new(Cause::SuperblockUnreadable, message));
        }
        tracing::warn!("a superblock that can't be read is discarded by consent");
        self.unusable = None;
        self.over_damage = true;
        Ok(())
    }

    /// A range is verified as a cut is shipped: the committed one, without any list.
    fn verify(&mut self, request: VerifyRequest) -> Result<(), Refused> {
        let range = blocks_around(request.range, self.size());
        let ship = ShipRequest {
            cycle: request.cycle,
            peer: request.peer,
            peer_site: request.peer_site,
            changes: ChangeList::Nothing,
            changes_reason: String::new(),
            discard_consent: None,
            image: None,
            transfer: request.transfer,
        };
        let before = self.side.shipping();
        self.ship(ship, Some(range))?;
        if before.is_none() {
            self.source.read_rate = request.read_bytes_per_second;
        }
        Ok(())
    }

    fn ship(&mut self, request: ShipRequest, verify: Option<Extent>) -> Result<(), Refused> {
        self.needs_device(false)?;
        let wrong_image = match verify {
            None => self
                .shrunk(request.cycle)
                .or_else(|| self.no_image(&request)),
            Some(_) => None,
        };
        let before = self.side.shipping();
        self.by_the_same_list(before, &request)?;
        let ship = Command::Ship(Ship {
            cycle: request.cycle,
            size: self.size(),
            list: translate::list_of(request.changes),
            list_reason: request.changes_reason.clone(),
            kept: self.kept,
            consent: request.discard_consent,
            verify,
        });
        let ship = self.config.rules.mutate_request(self.side.record(), ship);
        let actions = self.side.command(ship)?;
        self.effect(Effect::SetBandwidth(request.transfer.bytes_per_second));
        self.watch.stall_ms = request.transfer.stall_timeout_ms.max(1);
        if before.is_none() {
            self.effect(match request.changes {
                ChangeList::Nothing => Effect::DropList,
                list => Effect::ExpectList(request.cycle, list),
            });
            self.source.kept = self.kept;
            self.source.read_rate = None;
            self.source.differing = None;
            self.source.request = Some(request);
        }
        self.follow(actions);
        if let Some(refused) = wrong_image.filter(|_| before.is_none()) {
            self.fail(refused);
        }
        Ok(())
    }

    /// A request that is repeated goes on with the list that was announced first: parts of two lists of one
    /// cut would leave out what neither names. Who has another list aborts first.
    fn by_the_same_list(
        &self,
        before: Option<Point>,
        request: &ShipRequest,
    ) -> Result<(), Refused> {
        let announced = self.source.request.as_ref().map(|request| request.changes);
        if before == Some(request.cycle) && announced.is_some_and(|list| list != request.changes) {
            let why = format!(
                "{} is being shipped by another list of changes",
                request.cycle
            );
            return Err(Refused::new(Cause::OutOfOrder, why));
        }
        Ok(())
    }

    /// A clone of a cut may be cut short, and then would replace what is past its end by nothing (D-5).
    fn shrunk(&self, cycle: Point) -> Option<Refused> {
        let (size, known) = (
            self.size(),
            self.superblock.as_ref().map_or(0, |s| s.size_bytes),
        );
        if size >= known || self.config.rules.breaks(Rule::ShortSourceShipped) {
            return None;
        }
        Some(Refused::new(
            Cause::SourceShrunk,
            format!(
                "the device of cut {cycle} has {size} bytes, but the volume had {known}: a volume never \
                 shrinks, so this is not its image; check what the storage made of the snapshot"
            ),
        ))
    }

    /// Drivers whose snapshots are archives or directories make of a cut what only looks like a volume.
    /// That is found before anything is committed; later cuts come from the same driver (D-16).
    fn no_image(&self, request: &ShipRequest) -> Option<Refused> {
        let committed = self.side.record().and_then(|record| record.committed);
        let image = request.image.filter(|_| committed.is_none())?;
        let size = self.size();
        let wrong = if size < image.bytes {
            format!("has {size} bytes, but the volume {}", image.bytes)
        } else if image.file_system && !self.config.file_system {
            "does not begin with a file system, but the claim has one".into()
        } else {
            return None;
        };
        Some(Refused::new(
            Cause::NotABlockImage,
            format!(
                "the device made from the snapshot of cut {} {wrong}: a driver whose snapshots are archives \
                 or directories can't be replicated; a volume that nothing has used yet has no file system \
                 until its application starts",
                request.cycle
            ),
        ))
    }

    fn needs_device(&mut self, writable: bool) -> Result<(), Refused> {
        match self.config.device_bytes {
            Some(_) if writable && self.at.device_poisoned => {
                self.ending = true;
                Err(Refused::new(
                    Cause::TargetWriteError,
                    "a flush of the volume failed, so it has to be opened again: this mover ends, and \
                     the next one does",
                ))
            }
            None => Err(Refused::new(
                Cause::OutOfOrder,
                "this mover was started without a device: start one with --device",
            )),
            Some(_) if writable && self.config.read_only => Err(Refused::new(
                Cause::OutOfOrder,
                "this mover may only read its device: start one without --read-only",
            )),
            Some(_) => Ok(()),
        }
    }
}

/// The complete blocks that `range` touches of a volume of `size` bytes.
fn blocks_around(range: Extent, size: u64) -> Extent {
    let start = range.offset / BLOCK_BYTES * BLOCK_BYTES;
    let end = range.offset.saturating_add(range.len);
    let end = end.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES);
    Extent::new(start, end.min(size).saturating_sub(start))
}
