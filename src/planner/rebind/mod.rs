//! Which claim is bound to which volume, changed safely when the primary role moves.
//!
//! The caller runs `observe → next → execute` until [`Next::Done`]; every step follows from what is
//! observed alone, so a crash anywhere resumes. [`plan`] says what is still to be done, for the real
//! objects, without doing it.

mod desired;
mod error;
mod model;
pub mod new_volume;
mod next;
pub mod object;
mod plan;
pub mod record;
mod step;
#[cfg(test)]
mod tests;
mod view;
mod wait;

pub use desired::{DesiredBinding, SiteVolume, VolumeKey};
pub use error::RebindError;
pub use next::{Next, next};
pub use plan::{Plan, PlannedStep, plan};
pub use record::{ClaimRecord, record_name};
pub use step::Step;
pub use view::RebindView;
pub use wait::Wait;
