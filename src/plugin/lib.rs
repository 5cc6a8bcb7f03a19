//! `kubectl ferry`: one file a verb. What people see is rendered by pure functions (`table`,
//! `detail`, `loss`); what they ask for is written into the pair's spec, where the operator finds
//! it. The plugin decides nothing and hides no loss.

mod cancel;
mod cli;
mod completion;
mod confirm;
mod connect;
mod demote;
mod detail;
mod exit;
mod format;
mod loss_report;
mod output;
mod pause;
mod plan;
mod promote;
mod resync;
mod salvage;
mod salvage_pod;
#[cfg(test)]
mod sample;
pub mod selfcheck;
mod spec_patch;
mod status;
mod sync;
mod table;
mod verify;
mod wait;

pub use cli::main;
