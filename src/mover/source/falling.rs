//! The list of changes that the volume's reader walks, which falls down a rung when it breaks and
//! goes on from where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::run::Input;
use crate::source::candidates::{Candidates, Next};
use crate::source::compare::Reference;
use crate::source::ship::ShipEvent;
use protocol::pair::resync::Plan;
use storage::seam::BlockFile;
use storage::volume::{Change, ChangeError};

/// How long to wait for a decision of the loop before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Candidates by one plan, and then by the next.
pub struct Falling {
    /// The ranges by the plan in force.
    pub candidates: Candidates,
    /// The plan in force.
    pub plan: Plan,
    /// The volume, for the next plan.
    pub device: Arc<dyn BlockFile>,
    /// Its size in bytes.
    pub size: u64,
    /// What candidates are compared with.
    pub reference: Arc<Reference>,
    /// The next plan comes from here.
    pub plans: Receiver<Plan>,
    /// To the loop.
    pub inputs: mpsc::Sender<Input>,
    /// Tells this shipment from others.
    pub number: u64,
    /// Whether the cycle was stopped.
    pub stopped: Arc<AtomicBool>,
}

impl Iterator for Falling {
    type Item = Result<Change, ChangeError>;

    fn next(&mut self) -> Option<Result<Change, ChangeError>> {
        loop {
            if self.stopped.load(Ordering::Acquire) {
                return Some(Err(ChangeError::Abandoned));
            }
            match self.candidates.advance() {
                Err(error) => return Some(Err(error.into())),
                Ok(Next::Change(change)) => return Some(Ok(change)),
                Ok(Next::End) => return None,
                Ok(Next::Wait) => {}
                Ok(Next::Broken(why)) => {
                    if let Err(error) = self.fall(why) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

impl Falling {
    fn fall(&mut self, why: String) -> Result<(), ChangeError> {
        let event = Input::Ship(self.number, ShipEvent::ListBroke(why));
        self.inputs
            .blocking_send(event)
            .map_err(|_| ChangeError::Abandoned)?;
        loop {
            if self.stopped.load(Ordering::Acquire) {
                return Err(ChangeError::Abandoned);
            }
            match self.plans.recv_timeout(LOOK_AGAIN) {
                Ok(plan) if plan.candidates != self.plan.candidates => {
                    self.reference.compare_with(plan.compare);
                    let at = self.candidates.at();
                    self.candidates =
                        Candidates::new(self.device.clone(), self.size, at, plan.candidates, None);
                    self.plan = plan;
                    return Ok(());
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(ChangeError::Abandoned),
            }
        }
    }
}
