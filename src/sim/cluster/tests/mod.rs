//! The simulated cluster does what Kubernetes does, and the planner's re-binding on it ends as desired.

mod controllers;
mod rebind;
mod role_change;
mod seeds;
mod settle;
