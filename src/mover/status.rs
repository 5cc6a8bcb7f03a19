//! What the mover shows of itself, and how operators wait for it to change.

use std::time::Duration;

use tokio::sync::watch;

use mover_core::blank_status;
use protocol::units::SiteName;
use wire::control::{MoverStatus, STATUS_WAIT_MAX_MS};

/// The one place where the status is written.
#[derive(Debug)]
pub struct StatusBoard {
    sender: watch::Sender<MoverStatus>,
}

/// The many places where it is read.
#[derive(Clone, Debug)]
pub struct StatusReader {
    receiver: watch::Receiver<MoverStatus>,
}

impl StatusBoard {
    /// A board that says that nothing is known and nothing is going on.
    #[must_use]
    pub fn new(site: SiteName) -> (StatusBoard, StatusReader) {
        let (sender, receiver) = watch::channel(blank_status(site));
        (StatusBoard { sender }, StatusReader { receiver })
    }

    /// Shows `status`. Its version is counted here and rises only when something else changed.
    pub fn show(&self, mut status: MoverStatus) {
        self.sender.send_if_modified(|shown| {
            status.version = shown.version;
            if *shown == status {
                return false;
            }
            status.version += 1;
            *shown = status.clone();
            true
        });
    }
}

impl StatusReader {
    /// The status as soon as its version is above `after`, or what there is after `wait_ms`
    /// milliseconds, at most [`STATUS_WAIT_MAX_MS`].
    pub async fn above(&mut self, after: u64, wait_ms: u32) -> MoverStatus {
        let wait = Duration::from_millis(u64::from(wait_ms.min(STATUS_WAIT_MAX_MS)));
        let newer = self.receiver.wait_for(|status| status.version > after);
        // Neither a time-out nor the mover's end is an error: what there is gets shown.
        drop(tokio::time::timeout(wait, newer).await);
        self.receiver.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_a_change_and_by_nothing_else() {
        let (board, mut reader) = StatusBoard::new("east".parse().unwrap());
        let mut status = reader.above(0, 0).await;
        board.show(status.clone());
        assert_eq!(reader.above(0, 10).await.version, 1, "nothing changed");
        let mut waiting = reader.clone();
        let task = tokio::spawn(async move { waiting.above(1, 10_000).await });
        status.device_bytes = Some(5);
        board.show(status);
        let seen = task.await.unwrap();
        assert_eq!((seen.version, seen.device_bytes), (2, Some(5)));
        assert_eq!(reader.above(2, 10).await.version, 2, "the wait is bounded");
    }
}
