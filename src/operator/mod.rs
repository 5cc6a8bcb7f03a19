//! Observe → validate → decide → build → apply → publish, one file a step.

pub mod admin;
pub mod ca;
pub mod events;
pub mod lease;
pub mod link;
pub mod metadata;
pub mod metrics;
pub mod quiesce;
pub mod rebind;
