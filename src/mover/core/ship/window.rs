//! How much may be under way: what was sent but is not yet durable at the target.

use std::collections::VecDeque;

use protocol::changes::Limits;

/// The window of one connection.
#[derive(Debug)]
pub struct Window {
    /// Batches under way: up to which byte of the volume, and bytes of data sent by then.
    batches: VecDeque<(u64, u64)>,
    sent: u64,
    durable: u64,
    limit: u64,
}

impl Window {
    /// A window that closes once as many bytes of data are under way as `limits` says.
    #[must_use]
    pub fn new(limits: Limits) -> Window {
        Window {
            batches: VecDeque::new(),
            sent: 0,
            durable: 0,
            limit: limits.in_flight_bytes(),
        }
    }

    /// Whether another batch may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sent - self.durable < self.limit
    }

    /// Notes a batch that is about to be sent: `bytes` of data, ending at byte `through`.
    pub fn sent(&mut self, through: u64, bytes: u64) {
        self.sent += bytes;
        self.batches.push_back((through, self.sent));
    }

    /// Notes that everything below byte `through` of the volume is durable at the target.
    pub fn durable(&mut self, through: u64) {
        while let Some(&(end, sent)) = self.batches.front()
            && end <= through
        {
            self.durable = sent;
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_two_windows_are_under_way() {
        let limits = Limits::PRODUCT;
        let mut window = Window::new(limits);
        let mut sent = 0;
        while sent < limits.in_flight_bytes() {
            assert!(window.is_open());
            sent += 1 << 20;
            window.sent(sent, 1 << 20);
        }
        assert!(!window.is_open());
        window.durable((1 << 20) - 1);
        assert!(!window.is_open(), "part of a batch is none");
        window.durable(1 << 20);
        assert!(window.is_open());
    }
}
