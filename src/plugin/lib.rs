//! `kubectl ferry`: one file a verb. What people see is rendered by pure functions (`table`,
//! `detail`, `loss`); what they ask for is written into the pair's spec, where the operator finds
//! it. The plugin decides nothing and hides no loss.

mod api_error;
mod cancel;
mod check;
mod cli;
mod completion;
mod confirm;
mod connect;
mod demote;
mod detail;
mod events;
mod exit;
mod format;
mod loss_report;
mod need;
mod operators;
mod output;
mod pause;
mod plan;
mod promote;
mod request;
mod resync;
mod salvage;
mod salvage_pod;
#[cfg(test)]
mod sample;
mod selection;
pub mod selfcheck;
mod spec_patch;
mod status;
mod sync;
mod table;
mod verify;
mod version;
mod wait;

pub use cli::main;
