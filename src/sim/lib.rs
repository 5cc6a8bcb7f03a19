//! A simulated clock, disk and link with faults, and a slow oracle.
//!
//! The simulated disk is part of many tests. [`run`] (`make sim`) lives through what a seed makes: two
//! sides with the real core of the mover, an operator, an application, and whatever goes
//! wrong. Everything happens on one thread, one thing at a time, so a seed is always the same run.
//! Nothing of the product uses any of it.
//!
//! | question | file |
//! |---|---|
//! | What can happen next? | `world` |
//! | What goes wrong, and what do people do? | [`Kind`], `faults`, `backups` |
//! | What is the smallest run that still fails? | [`shrink`] |
//! | How are many seeds run? | [`live_all`], [`first_failing`] |
//! | How are a mover's effects performed? | `mover_host`, `hosted_ship`, `hosted_receive`, `hosted_requests` |
//! | Which requests are made? | `operator`, `ending`, `moves`, `verify` |
//! | What are disks, volumes and links like? | [`SimDisk`], `fault`, `volume`, `link`, `fuse` |
//! | What must hold? | `oracle`, `resent` |
//! | Does it notice wrong rules? | `rules`, `mutations` |

#[cfg(test)]
mod applier_tests;
mod backups;
pub mod cluster;
#[cfg(test)]
mod digest_faults;
mod disk;
mod disk_content;
mod ending;
mod extent_parts;
mod fault;
mod fault_kinds;
mod faults;
mod fuse;

mod hosted_receive;
mod hosted_requests;
mod hosted_ship;
mod image;
#[cfg(test)]
mod limits_tests;
mod link;
mod mover_host;
mod moves;
mod mutations;
mod operator;
mod oracle;
#[cfg(test)]
mod pipeline_tests;
mod resent;
#[cfg(test)]
mod room_tests;
mod rules;
mod run;
mod seeds;
#[cfg(test)]
mod settle_tests;
mod shrink;
#[cfg(test)]
mod staging_faults;
mod story;
#[cfg(test)]
mod superblock_faults;
#[cfg(test)]
mod tests;
mod verify;
mod volume;
mod world;

pub use cluster::{ClusterFault, ClusterFigures, ClusterOptions, ClusterRun, LATER, run_cluster};
pub use disk::{SECTOR_BYTES, SimDisk};
pub use fault::{Fault, Operation};
pub use fault_kinds::Kind;
pub use rules::Wrong;
pub use run::{Figures, Options, Run, run, run_with};
pub use seeds::{Lived, first_failing, live_all};
pub use shrink::shrink;
