//! What a resumed attempt sends again: nothing that the target has reported durable.

use crate::world::World;
use protocol::changes::CycleId;
use protocol::pair::change_plan::Compare;
use protocol::units::ChangeSource;

/// A change set as far as it was sent, over all its attempts.
pub(super) struct Sent {
    link: u64,
    id: CycleId,
    change_source: ChangeSource,
    compare: Compare,
    /// Everything below this byte of the volume is durable at the target, by its own word.
    durable: u64,
    /// What was staged may be of no use, for a good reason.
    excused: bool,
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
    /// When something is sent again that was durable.
    pub(super) fn follow_shipment(&mut self) -> Result<(), String> {
        let Some((_, process)) = &self.sites[self.operator.primary].process else {
            return Ok(());
        };
        let Some(shipping) = &process.shipping else {
            return Ok(());
        };
        let (id, link) = (shipping.work.id, shipping.work.link);
        let (change_source, compare) = shipping.way();
        // What comes by another change source is another set: staging begins from scratch.
        let same = |sent: &Sent| sent.id == id && sent.change_source == change_source;
        let mut sent = self.oracle.sent.take().filter(same).unwrap_or(Sent {
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
        sent.excused |= sent.compare != compare || shipping.fell_back;
        let standby = 1 - self.operator.primary;
        sent.excused |= compare == Compare::Standby && !self.oracle.rotten(standby).is_empty();
        sent.excused |= self.sites[standby].full;
        sent.excused |= std::mem::take(&mut self.net.overtaken);
        sent.excused |= self.oracle.excused == Some(id.cycle);
        let from = shipping.work.resume_at;
        if sent.link != link && from < sent.durable && !sent.excused {
            return Err(format!(
                "cut {} is sent again from byte {from}, though everything below byte {} is durable",
                id.cycle, sent.durable
            ));
        }
        (sent.link, sent.compare) = (link, compare);
        sent.durable = sent.durable.max(from).max(shipping.durable_through);
        self.oracle.sent = Some(sent);
        Ok(())
    }
}
