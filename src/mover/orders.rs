//! From the operator's requests to the protocol's orders.

use std::sync::{Arc, PoisonError};

use crate::run::Mover;
use crate::source::list::ListFeed;
use crate::{convert, demote, promote};
use protocol::changes::BLOCK_BYTES;
use protocol::pair::record::Init;
use protocol::pair::side::Order;
use protocol::pair::source::Ship;
use protocol::pair::{Cause, Refused};
use protocol::units::{Extent, ImageState};
use storage::journal::SuperblockStore;
use wire::control::{ChangeList, InitOrder, Request, Response, ShipOrder, VerifyOrder};

impl Mover {
    /// Takes an order, or says why not.
    pub(super) fn order(&mut self, request: Request) -> Response {
        match self.try_order(request) {
            Ok(()) => Response::Accepted,
            Err(refused) => {
                tracing::info!(refused = %refused, "refused an order");
                Response::Refused(convert::refusal(&refused))
            }
        }
    }

    fn try_order(&mut self, request: Request) -> Result<(), Refused> {
        if let Request::Shutdown = request {
            return Ok(());
        }
        if let Request::SetBandwidth { bytes_per_second } = request {
            self.link.throttle.set(bytes_per_second);
            return Ok(());
        }
        if let Some(error) = self.superblock_error.clone()
            && !self.given_up(&request)?
        {
            return Err(Refused::new(Cause::SuperblockUnreadable, error.message));
        }
        let order = match request {
            Request::Init(init) => Order::Init(init_of(init)),
            Request::Ship(ship) => return self.ship(ship, None),
            Request::Verify(verify) => return self.verify(verify),
            Request::Receive(receive) => {
                self.needs_device(true)?;
                let actions = self.side.order(Order::Receive(receive.cycle))?;
                self.target.peer = Some(receive.peer_site);
                self.follow(actions);
                return Ok(());
            }
            Request::Commit { cycle } => Order::Commit(cycle),
            Request::Abort { reason } => Order::Abort(reason),
            Request::Promote(order) => {
                let image = self.side.record().map(|record| record.image);
                if matches!(image, Some(ImageState::Redo(_))) {
                    self.needs_device(true)?;
                }
                Order::Promote(promote::order_of(order))
            }
            Request::Demote(order) => Order::Demote(demote::order_of(order)),
            Request::Status { .. }
            | Request::Extents(_)
            | Request::ExtentsFailed { .. }
            | Request::SetBandwidth { .. }
            | Request::Shutdown => return Ok(()),
        };
        let actions = self.side.order(order)?;
        self.follow(actions);
        Ok(())
    }

    /// Whether the order gives up a superblock that can't be read: then the next one saved takes its
    /// place.
    fn given_up(&mut self, request: &Request) -> Result<bool, Refused> {
        if !matches!(request, Request::Init(init) if init.over_damage) {
            return Ok(false);
        }
        let store = SuperblockStore::over_damage(self.setup.disk.clone())
            .map_err(|error| convert::journal_failed(&error))?;
        tracing::warn!("a superblock that can't be read is given up by consent");
        self.store = Some(store);
        self.superblock_error = None;
        Ok(true)
    }

    /// A range is verified as a cut is shipped: the committed one, without any list.
    fn verify(&mut self, order: VerifyOrder) -> Result<(), Refused> {
        let range = blocks_around(order.range, self.setup.size());
        let ship = ShipOrder {
            cycle: order.cycle,
            peer: order.peer,
            peer_site: order.peer_site,
            changes: ChangeList::Nothing,
            changes_reason: String::new(),
            discard_consent: None,
            transfer: order.transfer,
        };
        let before = self.side.shipping();
        self.ship(ship, Some(range))?;
        if before.is_none() {
            self.source.read_rate = order.read_bytes_per_second;
        }
        Ok(())
    }

    fn ship(&mut self, order: ShipOrder, verify: Option<Extent>) -> Result<(), Refused> {
        self.needs_device(false)?;
        let kept = self.kept().map(|(point, _)| point);
        let before = self.side.shipping();
        let actions = self.side.order(Order::Ship(Ship {
            cycle: order.cycle,
            size: self.setup.size(),
            list: convert::list_of(order.changes),
            list_reason: order.changes_reason.clone(),
            kept,
            consent: order.discard_consent,
            verify,
        }))?;
        self.link.throttle.set(order.transfer.bytes_per_second);
        self.watch.stall_ms = order.transfer.stall_timeout_ms.max(1);
        if before.is_none() {
            let (feed, list) = match order.changes {
                ChangeList::Nothing => (None, None),
                ChangeList::Delta { .. } | ChangeList::Allocated => {
                    let (feed, list) = ListFeed::new(order.cycle);
                    (Some(Arc::new(feed)), Some(list))
                }
            };
            *self
                .source
                .feed
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = feed;
            self.source.list = list;
            self.source.read_rate = None;
            self.source.order = Some(order);
        }
        self.follow(actions);
        Ok(())
    }

    fn needs_device(&mut self, writable: bool) -> Result<(), Refused> {
        match &self.setup.device {
            Some(device) if writable && device.is_poisoned() => {
                self.ending = true;
                Err(Refused::new(
                    Cause::TargetWriteError,
                    "a flush of the volume failed, so it has to be opened anew: this mover ends, and the \
                     next one does",
                ))
            }
            None => Err(Refused::new(
                Cause::OutOfOrder,
                "this mover was started without a device: start one with --device",
            )),
            Some(_) if writable && self.setup.read_only => Err(Refused::new(
                Cause::OutOfOrder,
                "this mover may only read its device: start one without --read-only",
            )),
            Some(_) => Ok(()),
        }
    }
}

/// The whole blocks that `range` touches of a volume of `size` bytes.
fn blocks_around(range: Extent, size: u64) -> Extent {
    let start = range.offset / BLOCK_BYTES * BLOCK_BYTES;
    let end = range.offset.saturating_add(range.len);
    let end = end.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES);
    Extent::new(start, end.min(size).saturating_sub(start))
}

fn init_of(order: InitOrder) -> Init {
    Init {
        pair_id: order.pair_id,
        role: order.role,
        epoch: order.epoch,
        generation: order.generation,
        start: order.start,
        never_writable: order.never_writable,
        wish: order.wish,
    }
}
