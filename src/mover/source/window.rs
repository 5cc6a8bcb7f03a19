//! How much may be under way: what was sent but is not yet durable at the target.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use wire::{WINDOW_BYTES, WINDOWS_IN_FLIGHT_MAX};

/// How long to wait before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The window of one connection.
#[derive(Debug, Default)]
pub struct Window {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Batches under way: up to which byte of the volume, and bytes of data sent by then.
    batches: VecDeque<(u64, u64)>,
    sent: u64,
    durable: u64,
    stopped: bool,
}

impl Window {
    /// Waits until another batch may be sent; false when the cycle was stopped.
    #[must_use]
    pub fn wait(&self) -> bool {
        let limit = WINDOW_BYTES * WINDOWS_IN_FLIGHT_MAX;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.stopped && state.sent - state.durable >= limit {
            state = self
                .moved
                .wait_timeout(state, LOOK_AGAIN)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        !state.stopped
    }

    /// Notes a batch that is about to be sent: `bytes` of data, ending at byte `through`.
    pub fn sent(&self, through: u64, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sent += bytes;
        let sent = state.sent;
        state.batches.push_back((through, sent));
    }

    /// Notes that everything below byte `through` of the volume is durable at the target.
    pub fn durable(&self, through: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(end, sent)) = state.batches.front()
            && end <= through
        {
            state.durable = sent;
            state.batches.pop_front();
        }
        self.moved.notify_all();
    }

    /// Lets whoever waits go, in vain.
    pub fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn no_more_than_two_windows_are_under_way() {
        let window = Arc::new(Window::default());
        let mut sent = 0;
        while sent < WINDOW_BYTES * WINDOWS_IN_FLIGHT_MAX {
            assert!(window.wait());
            sent += 1 << 20;
            window.sent(sent, 1 << 20);
        }
        let waiting = {
            let window = window.clone();
            std::thread::spawn(move || window.wait())
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        window.durable(1 << 20);
        assert!(waiting.join().unwrap());
        window.sent(sent + (1 << 20), 1 << 20);
        window.stop();
        assert!(!window.wait());
    }
}
