//! All that is still to be done, for people. Pure.

use crate::rebind::model::Model;
use crate::rebind::{DesiredBinding, Next, RebindError, RebindView, next};

/// The most steps of a plan; a re-binding takes far fewer. A longer one is cut there, which a test
/// rules out.
const STEPS_MAX: usize = 64;

/// All that is still to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps, in order; empty when everything is as desired.
    pub steps: Vec<PlannedStep>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// What is done or waited for, as a sentence that names the objects.
    pub sentence: String,
    /// Whether it is a wait for something that others do.
    pub wait: bool,
}

/// All that is still to be done to get from `view` to `desired`, found by playing it through on a model
/// of the API. Waits that only people can end, such as pods in use, are listed and assumed to end.
///
/// # Errors
/// As [`super::next`].
pub fn plan(view: &RebindView, desired: &DesiredBinding) -> Result<Plan, RebindError> {
    let mut model = Model::new(view.clone(), &desired.pair);
    let mut steps = Vec::new();
    while steps.len() < STEPS_MAX {
        let (sentence, wait) = match next(&model.view, desired)? {
            Next::Do(step) => {
                model.execute(desired, &step);
                model.settle();
                (step.to_string(), false)
            }
            Next::Wait(wait) => {
                model.grant(&wait);
                (format!("wait for {wait}"), true)
            }
            Next::Done => break,
        };
        steps.push(PlannedStep { sentence, wait });
    }
    Ok(Plan { steps })
}
