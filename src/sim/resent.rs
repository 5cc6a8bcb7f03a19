//! What is sent again after an attempt that failed: bounded by two windows, however large the cycle is.

use crate::world::World;
use protocol::changes::CycleId;
use protocol::pair::change_plan::Compare;
use protocol::units::ChangeSource;

/// A change set as far as it was sent, over all its attempts.
pub(super) struct Sent {
    link: u64,
    id: CycleId,
    way: (ChangeSource, Compare),
    /// What was staged may be of no use, for a good reason.
    excused: bool,
    /// Up to which byte of the volume, and how many bytes of data by then.
    batches: Vec<(u64, u64)>,
}

impl Sent {
    fn total(&self) -> u64 {
        self.batches.last().map_or(0, |(_, bytes)| *bytes)
    }

    fn goes_on_at(&mut self, from: u64) -> u64 {
        let before = self.total();
        self.batches.retain(|(through, _)| *through <= from);
        before - self.total()
    }
}

impl World {
    /// The standby may have lost what it had staged, or the primary may find other changes from now
    /// on, for a good reason.
    pub(super) fn staged_may_be_lost(&mut self) {
        self.oracle.excused = self.operator.cycle.map(|cycle| cycle.point);
    }

    /// Follows what the primary sends.
    ///
    /// # Errors
    /// When more is sent again than may be.
    pub(super) fn follow_shipment(&mut self) -> Result<(), String> {
        let Some((_, process)) = &self.sites[self.operator.primary].process else {
            return Ok(());
        };
        let Some(shipping) = &process.shipping else {
            return Ok(());
        };
        let (link, id, way) = (shipping.work.link, shipping.work.id, shipping.way());
        let known = self.oracle.sent.take().filter(|sent| sent.id == id);
        let mut sent = known.unwrap_or(Sent {
            link,
            id,
            way,
            excused: false,
            batches: Vec::new(),
        });
        // Another way finds the same changes in other pieces, or more of them: what is staged may be of
        // no use to it.
        sent.excused |= sent.way != way;
        sent.way = way;
        let again = match sent.link == link {
            true => 0,
            false => sent.goes_on_at(shipping.work.resume_at),
        };
        // What follows a broken list is another set than the list's. A full standby throws away what it
        // has no room for. And an end that overtakes the last batch is the end of something else.
        let full = self.sites[1 - self.operator.primary].full;
        sent.excused |= shipping.fell_back || full || std::mem::take(&mut self.net.overtaken);
        sent.excused |= self.oracle.excused == Some(id.cycle);
        let limits = self.settings.limits;
        let bound = limits.in_flight_bytes() + limits.batch_bytes as u64;
        if again > bound && !sent.excused {
            return Err(format!("{again} bytes of {} are sent again", id.cycle));
        }
        sent.link = link;
        if let Some((through, bytes)) = shipping.last_batch {
            let last = sent.batches.last().copied().unwrap_or_default();
            if through > last.0 {
                sent.batches.push((through, last.1 + bytes));
            }
        }
        self.oracle.sent = Some(sent);
        Ok(())
    }
}
