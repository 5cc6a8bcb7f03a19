//! Whole lives of a pair, decided on a model of the cluster.

mod comeback;
mod cycles;
mod movers;
mod newer;
mod pace;
mod roles;
mod unchanged;
mod verify;
pub(in crate::operator) mod world;
