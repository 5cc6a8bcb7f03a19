//! Everything that happens by itself, at once.

use crate::cluster::server::Server;

impl Server {
    /// Everything that happens to claims and volumes by itself, until nothing does.
    pub(crate) fn settle_volumes(&mut self) {
        while self.bind() | self.unprotect() | self.reclaim() | self.provision() {}
    }
}
