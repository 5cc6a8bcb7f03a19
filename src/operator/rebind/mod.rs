//! Re-binding claims on the cluster: what [`planner::rebind`] decides is performed here.

mod apply;

pub use apply::{execute, retain};
