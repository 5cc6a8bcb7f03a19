//! The simulated cluster does what Kubernetes does, and the planner's re-binding on it ends as desired.

mod controllers;
mod rebind;
mod seeds;

use crate::cluster::server::Server;

impl Server {
    /// Everything that happens to claims and volumes by itself, until nothing does.
    pub(crate) fn settle_volumes(&mut self) {
        while self.bind() | self.unprotect() | self.reclaim() | self.provision() {}
    }
}
