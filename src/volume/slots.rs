//! Part C's throttle valve: at most so many batches are open at once, and each place is given back
//! exactly once, however its batch ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::seam::Clock;
use crate::units::Extent;

/// What an open slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Waiting for its part of the list of changes.
    Planning,
    /// Its ranges are being read.
    Reading,
    /// Its batch waits for the ones before it.
    Ready,
    /// Its batch was handed out and is being sent.
    Sending,
}

/// An open slot, for a watchdog's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSlot {
    /// The slot.
    pub slot: u64,
    /// What it is doing.
    pub state: SlotState,
    /// From the first to the last byte that it covers; empty while planning.
    pub span: Extent,
    /// Since when, in milliseconds on the monotonic clock.
    pub since_ms: u64,
}

/// The valve.
pub(super) struct Slots {
    clock: Arc<dyn Clock>,
    limit: usize,
    inner: Mutex<Inner>,
    freed: Condvar,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<u64, OpenSlot>,
    next: u64,
    started: u64,
    finished: u64,
    closed: bool,
}

/// A place in the window; dropping it gives the place back.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    pub(super) fn new(limit: usize, clock: Arc<dyn Clock>) -> Arc<Slots> {
        Arc::new(Slots {
            clock,
            limit,
            inner: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// Waits for a place; `None` once the valve is closed.
    pub(super) fn take(self: &Arc<Slots>) -> Option<Slot> {
        let mut inner = self.lock();
        while inner.open.len() >= self.limit && !inner.closed {
            inner = self
                .freed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if inner.closed {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        let slot = OpenSlot {
            slot: number,
            state: SlotState::Planning,
            span: Extent::new(0, 0),
            since_ms: self.clock.monotonic_ms(),
        };
        inner.open.insert(number, slot);
        Some(Slot {
            slots: self.clone(),
            number,
        })
    }

    /// Gives no more places; those that are open stay open until they are dropped.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_all();
    }

    /// The open places, oldest first.
    pub(super) fn open(&self) -> Vec<OpenSlot> {
        self.lock().open.values().copied().collect()
    }

    /// How many places were used for reading, and how many of those were given back.
    pub(super) fn started_finished(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.started, inner.finished)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn enter(&self, state: SlotState, span: Option<Extent>) {
        let now = self.slots.clock.monotonic_ms();
        let inner = &mut *self.slots.lock();
        if let Some(open) = inner.open.get_mut(&self.number) {
            if open.state == SlotState::Planning {
                inner.started += 1;
            }
            open.state = state;
            open.since_ms = now;
            open.span = span.unwrap_or(open.span);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.slots.lock();
        if let Some(open) = inner.open.remove(&self.number)
            && open.state != SlotState::Planning
        {
            inner.finished += 1;
        }
        drop(inner);
        self.slots.freed.notify_one();
    }
}
