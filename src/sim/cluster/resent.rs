//! What a resumed attempt sends again: nothing that the standby has reported durable.

use std::mem::{Discriminant, discriminant};

use crate::cluster::world::{SITES, World};
use protocol::changes::CycleId;
use protocol::pair::change_plan::Compare;
use protocol::units::{ChangeSource, Point};
use wire::control::{ChangeList, Request};

/// What is followed of the change sets that the sides send.
#[derive(Default)]
pub(crate) struct Resent {
    /// What each side is sending.
    sent: [Option<Sent>; 2],
    /// The cut of which anything may be sent again, for a good reason.
    excused: Option<Point>,
    /// What each side was asked to ship last, and by which kind of list.
    asked: [Option<(Point, Discriminant<ChangeList>)>; 2],
}

/// A change set as far as it was sent, over all its attempts.
struct Sent {
    link: u64,
    id: CycleId,
    change_source: ChangeSource,
    compare: Compare,
    /// Everything below this byte of the volume is durable at the standby, by its own word.
    durable: u64,
    /// What was staged may be of no use, for a good reason.
    excused: bool,
}

impl Resent {
    /// What this side sends from now on is another set, even where it is of the same cut.
    pub(crate) fn begins_again(&mut self, at: usize) {
        self.sent[at] = None;
    }

    /// A side is asked for something. A cut that is to be shipped by another kind of list becomes another
    /// set, whether anything of that is seen to be sent or not.
    pub(crate) fn requested(&mut self, at: usize, request: &Request) {
        if let Request::Ship(ship) = request {
            let asked = Some((ship.cycle, discriminant(&ship.changes)));
            if self.asked[at] != asked {
                self.begins_again(at);
            }
            self.asked[at] = asked;
        }
    }
}

impl World {
    /// A standby may have lost what it had staged, or a primary may find other changes from now on, for a
    /// good reason.
    pub(crate) fn staged_may_be_lost(&mut self) {
        let cycle = self.status().cycle.as_ref();
        let cycle = cycle.map(|cycle| cycle.point.point());
        self.resent.excused = cycle.or(self.resent.excused);
        for sent in self.resent.sent.iter_mut().flatten() {
            sent.excused = true;
        }
    }

    /// Follows what the sides send.
    ///
    /// # Errors
    /// When something is sent again that was durable.
    pub(crate) fn follow_shipments(&mut self) -> Result<(), String> {
        (0..2).try_for_each(|at| self.follow_shipment(at))
    }

    fn follow_shipment(&mut self, at: usize) -> Result<(), String> {
        let Some(shipping) = self.movers[at]
            .as_ref()
            .and_then(|mover| mover.host.shipping.as_ref())
        else {
            return Ok(());
        };
        let (id, link) = (shipping.work.id, shipping.work.link);
        let (change_source, compare) = shipping.way();
        // What comes by another change source is another set: staging begins from scratch.
        let same = |sent: &Sent| sent.id == id && sent.change_source == change_source;
        let mut sent = self.resent.sent[at].take().filter(same).unwrap_or(Sent {
            link,
            id,
            change_source,
            compare,
            durable: 0,
            excused: false,
        });
        // Compared with something else, or after a list that broke, other blocks count as changed, and
        // the sums differ at the end; so they do where what the standby compares with has rotted. A full
        // standby throws away what it has no room for. And an end that overtakes the last batch is the
        // end of something else.
        let standby = 1 - at;
        sent.excused |= sent.compare != compare || shipping.fell_back;
        sent.excused |= compare == Compare::Standby && !self.oracle.rotten[standby].is_empty();
        sent.excused |= self.data.full[standby];
        sent.excused |= std::mem::take(&mut self.net.overtaken);
        sent.excused |= self.resent.excused == Some(id.cycle);
        let from = shipping.work.resume_at;
        if sent.link != link && from < sent.durable && !sent.excused {
            return Err(format!(
                "{}: cut {} is sent again from byte {from}, though everything below byte {} is durable",
                SITES[at], id.cycle, sent.durable
            ));
        }
        (sent.link, sent.compare) = (link, compare);
        sent.durable = sent.durable.max(from).max(shipping.durable_through);
        self.resent.sent[at] = Some(sent);
        Ok(())
    }
}
