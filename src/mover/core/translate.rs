//! Between the protocol's types and those of the wire and the disk.

use protocol::changes::CycleId;
use protocol::pair::change_plan::List;
use protocol::pair::demote::Demote;
use protocol::pair::handshake::Superblock as PeerSuperblock;
use protocol::pair::message::{Begin, Greeting, Hello};
use protocol::pair::promote::Promote;
use protocol::pair::record::Init;
use protocol::pair::{Cause, Record, Refused};
use protocol::units::{ImageState, Lineage, Point, Role, SiteName};
use storage::journal::{JournalError, Superblock};
use storage::seam::{DiskError, DiskErrorKind};
use wire::control::{
    ChangeList, DemoteRequest, InitRequest, PromoteRequest, Refusal, RefusalKind, SuperblockReport,
};
use wire::{VersionRange, WireError};

/// The stable name of a cause. A new cause does not compile before it has one.
#[must_use]
pub fn kind_of(cause: Cause) -> RefusalKind {
    match cause {
        Cause::OutOfOrder => RefusalKind::OutOfOrder,
        Cause::StaleEpoch => RefusalKind::StaleEpoch,
        Cause::HandshakeRefused => RefusalKind::HandshakeRefused,
        Cause::Diverged => RefusalKind::Diverged,
        Cause::NoCommittedPoint => RefusalKind::NoCommittedPoint,
        Cause::WrongIdentity => RefusalKind::WrongIdentity,
        Cause::TargetTooSmall => RefusalKind::TargetTooSmall,
        Cause::StagingTooSmall => RefusalKind::StagingTooSmall,
        Cause::StateVolumeFull => RefusalKind::StateVolumeFull,
        Cause::PeerUnreachable => RefusalKind::PeerUnreachable,
        Cause::Stalled => RefusalKind::Stalled,
        Cause::SourceReadError => RefusalKind::SourceReadError,
        Cause::TargetWriteError => RefusalKind::TargetWriteError,
        Cause::Corrupt => RefusalKind::Corrupt,
        Cause::SuperblockUnreadable => RefusalKind::SuperblockUnreadable,
        Cause::Aborted => RefusalKind::Aborted,
        Cause::Internal => RefusalKind::Internal,
        Cause::PrimaryDamaged => RefusalKind::PrimaryDamaged,
        Cause::SourceShrunk => RefusalKind::SourceShrunk,
        Cause::NotABlockImage => RefusalKind::NotABlockImage,
        Cause::StateVolumeFailed => RefusalKind::StateVolumeFailed,
    }
}

/// The cause that a stable name stands for.
#[must_use]
pub fn cause_of(kind: RefusalKind) -> Cause {
    match kind {
        RefusalKind::OutOfOrder => Cause::OutOfOrder,
        RefusalKind::StaleEpoch => Cause::StaleEpoch,
        RefusalKind::HandshakeRefused => Cause::HandshakeRefused,
        RefusalKind::Diverged => Cause::Diverged,
        RefusalKind::NoCommittedPoint => Cause::NoCommittedPoint,
        RefusalKind::WrongIdentity => Cause::WrongIdentity,
        RefusalKind::TargetTooSmall => Cause::TargetTooSmall,
        RefusalKind::StagingTooSmall => Cause::StagingTooSmall,
        RefusalKind::StateVolumeFull => Cause::StateVolumeFull,
        RefusalKind::PeerUnreachable => Cause::PeerUnreachable,
        RefusalKind::Stalled => Cause::Stalled,
        RefusalKind::SourceReadError => Cause::SourceReadError,
        RefusalKind::TargetWriteError => Cause::TargetWriteError,
        RefusalKind::Corrupt => Cause::Corrupt,
        RefusalKind::SuperblockUnreadable => Cause::SuperblockUnreadable,
        RefusalKind::Aborted => Cause::Aborted,
        RefusalKind::Internal => Cause::Internal,
        RefusalKind::PrimaryDamaged => Cause::PrimaryDamaged,
        RefusalKind::SourceShrunk => Cause::SourceShrunk,
        RefusalKind::NotABlockImage => Cause::NotABlockImage,
        RefusalKind::StateVolumeFailed => Cause::StateVolumeFailed,
    }
}

/// A refusal as the operator sees it.
#[must_use]
pub fn refusal(refused: &Refused) -> Refusal {
    Refusal {
        kind: kind_of(refused.cause),
        message: refused.message.clone(),
    }
}

/// A refusal as the peer sees it.
#[must_use]
pub fn refuse(refused: &Refused) -> wire::Refuse {
    wire::Refuse {
        kind: kind_of(refused.cause),
        message: refused.message.clone(),
    }
}

/// What the peer refused.
#[must_use]
pub fn refused(refuse: wire::Refuse) -> Refused {
    Refused::new(cause_of(refuse.kind), refuse.message)
}

/// A failure on the state volume.
#[must_use]
pub fn journal_failed(error: &JournalError) -> Refused {
    let cause = if let JournalError::StagingTooSmall { .. } = error {
        Cause::StagingTooSmall
    } else if error.is_full() {
        Cause::StateVolumeFull
    } else if error.is_damage() {
        Cause::Corrupt
    } else {
        Cause::TargetWriteError
    };
    Refused::new(cause, error.to_string())
}

/// The system has no more threads.
#[must_use]
pub fn no_thread(error: &std::io::Error) -> Refused {
    Refused::new(
        Cause::Internal,
        format!("failed to start a thread: {error}"),
    )
}

/// A failure on a device: `cause` says whose.
#[must_use]
pub fn disk_failed(error: &DiskError, cause: Cause) -> Refused {
    match error.kind() {
        DiskErrorKind::Full => Refused::new(
            Cause::TargetWriteError,
            format!("{error}: the storage is full"),
        ),
        _ => Refused::new(cause, error.to_string()),
    }
}

/// Bytes from the peer that are not what they should be, or a connection that broke.
#[must_use]
pub fn wire_failed(error: &WireError) -> Refused {
    let cause = match error {
        WireError::Checksum { .. } => Cause::Corrupt,
        _ if error.is_violation() => Cause::Internal,
        _ => Cause::PeerUnreachable,
    };
    Refused::new(cause, error.to_string())
}

/// The request to write the first superblock, as the protocol has it.
#[must_use]
pub fn init_of(request: InitRequest) -> Init {
    Init {
        pair_id: request.pair_id,
        role: request.role,
        epoch: request.epoch,
        generation: request.generation,
        start: request.start,
        never_writable: request.never_writable,
        requested_primary: request.requested_primary,
    }
}

/// The request to become primary, as the protocol has it.
#[must_use]
pub fn promote_of(request: PromoteRequest) -> Promote {
    Promote {
        epoch: request.epoch,
        generation: request.generation,
        peer_head: request.peer_head,
        requested_primary: request.requested_primary,
    }
}

/// The request to become standby, as the protocol has it.
#[must_use]
pub fn demote_of(request: DemoteRequest) -> Demote {
    Demote {
        epoch: request.epoch,
        lineage: request.lineage,
        clean_at: request.clean_at,
        requested_primary: request.requested_primary,
    }
}

/// The operator's list.
#[must_use]
pub fn list_of(changes: ChangeList) -> List {
    match changes {
        ChangeList::Delta { base } => List::Delta { base },
        ChangeList::Allocated => List::Allocated,
        ChangeList::Nothing => List::Nothing,
    }
}

/// What of a superblock the protocol reads.
#[must_use]
pub fn record_of(superblock: &Superblock) -> Record {
    Record {
        pair_id: superblock.pair_id,
        role: superblock.role,
        epoch: superblock.epoch,
        lineage: superblock.lineage.clone(),
        committed: superblock.committed,
        applied: superblock.applied,
        image: superblock.image,
        diverged: superblock.diverged,
        never_writable: superblock.never_writable,
        requested_primary: superblock.requested_primary.clone(),
    }
}

/// What is saved of a record. `size` is that of the volume in bytes, 0 without one: then the one in
/// `old`, the superblock before, stays.
#[must_use]
pub fn superblock_of(
    old: Option<&Superblock>,
    site: &SiteName,
    record: &Record,
    size: u64,
) -> Superblock {
    Superblock {
        pair_id: record.pair_id,
        site: site.clone(),
        role: record.role,
        epoch: record.epoch,
        lineage: record.lineage.clone(),
        committed: record.committed,
        applied: record.applied,
        image: record.image,
        // A volume never shrinks; a device that is shorter is not its.
        size_bytes: size.max(old.map_or(0, |old| old.size_bytes)),
        volume: old.and_then(|old| old.volume.clone()),
        never_writable: record.never_writable,
        diverged: record.diverged,
        requested_primary: record.requested_primary.clone(),
    }
}

/// What the operator sees of a record.
#[must_use]
pub fn report_of(record: &Record) -> SuperblockReport {
    SuperblockReport {
        pair_id: record.pair_id,
        role: record.role,
        epoch: record.epoch,
        lineage: record.lineage.clone(),
        committed: record.committed,
        applied: record.applied,
        image: record.image,
        diverged: record.diverged,
        requested_primary: record.requested_primary.clone(),
    }
}

/// What a side says first. A source names the cut that it wants to ship.
#[must_use]
pub fn wire_hello(
    site: &SiteName,
    record: Option<&Record>,
    size: u64,
    cut: Option<Point>,
) -> wire::Hello {
    wire::Hello {
        versions: VersionRange::OURS,
        pair_id: record.map(|r| r.pair_id),
        site: site.clone(),
        unreadable: false,
        role: record.map_or(Role::Standby, |r| r.role),
        epoch: record.map_or_else(Default::default, |r| r.epoch),
        lineage: record.map_or_else(Lineage::default, |r| r.lineage.clone()),
        committed: record.and_then(|r| r.committed),
        applied: record.and_then(|r| r.applied),
        cut,
        image: record.map_or(ImageState::None, |r| r.image),
        size_bytes: size,
        diverged: record.is_some_and(|r| r.diverged),
        never_writable: record.is_some_and(|r| r.never_writable),
        digests_of: None,
    }
}

/// What a source said first, if it names itself and a cut.
#[must_use]
pub fn hello_of(hello: &wire::Hello) -> Option<Hello> {
    Some(Hello {
        pair_id: hello.pair_id?,
        epoch: hello.epoch,
        lineage: hello.lineage.clone(),
        cycle: hello.cut?,
        size: hello.size_bytes,
    })
}

/// What a target answered. The request is no business of the peer's: ours stands in for it.
#[must_use]
pub fn greeting_of(hello: &wire::Hello, requested_primary: &SiteName) -> Greeting {
    let superblock = match hello.pair_id {
        _ if hello.unreadable => PeerSuperblock::Unreadable,
        None => PeerSuperblock::Blank,
        Some(pair_id) => PeerSuperblock::Known(Box::new(Record {
            pair_id,
            role: hello.role,
            epoch: hello.epoch,
            lineage: hello.lineage.clone(),
            committed: hello.committed,
            applied: hello.applied,
            image: hello.image,
            diverged: hello.diverged,
            never_writable: hello.never_writable,
            requested_primary: requested_primary.clone(),
        })),
    };
    Greeting {
        superblock,
        size: hello.size_bytes,
    }
}

/// The identity of the change set that `begin` announces.
#[must_use]
pub fn cycle_id(begin: &Begin) -> CycleId {
    CycleId {
        cycle: begin.cycle,
        from: begin.base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_state_volume_and_a_broken_one_differ() {
        let failed = |errno| {
            let error = std::io::Error::from_raw_os_error(errno);
            journal_failed(&DiskError::new("write", "staging", error).into()).cause
        };
        assert_eq!(failed(28), Cause::StateVolumeFull);
        assert_eq!(failed(5), Cause::TargetWriteError);
    }
}
