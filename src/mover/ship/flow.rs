//! The window as threads wait at it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mover_core::ship::window::Window;
use protocol::changes::Limits;

/// How long to wait before looking whether the cycle was stopped.
const RECHECK_AFTER: Duration = Duration::from_millis(100);

/// The window of one connection, shared between threads.
#[derive(Debug, Default)]
pub struct Flow {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    window: Window,
    stopped: bool,
}

impl Default for State {
    fn default() -> State {
        State {
            window: Window::new(Limits::PRODUCT),
            stopped: false,
        }
    }
}

impl Flow {
    /// Waits until another batch may be sent; false when the cycle was stopped.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut state = self.lock();
        while !state.stopped && !state.window.is_open() {
            state = self
                .moved
                .wait_timeout(state, RECHECK_AFTER)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        !state.stopped
    }

    /// Notes a batch that is about to be sent: `bytes` of data, ending at byte `through`.
    pub fn sent(&self, through: u64, bytes: u64) {
        self.lock().window.sent(through, bytes);
    }

    /// Notes that everything below byte `through` of the volume is durable at the target.
    pub fn durable(&self, through: u64) {
        self.lock().window.durable(through);
        self.moved.notify_all();
    }

    /// Releases whoever waits, without a grant.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_waits_at_a_full_window_goes_on_once_it_opens_or_is_stopped() {
        let flow = Arc::new(Flow::default());
        flow.sent(1, Limits::PRODUCT.in_flight_bytes());
        let waiting = {
            let flow = flow.clone();
            std::thread::spawn(move || flow.wait())
        };
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        flow.durable(1);
        assert!(waiting.join().unwrap());
        flow.stop();
        assert!(!flow.wait());
    }
}
