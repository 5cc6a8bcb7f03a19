//! Holding the application round a cut: exec hooks in its pods.
//!
//! Order: [`targets`] → record them in status → [`run_pre`] → cut → [`run_post`] → record. `post` is
//! run for every recorded target, also when the cut fails or the operator restarts in between.
//!
//! A hook that takes too long counts as failed, but its process goes on in the pod: nothing can end
//! it from outside. So `post` must release whatever `pre` may have begun.

mod exec;
mod run;
mod target;

pub use exec::OUTPUT_TAIL_BYTES_MAX;
pub use run::{POST_TRIES, run_post, run_pre};
pub use target::{QuiesceError, TARGETS_MAX, targets};
