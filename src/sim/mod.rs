//! A simulated clock, disk and link with faults, and a slow oracle.
