//! `ferry.dev/v1alpha1`: the wish ([`spec`]) and the report ([`status`]).

pub mod spec;
pub mod status;

pub use spec::*;
pub use status::*;
