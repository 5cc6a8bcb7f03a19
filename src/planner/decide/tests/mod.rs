//! Whole lives of a pair, decided on a model of the cluster.

mod comeback;
mod cycles;
mod movers;
mod newer;
mod pace;
mod pause;
mod roles;
mod unchanged;
mod verify;
pub(crate) mod world;
