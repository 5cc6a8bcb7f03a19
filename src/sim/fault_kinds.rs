//! The kinds of faults, and of what people do.

/// A kind of fault, or of what people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mover is killed within a few effects.
    Kill,
    /// A node loses power within a few effects.
    Power,
    /// Every connection breaks, and none comes up for a while.
    Cut,
    /// The state volume fails an operation, or all of a kind.
    DiskError,
    /// The volume fails an operation, or all of a kind.
    VolumeError,
    /// There is hardly any room on the state volume.
    Full,
    /// There is no room on the volume.
    VolumeFull,
    /// A bit of a standby's image flips, and nobody notices.
    Rot,
    /// A bit of a frame flips.
    WireFlip,
    /// A frame comes twice.
    Twice,
    /// A frame overtakes the one before it.
    Overtake,
    /// A bit of a file on the state volume flips.
    JournalFlip,
    /// Hours pass at once.
    Clock,
    /// An earlier request is made again.
    Repeat,
    /// The operator starts again.
    OperatorRestart,
    /// The pair's status is wiped.
    StatusWiped,
    /// A side is copied, or an older copy is put back.
    Backup,
    /// The primary's volume grows.
    Grow,
    /// Somebody asks for a planned role change.
    Planned,
    /// Somebody asks for a forced role change.
    Forced,
    /// Somebody consents to discard what only one side holds.
    Consent,
    /// Everything works again.
    Heal,
    /// A mover's devices do not answer for a while.
    Hang,
    /// Opening what was begun earlier takes minutes.
    SlowOpen,
    /// A write to the state volume is lost without an error (D-1).
    LostStateWrite,
    /// A write to the state volume lands elsewhere without an error (D-1).
    MisplacedStateWrite,
    /// A bit of the primary's committed cut flips, and nobody notices (D-4).
    PrimaryRot,
    /// The device that is made of the next cut is too short (D-5).
    ShortCut,
}

impl Kind {
    /// Those that every run draws from.
    pub const ALL: [Kind; 28] = [
        Kind::Kill,
        Kind::Power,
        Kind::Cut,
        Kind::DiskError,
        Kind::VolumeError,
        Kind::Full,
        Kind::VolumeFull,
        Kind::Rot,
        Kind::WireFlip,
        Kind::Twice,
        Kind::Overtake,
        Kind::JournalFlip,
        Kind::Clock,
        Kind::Repeat,
        Kind::OperatorRestart,
        Kind::StatusWiped,
        Kind::Backup,
        Kind::Grow,
        Kind::Planned,
        Kind::Forced,
        Kind::Consent,
        Kind::Heal,
        Kind::Hang,
        Kind::SlowOpen,
        Kind::LostStateWrite,
        Kind::MisplacedStateWrite,
        Kind::PrimaryRot,
        Kind::ShortCut,
    ];

    /// Those that the product does not survive yet; each names the statement that is missing. A run has
    /// them only when it is asked to.
    pub const LATER: [Kind; 0] = [];
}
