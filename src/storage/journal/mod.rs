//! What a mover keeps on its state volume: superblock, staging, digests.
//!
//! | file | content | size |
//! |---|---|---|
//! | `superblock` | [`Superblock`], mirrored in two slots | 8 KiB |
//! | `staging` | the redo log of one cycle ([`Staging`]) | the cycle's data, at most its limit |
//! | `in-place` | how far a first copy is durable ([`InPlaceMark`]) | some bytes |
//! | `digests` | a digest for each block of the committed image ([`DigestStore`]) | 0.39 % of the volume's data |
//! | `digests.next` | what a running cycle will change in it ([`DigestLog`]) | 0.39 % of the cycle's data |

mod digest_log;
mod digest_page;
mod digest_reader;
mod digest_store;
mod digest_writer;
mod error;
mod in_place_mark;
mod record_log;
mod staging;
mod staging_recovery;
mod superblock;
mod superblock_store;

pub use digest_log::{DigestLog, DigestLogSpec};
pub use digest_page::BLOCKS_PER_PAGE;
pub use digest_reader::DigestReader;
pub(crate) use digest_store::DigestState;
pub use digest_store::{DigestStore, Proof};
pub use error::JournalError;
pub use in_place_mark::InPlaceMark;
pub use staging::{Checkpoint, Staging, StagingReader, StagingSpec};
pub use staging_recovery::{RecoveryInput, RecoveryRow, StagingOutcome};
pub use superblock::Superblock;
pub use superblock_store::SuperblockStore;
