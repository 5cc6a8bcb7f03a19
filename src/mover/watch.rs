//! Looking at counters: for status, for the stall time-out, and to tell the peer that this side is
//! still getting somewhere.

use std::sync::atomic::Ordering;

use crate::convert;
use crate::run::Mover;
use protocol::pair::side::Event;
use protocol::pair::target;
use protocol::pair::{Cause, Refused};
use wire::Message;
use wire::control::Activity;

/// How often a side that gets somewhere tells its peer, in milliseconds.
const TELL_MS: u64 = 1000;

/// A target lets go of a source that it has not heard of for this long, in milliseconds. A source
/// that is only slow tells of itself every second.
const SOURCE_SILENT_MS: u64 = 60_000;

impl Mover {
    /// Looks at the counters, once a tick.
    pub(super) fn look_at_counters(&mut self) {
        self.note_counters();
        let now = self.setup.clock.monotonic_ms();
        let moved = self.moved();
        if moved != self.watch.seen {
            self.watch.seen = moved;
            self.watch.moved_ms = now;
        }
        self.tell_peer(now);
        let still_ms = now.saturating_sub(self.watch.moved_ms);
        if self.side.shipping().is_some() && still_ms >= self.watch.stall_ms {
            self.watch.moved_ms = now;
            self.fail(Refused::new(
                Cause::Stalled,
                format!("nothing has moved for {still_ms} ms"),
            ));
        } else if self.link.link.is_some()
            && self.side.receiving().is_some()
            && !self.target.applying
            && still_ms >= SOURCE_SILENT_MS
        {
            self.watch.moved_ms = now;
            self.link.link = None;
            let why = format!("the source was silent for {still_ms} ms");
            self.feed(Event::Target(target::Event::LinkLost(why)));
        }
    }

    /// Everything that rises while this side gets somewhere.
    fn moved(&self) -> u64 {
        self.own_work() + self.watch.words
    }

    /// What rises while this side itself works.
    fn own_work(&self) -> u64 {
        let mut sum = self.target.applied_bytes.load(Ordering::Relaxed);
        if let Some(shipment) = &self.source.shipment {
            let count = &shipment.count;
            for counter in [&count.read, &count.looked, &count.data, &count.zero] {
                sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        if let Some(receiving) = &self.target.receiving {
            let count = &receiving.count;
            for counter in [&count.through, &count.data, &count.zero] {
                sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sum
    }

    fn tell_peer(&mut self, now: u64) {
        if now.saturating_sub(self.watch.told_ms) < TELL_MS {
            return;
        }
        let work = self.own_work();
        if work == self.watch.told {
            return;
        }
        self.watch.told = work;
        self.watch.told_ms = now;
        if let Some(link) = &self.link.link {
            // Where so much waits to be said, the peer hears enough.
            drop(link.words().try_send(Message::Ping(now)));
        }
    }

    /// Takes over what threads and the link have counted.
    pub(super) fn note_counters(&mut self) {
        let Some(track) = &mut self.track else {
            return;
        };
        if let Some(link) = &self.link.link {
            track.wired(&link.count);
        }
        if let Some(shipment) = &self.source.shipment {
            track.shipped(&shipment.count);
        }
        if let Some(receiving) = &self.target.receiving {
            track.received(&receiving.count);
        }
    }

    /// Shows what has changed.
    pub(super) fn show(&self) {
        let mut status = self.board.current();
        status.superblock = self.side.record().map(convert::report_of);
        status.superblock_error.clone_from(&self.superblock_error);
        status.device_bytes = self.setup.device.as_ref().map(|device| device.size());
        status.activity = self.activity();
        let now = self.setup.clock.monotonic_ms();
        status.progress = self.track.as_ref().map(|track| track.progress(now));
        status.decision = self.track.as_ref().and_then(|track| track.decision.clone());
        status.rung = self.track.as_ref().and_then(|track| track.rung.clone());
        status.last.clone_from(&self.last);
        self.board.show(status);
    }

    fn activity(&self) -> Activity {
        if let Some(epoch) = self.side.promoting() {
            return Activity::Promoting(epoch);
        }
        if let Some(cycle) = self.side.shipping() {
            return Activity::Shipping(cycle);
        }
        match self.side.receiving() {
            Some(cycle) => Activity::Receiving(cycle),
            None => Activity::Idle,
        }
    }
}
