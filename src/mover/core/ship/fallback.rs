//! The ranges that are looked at, by one plan after the other: when the operator's list breaks, the
//! next plan goes on from where the list was.

use std::sync::Arc;

use crate::ship::candidates::{Candidates, ListReader, Next};
use crate::ship::compare::Reference;
use protocol::pair::change_plan::Plan;
use storage::seam::{BlockFile, DiskError};

/// Candidates by one plan, and then by the next.
pub struct Ranges {
    candidates: Candidates,
    plan: Plan,
    device: Arc<dyn BlockFile>,
    size: u64,
    reference: Arc<Reference>,
    /// Why the list broke, until the next plan comes.
    broken: Option<String>,
}

impl Ranges {
    /// The ranges of a volume of `size` bytes by `plan`, with the operator's list where it has one.
    #[must_use]
    pub fn new(
        device: Arc<dyn BlockFile>,
        size: u64,
        plan: Plan,
        list: Option<ListReader>,
        reference: Arc<Reference>,
    ) -> Ranges {
        Ranges {
            candidates: Candidates::new(device.clone(), size, 0, plan.candidates, list),
            plan,
            device,
            size,
            reference,
            broken: None,
        }
    }

    /// The next range. Once the list is broken it stays so until another plan comes.
    ///
    /// # Errors
    /// When the device can't say where its data is.
    pub fn advance(&mut self) -> Result<Next, DiskError> {
        if let Some(why) = &self.broken {
            return Ok(Next::Broken(why.clone()));
        }
        let next = self.candidates.advance()?;
        if let Next::Broken(why) = &next {
            self.broken = Some(why.clone());
        }
        Ok(next)
    }

    /// What is not covered yet goes by this plan; whether it is another one.
    pub fn fall_back(&mut self, plan: &Plan) -> bool {
        if plan.candidates == self.plan.candidates {
            return false;
        }
        self.reference.compare_with(plan.compare);
        let at = self.candidates.at();
        self.candidates =
            Candidates::new(self.device.clone(), self.size, at, plan.candidates, None);
        self.plan = plan.clone();
        self.broken = None;
        true
    }
}
