//! Which claim should be bound to which volume.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rebind::new_volume::labels;
use api::names;
use protocol::units::{Epoch, PairName, SiteName, VolumeId};

/// A site's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteVolume {
    /// The site.
    pub site: SiteName,
    /// Its volume.
    pub volume: VolumeId,
}

/// Which claim of this cluster should be bound to which volume when all is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredBinding {
    /// The pair.
    pub pair: PairName,
    /// The UID of the pair's object: what lacks it is not the pair's (K-3).
    pub uid: String,
    /// The epoch that the move belongs to.
    pub epoch: Epoch,
    /// The application's claim.
    pub app_claim: String,
    /// The new primary, when it is of this cluster: its volume is for the application's claim.
    /// Otherwise that claim is parked here: it names a PersistentVolume that does not exist, so that no
    /// pod can start on it.
    pub primary: Option<SiteVolume>,
    /// The standby, when it is of this cluster: its volume is for its replica claim, as a block
    /// device.
    pub standby: Option<SiteVolume>,
    /// A site whose volume is for no claim, while the application's claim is parked.
    pub closed: Option<SiteVolume>,
    /// The application's claim is gone, and its people are to create it again: nothing is done to it,
    /// but its volume is reserved for it.
    pub only_reserve: bool,
}

impl DesiredBinding {
    /// The sites of this cluster.
    pub fn sites(&self) -> impl Iterator<Item = &SiteVolume> {
        self.primary.iter().chain(&self.standby).chain(&self.closed)
    }

    /// The site whose volume the application's claim is to let go of, when it is to be parked.
    #[must_use]
    pub fn parked(&self) -> Option<&SiteVolume> {
        let let_go = self.closed.as_ref().or(self.standby.as_ref());
        let_go.filter(|_| self.primary.is_none())
    }

    /// The labels of a site's volume.
    #[must_use]
    pub fn labels(&self, site: &SiteName) -> BTreeMap<String, String> {
        labels(&self.pair, &self.uid, site)
    }

    /// The claim that a site's volume has while the site is standby.
    #[must_use]
    pub fn replica_claim(&self, site: &SiteName) -> String {
        names::replica_claim(self.pair.name(), site.as_str())
    }
}
