//! Ferry keeps a second copy of a Kubernetes volume at another site and can make that copy the
//! live one, safely.
//!
//! Lower layers never import upper ones, and `tests/tidy.rs` checks it:
//!
//! ```text
//! units → seam → {pair, wire} → {api, journal, volume} → {mover, salvage, operator} → {plugin, main}
//! ```
//!
//! `telemetry` may be imported from anywhere above `units`; `sim` may import everything below the
//! operator. `docs/map.md` says which folder answers which question.

pub mod api;
pub mod demo;
pub mod journal;
pub mod mover;
pub mod operator;
pub mod pair;
pub mod plugin;
pub mod salvage;
pub mod seam;
#[doc(hidden)]
pub mod sim;
pub mod telemetry;
pub mod units;
pub mod volume;
pub mod wire;
