//! What the bytes on disk mean, format by format. The structs here are frozen: a field or a variant
//! never changes its place, whatever becomes of the types that the program works with; a change is a
//! new format. Conversions are exhaustive, so a new variant does not compile before it has its place
//! on disk.
//!
//! All contents are postcard: integers as varints (LEB128); `bool` one byte; an option
//! a byte 0 or 1 and then the value; a string or a list its length as a varint and then its parts; an
//! enum the number of its variant as a varint and then its fields; a UUID the byte 16 and its 16 bytes;
//! a digest its 32 bytes.
//!
//! | file | formats read | written | content |
//! |---|---|---|---|
//! | `superblock` | 1, 2, 3 | 3 | [`v1::Superblock`], [`v2::Superblock`], [`v3::Superblock`] |
//! | `staging` | 1 | 1 | [`v1::LogHeader`], [`v1::StagedBatch`], [`v1::Sum`] |
//! | `digests.next` | 1 | 1 | [`v1::LogHeader`], [`v1::DigestBatch`], [`v1::Sum`] |
//! | `digests.state` | 1, 2 | 2 | [`v1::DigestState`], [`v2::DigestState`] |
//! | `in-place` | 1 | 1 | [`v1::InPlaceMark`] |

mod dispatch;
mod parts;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod v3;

pub(crate) use dispatch::{
    DIGEST_LOG, DIGEST_STATE, IN_PLACE, STAGING, SUPERBLOCK, decode_digest_batch,
    decode_digest_state, decode_in_place, decode_log_header, decode_staged_batch, decode_sum,
    decode_superblock, encode_digest_batch, encode_digest_state, encode_in_place,
    encode_log_header, encode_staged_batch, encode_sum, encode_superblock,
};
