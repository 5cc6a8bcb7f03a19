//! The objects that people apply: CRD types, conditions and reasons. Depends on `units`.

pub mod conditions;
pub mod crd;
pub mod names;
pub mod reasons;
#[cfg(test)]
mod rule_tests;
pub mod snapshots;
mod text_enum;
pub mod v1alpha1;
pub mod yaml;

pub use reasons::Reason;
pub use v1alpha1::{
    Promotion, ReplicationPair, ReplicationPairSpec, ReplicationPairStatus, Resync,
};
