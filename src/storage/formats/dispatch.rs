//! Which format is read how, and which one is written: the newest.
//!
//! Decoding answers `None` where the bytes are none of the format that was found, or where there never
//! was such a format. A newer one is refused before, by whoever has read the file's header.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::formats::{v1, v2, v3};
use crate::journal::{DigestState, InPlaceMark, JournalError, Superblock};
use protocol::changes::{CycleSum, Region};

/// The newest format of the file `superblock`.
pub(crate) const SUPERBLOCK: u16 = 3;
/// The newest format of the file `staging`.
pub(crate) const STAGING: u16 = 1;
/// The newest format of the file `digests.next`.
pub(crate) const DIGEST_LOG: u16 = 1;
/// The newest format of the file `digests.state`.
pub(crate) const DIGEST_STATE: u16 = 2;
/// The newest format of the file `in-place`.
pub(crate) const IN_PLACE: u16 = 1;

pub(crate) fn encode_superblock(live: &Superblock) -> Result<Vec<u8>, JournalError> {
    bytes(&v3::Superblock::from(live))
}

pub(crate) fn decode_superblock(found: u16, content: &[u8]) -> Option<Superblock> {
    match found {
        1 => value::<v1::Superblock>(content)?.try_into().ok(),
        2 => value::<v2::Superblock>(content)?.try_into().ok(),
        3 => value::<v3::Superblock>(content)?.try_into().ok(),
        _ => None,
    }
}

/// What a log is for, as its header says it.
pub(crate) fn encode_log_header(spec: impl Into<v1::LogHeader>) -> Result<Vec<u8>, JournalError> {
    bytes(&spec.into())
}

pub(crate) fn decode_log_header<T: From<v1::LogHeader>>(found: u16, content: &[u8]) -> Option<T> {
    match found {
        1 => value::<v1::LogHeader>(content).map(T::from),
        _ => None,
    }
}

/// The head of a batch's record in `staging`.
pub(crate) fn encode_staged_batch(
    through: u64,
    regions: &[Region],
) -> Result<Vec<u8>, JournalError> {
    let regions = regions.iter().map(|region| (*region).into()).collect();
    bytes(&v1::StagedBatch { through, regions })
}

pub(crate) fn decode_staged_batch(found: u16, head: &[u8]) -> Option<(u64, Vec<Region>)> {
    match found {
        1 => {
            let batch = value::<v1::StagedBatch>(head)?;
            let regions = batch.regions.into_iter().map(Region::from).collect();
            Some((batch.through, regions))
        }
        _ => None,
    }
}

/// The head of a batch's record in `digests.next`.
pub(crate) fn encode_digest_batch(
    through: u64,
    regions: &[Region],
) -> Result<Vec<u8>, JournalError> {
    bytes(&v1::DigestBatch::new(through, regions))
}

pub(crate) fn decode_digest_batch(found: u16, head: &[u8]) -> Option<(u64, Vec<Region>)> {
    match found {
        1 => {
            let batch = value::<v1::DigestBatch>(head)?;
            Some((batch.through, batch.regions()))
        }
        _ => None,
    }
}

/// The head of the seal's record, in either log.
pub(crate) fn encode_sum(sum: CycleSum) -> Result<Vec<u8>, JournalError> {
    bytes(&v1::Sum::from(sum))
}

pub(crate) fn decode_sum(found: u16, head: &[u8]) -> Option<CycleSum> {
    match found {
        1 => value::<v1::Sum>(head).map(CycleSum::from),
        _ => None,
    }
}

pub(crate) fn encode_digest_state(state: DigestState) -> Result<Vec<u8>, JournalError> {
    bytes(&v2::DigestState::from(state))
}

pub(crate) fn decode_digest_state(found: u16, content: &[u8]) -> Option<DigestState> {
    match found {
        1 => value::<v1::DigestState>(content).map(DigestState::from),
        2 => value::<v2::DigestState>(content).map(DigestState::from),
        _ => None,
    }
}

pub(crate) fn encode_in_place(mark: InPlaceMark) -> Result<Vec<u8>, JournalError> {
    bytes(&v1::InPlaceMark::from(mark))
}

pub(crate) fn decode_in_place(found: u16, content: &[u8]) -> Option<InPlaceMark> {
    match found {
        1 => value::<v1::InPlaceMark>(content).map(InPlaceMark::from),
        _ => None,
    }
}

fn bytes(stored: &impl Serialize) -> Result<Vec<u8>, JournalError> {
    postcard::to_stdvec(stored)
        .map_err(|error| JournalError::OutOfOrder(format!("failed to encode a record: {error}")))
}

fn value<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    postcard::from_bytes(content).ok()
}
