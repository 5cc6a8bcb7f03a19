//! The kinds of faults of processes, disks and frames.

/// A kind of fault of what the movers work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFault {
    /// A mover is killed within a few effects.
    Kill,
    /// A node loses power within a few effects.
    Power,
    /// The state volume fails an operation, or all of a kind.
    DiskError,
    /// The volume fails an operation, or all of a kind.
    VolumeError,
    /// There is hardly any room on the state volume.
    Full,
    /// There is no room on the volume.
    VolumeFull,
    /// A bit of a frame flips.
    WireFlip,
    /// A frame comes twice.
    Twice,
    /// A frame overtakes the one before it.
    Overtake,
    /// A bit of a file on the state volume flips.
    JournalFlip,
    /// A write to the state volume is lost without an error (D-1).
    LostStateWrite,
    /// A write to the state volume lands elsewhere without an error (D-1).
    MisplacedStateWrite,
    /// An earlier request is made again.
    Repeat,
    /// The application's volume grows.
    Grow,
    /// A mover's devices do not answer for a while.
    Hang,
    /// Opening what was begun earlier takes minutes.
    SlowOpen,
    /// A bit of a standby's image flips, and nobody notices.
    Rot,
    /// Bits of the primary's committed cut flip, and nobody notices (D-4).
    PrimaryRot,
    /// The device that is made of the next cut is too short (D-5).
    ShortCut,
    /// A side is copied, or an older copy is put back.
    Backup,
}

impl DataFault {
    /// All that are mixed in.
    pub const ALL: [DataFault; 20] = [
        DataFault::Kill,
        DataFault::Power,
        DataFault::DiskError,
        DataFault::VolumeError,
        DataFault::Full,
        DataFault::VolumeFull,
        DataFault::WireFlip,
        DataFault::Twice,
        DataFault::Overtake,
        DataFault::JournalFlip,
        DataFault::LostStateWrite,
        DataFault::MisplacedStateWrite,
        DataFault::Repeat,
        DataFault::Grow,
        DataFault::Hang,
        DataFault::SlowOpen,
        DataFault::Rot,
        DataFault::PrimaryRot,
        DataFault::ShortCut,
        DataFault::Backup,
    ];
}
