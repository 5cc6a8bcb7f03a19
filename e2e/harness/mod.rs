//! What stories and the demo stand on: the cluster, a namespace, a pair, an application, and the
//! means to tell by content whether two volumes are the same.

pub mod app;
pub mod content;
pub mod dump;
pub mod exec;
pub mod faults;
pub mod install;
pub mod lab;
pub mod ledger;
pub mod leftovers;
pub mod memory;
pub mod operator;
pub mod pair;
pub mod scene;
pub mod wait;
pub mod writer;

pub use app::App;
pub use lab::Lab;
pub use pair::{Pair, PairOptions};
pub use scene::Scene;
pub use wait::{Probe, secs, until};
