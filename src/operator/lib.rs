//! Observe once → validate → decide → record → perform → record.
//!
//! A [`reconcile`] of a pair always starts at the beginning and checks everything. The
//! middle steps are pure: they see plain data and a given time, and are tested without a cluster.

pub mod admin;
pub mod apply;
pub mod backoff;
pub mod ca;
pub mod changed_blocks;
pub mod cli;
pub mod context;
pub mod events;
pub mod lease;
pub mod link;
pub mod metrics;
pub mod observe;
pub mod publish;
pub mod quiesce;
pub mod rebind;
pub mod reconcile;
pub mod requests;
pub mod run;
pub mod teardown;
pub mod trace;
