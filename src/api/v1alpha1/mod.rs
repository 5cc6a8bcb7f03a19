//! `ferry.dev/v1alpha1`: the request ([`spec`]) and the report ([`status`]).

pub mod phases;
pub mod spec;
pub mod status;

pub use phases::{CyclePhase, QuiesceState, SwitchKind, SwitchStep};
pub use spec::*;
pub use status::*;
