//! A simulated clock, disk and link with faults, and a slow oracle.
//!
//! The simulated disk is part of every test. The simulator of a whole pair is in the making and
//! behind the feature `sim` (`make sim`): `run` lives through what a seed makes: two sides with the real protocol and the real journal, an
//! operator, an application, and whatever goes wrong. Everything happens on one thread, one thing at a
//! time, so a seed is always the same run.
//!
//! | question | file |
//! |---|---|
//! | What can happen next? | `world` |
//! | What goes wrong, and what do people do? | `faults` |
//! | What does a mover do? | `process`, `hear`, `ship` |
//! | Which orders are given? | `operator`, `ending`, `moves` |
//! | What are disks, volumes and links like? | [`SimDisk`], `volume`, `link`, `fuse` |
//! | What must hold? | `oracle` |
//! | Does it notice wrong rules? | `rules`, `twist` |

#[cfg(test)]
mod digest_faults;
mod disk;
#[cfg(feature = "sim")]
mod ending;
#[cfg(feature = "sim")]
mod faults;
#[cfg(feature = "sim")]
mod fuse;
#[cfg(feature = "sim")]
mod hear;
#[cfg(feature = "sim")]
mod image;
#[cfg(feature = "sim")]
mod link;
#[cfg(feature = "sim")]
mod moves;
#[cfg(feature = "sim")]
mod operator;
#[cfg(feature = "sim")]
mod oracle;
#[cfg(test)]
mod pipeline_tests;
#[cfg(feature = "sim")]
mod process;
#[cfg(feature = "sim")]
mod rules;
#[cfg(feature = "sim")]
mod run;
#[cfg(feature = "sim")]
mod ship;
#[cfg(test)]
mod staging_faults;
#[cfg(feature = "sim")]
mod story;
#[cfg(test)]
mod superblock_faults;
#[cfg(all(test, feature = "sim"))]
mod tests;
#[cfg(feature = "sim")]
mod twist;
#[cfg(feature = "sim")]
mod volume;
#[cfg(feature = "sim")]
mod world;

pub use disk::{Fault, Operation, SECTOR_BYTES, SimDisk};
#[cfg(feature = "sim")]
pub use rules::Wrong;
#[cfg(feature = "sim")]
pub use run::{Figures, Run, run};
