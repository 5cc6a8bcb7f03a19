//! The simulated cluster does what Kubernetes does, and the planner's re-binding on it ends as desired.

mod controllers;
mod lives;
mod play;
mod rebind;
mod role_change;
mod seeds;
mod settle;
