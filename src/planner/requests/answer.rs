//! What is decided about the request that would begin now.

use crate::validate::Problem;

/// Why a promotion that would begin does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not carried out, now or later: whoever asked reads why, and nothing moves behind their back.
    Refused(Problem),
    /// It begins when this is fixed.
    Held(Problem),
}
