//! Sees to it that nothing hangs unnoticed: reads counters, times out, and lets the peer know that
//! this side still makes progress.

use crate::effect::Effect;
use crate::machine::Core;
use protocol::pair::side::Event;
use protocol::pair::target;
use protocol::pair::{Cause, Refused};
use wire::Message;

/// How often a side that makes progress lets its peer know, in milliseconds.
const REPORT_MS: u64 = 1000;

/// A target lets go of a source that it has received nothing from for this long, in milliseconds. A source
/// that is only slow lets it know every second.
const SOURCE_SILENT_MS: u64 = 60_000;

/// Work that was asked to stop and has not after so many milliseconds, because a device does not
/// answer, ends the process: only then is it certain that nothing of it is still written.
const STOPPING_MS_MAX: u64 = 120_000;

/// What the watchdog remembers.
#[derive(Debug)]
pub(super) struct Watch {
    /// The counters' total when it last changed, and when that was, in milliseconds.
    seen: u64,
    pub(super) moved_ms: u64,
    /// Messages heard from the peer.
    pub(super) heard: u64,
    /// The counters' total when the peer last got a message, and when that was.
    reported: u64,
    reported_ms: u64,
    /// The attempt fails when nothing has moved for this long, in milliseconds.
    pub(super) stall_ms: u64,
}

impl Watch {
    /// A watchdog that begins at `now_ms`.
    pub(super) fn new(now_ms: u64) -> Watch {
        Watch {
            seen: 0,
            moved_ms: now_ms,
            heard: 0,
            reported: 0,
            reported_ms: now_ms,
            stall_ms: u64::MAX,
        }
    }
}

impl Core {
    /// Reads the counters, once a tick.
    pub(super) fn watch_counters(&mut self) {
        let now = self.at.now_ms;
        let moved = self.own_work().wrapping_add(self.watch.heard);
        if moved != self.watch.seen {
            self.watch.seen = moved;
            self.watch.moved_ms = now;
        }
        self.report_life();
        let still_ms = now.saturating_sub(self.watch.moved_ms);
        if self.side.shipping().is_some() && still_ms >= self.watch.stall_ms {
            self.watch.moved_ms = now;
            self.fail(Refused::new(
                Cause::Stalled,
                format!("nothing has moved for {still_ms} ms"),
            ));
        } else if self.link.link.is_some()
            && self.side.receiving().is_some()
            && !self.lane.applies()
            && still_ms >= SOURCE_SILENT_MS
        {
            self.watch.moved_ms = now;
            self.hang_up();
            let why = format!("the source was silent for {still_ms} ms");
            self.feed(Event::Target(target::Event::LinkLost(why)));
        }
        if let Some(ms) = self
            .lane
            .stopping_for(now)
            .filter(|ms| *ms >= STOPPING_MS_MAX)
        {
            let why = format!("a device has not answered for {ms} ms");
            self.effect(Effect::Exit(Err(why)));
        }
    }

    /// Takes over what links and work have counted.
    pub(super) fn note_counters(&mut self) {
        let counters = self.at.counters;
        let (ships, receives) = (self.lane.shipping(), self.lane.receiving());
        let Some(track) = &mut self.track else {
            return;
        };
        if self.link.link.is_some() {
            track.wired(counters.wire);
        }
        if ships.is_some() {
            track.shipped(&counters.ship);
        }
        if receives.is_some() {
            track.received(&counters.receive);
        }
    }

    /// What rises while this side itself works.
    fn own_work(&self) -> u64 {
        let counters = self.at.counters;
        // A batch that takes long is life while it is under way, and the peer hears of it (D-12).
        let mut total = counters.applied.wrapping_add(counters.read_back);
        total = total.wrapping_add(counters.data_received);
        if self.lane.shipping().is_some() {
            let ship = counters.ship;
            total = total.wrapping_add(ship.read + ship.looked + ship.data + ship.zero);
        }
        if self.lane.receiving().is_some() {
            let receive = counters.receive;
            total = total.wrapping_add(receive.through + receive.data + receive.zero);
        }
        total
    }

    fn report_life(&mut self) {
        let now = self.at.now_ms;
        if now.saturating_sub(self.watch.reported_ms) < REPORT_MS {
            return;
        }
        let work = self.own_work();
        if work == self.watch.reported {
            return;
        }
        self.watch.reported = work;
        self.watch.reported_ms = now;
        if let Some(link) = self.link.link {
            self.effect(Effect::Send(link, Message::Ping(now)));
        }
    }
}
