//! Which claim is bound to which volume, changed safely when the primary role moves.
//!
//! The caller runs `observe → next → execute` until [`Next::Done`]; every step follows from what is
//! observed alone, so a crash anywhere resumes. [`plan`] says what is still to be done, for the real
//! objects, without doing it.

pub mod binder;
mod desired;
mod error;
pub mod new_volume;
mod next;
pub mod object;
mod objects;
mod parking;
mod plan;
pub mod protection;
pub mod record;
mod seat;
mod step;
mod view;
mod wait;

pub use desired::{DesiredBinding, SiteVolume};
pub use error::RebindError;
pub use new_volume::{is_parked_name, labels};
pub use next::{Next, next};
pub use objects::Objects;
pub use plan::{Plan, PlannedStep, plan};
pub use record::{ClaimRecord, record_name};
pub use step::Step;
pub use view::RebindView;
pub use wait::Wait;
