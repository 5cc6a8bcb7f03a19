//! `ferry.dev/v1alpha1`: the request ([`spec`]) and the report ([`status`]).

pub mod phases;
pub mod spec;
pub mod status;
pub mod verification;

pub use phases::{CyclePhase, QuiesceState, SiteRole, SwitchKind, SwitchStep};
pub use spec::*;
pub use status::*;
pub use verification::*;
