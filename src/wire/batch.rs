//! Many regions in one frame.

use bytes::Bytes;
use protocol::changes::{BatchData, Limits, Region, RegionKind, check_regions};
use protocol::units::Point;
use serde::{Deserialize, Serialize};

use crate::{Compressor, WireError};

/// How a batch's data is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// As it is.
    Plain,
    /// One lz4 block.
    Lz4,
    /// One zstd frame.
    Zstd,
}

/// A batch as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The cut that it belongs to.
    pub cycle: Point,
    /// Which batch of this connection's run of the cycle, from 0, without gaps.
    pub index: u64,
    /// Everything that changed below this byte of the volume has been sent with this batch.
    pub through: u64,
    /// How `packed` is packed.
    pub codec: Codec,
    /// Length of the data unpacked, in bytes.
    pub unpacked_len: u32,
    /// The regions, ascending and disjoint, also across batches.
    pub regions: Vec<Region>,
    /// The data of the data regions, in order and without gaps, packed.
    pub packed: Bytes,
}

impl Batch {
    /// Checks that this is the batch after `before` others of its run. Without one of them the sum at
    /// the end would be wrong, and all of the cycle would have to be sent again.
    ///
    /// # Errors
    /// When it is another.
    pub fn is_next(&self, before: u64) -> Result<(), WireError> {
        if self.index == before {
            return Ok(());
        }
        let why = format!("it is number {} where {before} has to come", self.index);
        Err(WireError::malformed("batch", why))
    }
}

/// Makes a batch ready to travel, compressed where `compressor` says that it pays.
#[must_use]
pub fn pack(cycle: Point, index: u64, batch: BatchData, compressor: &mut Compressor) -> Batch {
    let unpacked_len = u32::try_from(batch.data.len()).unwrap_or(u32::MAX);
    let (codec, packed) = match compressor.compress(&batch.data) {
        Some((codec, packed)) => (codec, Bytes::from(packed)),
        None => (Codec::Plain, batch.data),
    };
    Batch {
        cycle,
        index,
        through: batch.through,
        codec,
        unpacked_len,
        regions: batch.regions,
        packed,
    }
}

/// Checks a batch that was received for a volume of `size` bytes, and unpacks it. `after` is the
/// `through` of the batch before, or where the cycle was resumed.
///
/// # Errors
/// When the regions are not what the protocol allows, or the data does not match its checksums.
pub fn unpack(batch: Batch, after: u64, size: u64) -> Result<BatchData, WireError> {
    unpack_within(batch, after, size, &Limits::PRODUCT)
}

/// The same by other limits than the product's.
///
/// # Errors
/// Like [`unpack`].
pub fn unpack_within(
    batch: Batch,
    after: u64,
    size: u64,
    limits: &Limits,
) -> Result<BatchData, WireError> {
    check_batch(&batch, after, size, limits)?;
    let data = decompress(batch.codec, batch.packed, batch.unpacked_len as usize)?;
    let unpacked = BatchData {
        through: batch.through,
        regions: batch.regions,
        data,
    };
    for (region, bytes) in unpacked.iter() {
        if let RegionKind::Data { crc } = region.kind
            && crc32c::crc32c(bytes) != crc
        {
            return Err(WireError::Checksum { what: "a region" });
        }
    }
    Ok(unpacked)
}

fn check_batch(batch: &Batch, after: u64, size: u64, limits: &Limits) -> Result<(), WireError> {
    let limit = |what, got: usize, max: usize| WireError::TooLarge {
        what,
        got: got as u64,
        max: max as u64,
    };
    let unpacked_len = batch.unpacked_len as usize;
    if unpacked_len > limits.batch_bytes {
        return Err(limit("a batch's data", unpacked_len, limits.batch_bytes));
    }
    if batch.regions.len() > limits.batch_regions {
        return Err(limit(
            "a batch's regions",
            batch.regions.len(),
            limits.batch_regions,
        ));
    }
    let data = check_regions(&batch.regions, after, batch.through, size)?;
    if data != u64::from(batch.unpacked_len) {
        return Err(WireError::malformed(
            "batch",
            "its data is not as long as its regions",
        ));
    }
    Ok(())
}

fn decompress(codec: Codec, packed: Bytes, len: usize) -> Result<Bytes, WireError> {
    let unpacked = match codec {
        Codec::Plain => packed,
        Codec::Lz4 => {
            let mut out = vec![0; len];
            let n = lz4_flex::block::decompress_into(&packed, &mut out)
                .map_err(|e| WireError::malformed("batch", e))?;
            out.truncate(n);
            out.into()
        }
        Codec::Zstd => zstd::bulk::decompress(&packed, len)
            .map_err(|e| WireError::malformed("batch", e))?
            .into(),
    };
    if unpacked.len() != len {
        return Err(WireError::malformed(
            "batch",
            "its data is not as long as it says",
        ));
    }
    Ok(unpacked)
}
