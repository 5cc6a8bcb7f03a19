//! All that is still to be done, for people. Pure.

use crate::operator::rebind::{RebindError, RebindView, RebindWish};

/// All that is still to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps, in order; empty when everything is as wished.
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

/// All that is still to be done to get from `view` to `wish`, found by playing it through on a model
/// of the API. Waits that nothing but people can end, such as pods in use, are listed and assumed to
/// end.
///
/// # Errors
/// As [`super::next`].
pub fn plan(view: &RebindView, wish: &RebindWish) -> Result<Plan, RebindError> {
    todo!("{view:?} {wish:?}")
}
