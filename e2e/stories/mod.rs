//! One user story a file, each against a real cluster.

pub mod bad_input;
pub mod block_mode;
pub mod change_refused;
pub mod change_sources;
pub mod claim_grown;
pub mod claim_recreated;
pub mod commit_interrupted;
pub mod deleted_in_switch;
pub mod installed;
pub mod io_error;
pub mod larger_copy;
pub mod life;
pub mod list;
pub mod mover_killed;
pub mod namespace_deleted;
pub mod operator_killed;
pub mod quiesce;
pub mod runner;
pub mod salvage;
pub mod scaled_up;
pub mod site_lost;
pub mod snapshot_fails;
pub mod staging_small;
pub mod stale_manifest;
pub mod stateful_set;
pub mod status_wiped;
pub mod uninstalled;
pub mod verified;

pub use list::{Story, all};
