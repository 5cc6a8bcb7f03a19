//! A simulated clock, disk and link with faults, and a slow oracle.

#[cfg(test)]
mod digest_faults;
mod disk;
#[cfg(test)]
mod pipeline_tests;
#[cfg(test)]
mod staging_faults;
#[cfg(test)]
mod superblock_faults;

pub use disk::{Fault, Operation, SECTOR_BYTES, SimDisk};
