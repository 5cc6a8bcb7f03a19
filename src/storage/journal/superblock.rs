//! What a site knows about its own image: the truth that lives with the data.

use protocol::units::{Epoch, ImageState, Lineage, PairId, Point, Role, SiteName, VolumeId};

/// The longest name of a volume, driver and handle together, that is kept, in bytes. CSI allows handles of
/// 128; a volume whose name is longer can't be distinguished from another.
const VOLUME_BYTES_MAX: usize = 512;

/// One site's state in its pair (semantics H, state per node).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The pair's identity.
    pub pair_id: PairId,
    /// This site.
    pub site: SiteName,
    /// Its part in `epoch`.
    pub role: Role,
    /// The newest epoch known here.
    pub epoch: Epoch,
    /// The history of the image.
    pub lineage: Lineage,
    /// Standby: the committed point. Primary: the newest point known to be committed at the peer.
    pub committed: Option<Point>,
    /// The newest cut that is completely on the volume; from `committed` to one cycle ahead.
    pub applied: Option<Point>,
    /// The image's state.
    pub image: ImageState,
    /// Size of the volume in bytes when the image was last written; 0 before.
    pub size_bytes: u64,
    /// The volume whose image this is about, where its storage has said which it is (D-3).
    pub volume: Option<VolumeId>,
    /// Whether this site was never writable in this pair, so that it holds nothing of its own.
    pub never_writable: bool,
    /// Whether the volume may hold writes that nobody else has.
    pub diverged: bool,
    /// The value of `spec.primary` that was handled last. A stale manifest that says otherwise never
    /// flips the role back.
    pub requested_primary: SiteName,
}

impl Superblock {
    /// The superblock within the limits of its slot.
    pub(super) fn trimmed(&self) -> Superblock {
        Superblock {
            lineage: self.lineage.clone().trimmed(),
            volume: self
                .volume
                .clone()
                .filter(|volume| volume.driver.len() + volume.handle.len() <= VOLUME_BYTES_MAX),
            ..self.clone()
        }
    }
}
