//! Which claim is bound to which volume, changed safely when the primary role moves.
//!
//! The caller runs `observe → next → execute` until [`Next::Done`]; every step follows from what is
//! observed alone, so a crash anywhere resumes. [`plan`] prints what is still to be done, for the
//! real objects, without doing it.

mod apply;
mod error;
mod next;
mod observe;
mod plan;
mod record;
mod step;
mod view;
mod wish;

pub use apply::execute;
pub use error::RebindError;
pub use next::{Next, Wait, next};
pub use observe::observe;
pub use plan::{Plan, PlannedStep, plan};
pub use record::{ClaimRecord, record_name};
pub use step::Step;
pub use view::RebindView;
pub use wish::{RebindWish, SiteVolume, VolumeKey};
