//! A simulated clock, disk and link with faults, and a slow oracle.
//!
//! The simulated disk is part of many tests. [`run_cluster`] (`make sim`) lives through what a seed makes:
//! the planner and two movers, each with its real core, on a simulated API server, with an application,
//! people, and whatever goes wrong. Everything happens on one thread, one thing at a time, so a seed is
//! always the same run. Nothing of the product uses any of it.
//!
//! | question | file |
//! |---|---|
//! | What happens in the cluster, what goes wrong there, what must hold? | [`cluster`] |
//! | What is the smallest run that still fails? | [`shrink`] |
//! | How are many seeds run? | [`live_all`], [`first_failing`] |
//! | How are a mover's effects performed? | `mover_host`, `hosted_ship`, `hosted_receive`, `hosted_requests` |
//! | What are disks, volumes and links like? | [`SimDisk`], `fault`, `volume`, `link`, `fuse` |
//! | What does a side's storage say of it? | `on_disk` |
//! | Does it notice wrong rules? | `rules`, `mutations` |

#[cfg(test)]
mod applier_tests;
pub mod cluster;
#[cfg(test)]
mod digest_faults;
mod disk;
mod disk_content;
mod extent_parts;
mod fault;
mod fuse;

mod hosted_receive;
mod hosted_requests;
mod hosted_ship;
mod image;
#[cfg(test)]
mod limits_tests;
mod link;
mod mover_host;
mod mutations;
mod on_disk;
#[cfg(test)]
mod pipeline_tests;
#[cfg(test)]
mod room_tests;
mod rules;
mod seeds;
#[cfg(test)]
mod settle_tests;
mod shrink;
#[cfg(test)]
mod staging_faults;
mod story;
#[cfg(test)]
mod superblock_faults;
mod volume;

pub use cluster::{
    CLUSTER_FAULTS, ClusterFault, ClusterFigures, ClusterOptions, ClusterRun, DataFault, Focus,
    run_cluster, shows,
};
pub use disk::{SECTOR_BYTES, SimDisk};
pub use fault::{Fault, Operation};
pub use rules::Wrong;
pub use seeds::{Lived, first_failing, live_all};
pub use shrink::shrink;
