//! The operator's metrics, in base units.

mod families;
mod gauges;
mod labels;
mod store;

pub use gauges::{PairGauges, Verified};
pub use store::Metrics;
