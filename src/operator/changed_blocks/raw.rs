//! A list from messages as they travel, without a service: what the fuzz targets go through.

use prost::Message as _;

use crate::changed_blocks::decode::{Decoder, Part};
use crate::changed_blocks::proto::GetMetadataDeltaResponse;
use crate::changed_blocks::{MetadataError, Trust};
use protocol::units::Extent;

/// The extents that `messages` list for a device of `device` bytes whose base had `base` bytes.
///
/// # Errors
/// When a message can't be decoded, or what they say contradicts itself.
#[doc(hidden)]
pub fn decode_messages(
    device: u64,
    base: u64,
    messages: &[&[u8]],
) -> Result<Vec<Extent>, MetadataError> {
    let mut decoder = Decoder::new(device, base);
    let mut extents = Vec::new();
    for message in messages {
        let message = GetMetadataDeltaResponse::decode(*message)
            .map_err(|error| MetadataError::new(Trust::Later, error.to_string()))?;
        extents.extend(decoder.take(&Part::from(message))?);
    }
    extents.extend(decoder.finish());
    Ok(extents)
}
