//! The ranges to look at as the volume's reader takes them: waiting where there is nothing yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::ship::extent_feed::ExtentFeed;
use mover_core::ship::candidates::Next;
use mover_core::ship::count::ShipCount;
use mover_core::ship::fallback::Ranges;
use mover_core::{Input, ShipEvent};
use protocol::pair::change_plan::Plan;
use storage::volume::{Change, ChangeError};

/// How long to wait before looking whether the cycle was stopped.
const RECHECK_AFTER: Duration = Duration::from_millis(100);

/// The ranges, for the reader.
pub struct WaitingRanges {
    /// The ranges by the plan in force.
    pub ranges: Ranges,
    /// Where the list's parts come in.
    pub feed: ExtentFeed,
    /// The next plan comes from here.
    pub plans: Receiver<Plan>,
    /// To the core.
    pub inputs: mpsc::Sender<Input>,
    /// Tells this shipment from others.
    pub number: u64,
    /// Says whether the cycle was stopped.
    pub count: Arc<ShipCount>,
}

impl Iterator for WaitingRanges {
    type Item = Result<Change, ChangeError>;

    fn next(&mut self) -> Option<Result<Change, ChangeError>> {
        loop {
            if self.is_stopped() {
                return Some(Err(ChangeError::Abandoned));
            }
            match self.ranges.advance() {
                Err(error) => return Some(Err(error.into())),
                Ok(Next::Change(change)) => return Some(Ok(change)),
                Ok(Next::End) => return None,
                Ok(Next::Wait) => self.feed.wait(RECHECK_AFTER),
                Ok(Next::Broken(why)) => {
                    if let Err(error) = self.fall_back(why) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

impl WaitingRanges {
    fn is_stopped(&self) -> bool {
        self.count.stopped.load(Ordering::Acquire)
    }

    /// Reports that the list broke and waits for another plan.
    fn fall_back(&mut self, why: String) -> Result<(), ChangeError> {
        let event = Input::Ship(self.number, ShipEvent::ListBroke(why));
        self.inputs
            .blocking_send(event)
            .map_err(|_| ChangeError::Abandoned)?;
        loop {
            if self.is_stopped() {
                return Err(ChangeError::Abandoned);
            }
            match self.plans.recv_timeout(RECHECK_AFTER) {
                Ok(plan) if self.ranges.fall_back(&plan) => return Ok(()),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(ChangeError::Abandoned),
            }
        }
    }
}
