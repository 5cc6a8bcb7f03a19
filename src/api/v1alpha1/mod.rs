//! `ferry.dev/v1alpha1`: a pair's spec ([`spec`]) and the report ([`status`]), and the requests of people
//! ([`promotion`], [`resync`]).

pub mod failing;
pub mod phases;
pub mod promotion;
pub mod request;
pub mod resync;
pub mod spec;
pub mod status;
pub mod verification;

pub use failing::FailingAction;
pub use phases::{CyclePhase, QuiesceState, SiteRole, SwitchKind, SwitchStep};
pub use promotion::*;
pub use request::*;
pub use resync::*;
pub use spec::*;
pub use status::*;
pub use verification::*;
