//! What happened, one line an event.

/// A story that is recorded, or not.
#[derive(Default)]
pub(super) struct Story {
    recorded: bool,
    lines: Vec<String>,
}

impl Story {
    /// A story; `recorded` says whether it is recorded.
    pub(super) fn new(recorded: bool) -> Story {
        Story {
            recorded,
            lines: Vec::new(),
        }
    }

    /// Adds an event at a side; side 2 is the pair.
    pub(super) fn tell(&mut self, now: u64, side: usize, what: impl FnOnce() -> String) {
        if self.recorded {
            let name = ["east", "west", "pair"][side.min(2)];
            let (seconds, millis) = (now / 1000, now % 1000);
            self.lines
                .push(format!("{seconds:>6}.{millis:03}  {name}  {}", what()));
        }
    }

    /// The lines.
    pub(super) fn lines(self) -> Vec<String> {
        self.lines
    }
}
