//! The part of a batch that is in given ranges.

use protocol::changes::{BatchData, Region, RegionKind};
use protocol::units::Extent;
use storage::volume::ApplyError;

/// What of a batch is in `these` ranges, which are ascending and disjoint. Its data is checked first,
/// because a part of it has a checksum of its own.
///
/// # Errors
/// When a region's data does not match its checksum.
pub fn only(batch: &BatchData, these: &[Extent]) -> Result<BatchData, ApplyError> {
    let mut regions = Vec::new();
    let mut bytes = Vec::new();
    for (region, data) in batch.iter() {
        if let RegionKind::Data { crc } = region.kind
            && crc32c::crc32c(data) != crc
        {
            return Err(ApplyError::Checksum(region.extent.offset));
        }
        for part in parts(region.extent, these) {
            let kind = match region.kind {
                RegionKind::Zero => RegionKind::Zero,
                RegionKind::Data { .. } => {
                    let at = |byte: u64| {
                        usize::try_from(byte - region.extent.offset).unwrap_or(data.len())
                    };
                    let part = &data[at(part.offset)..at(part.end())];
                    bytes.extend_from_slice(part);
                    RegionKind::Data {
                        crc: crc32c::crc32c(part),
                    }
                }
            };
            regions.push(Region { extent: part, kind });
        }
    }
    Ok(BatchData {
        through: batch.through,
        regions,
        data: bytes.into(),
    })
}

/// The parts of `extent` that are in `these`.
fn parts(extent: Extent, these: &[Extent]) -> impl Iterator<Item = Extent> {
    let first = these.partition_point(|this| this.end() <= extent.offset);
    these[first..]
        .iter()
        .take_while(move |this| this.offset < extent.end())
        .map(move |this| {
            let offset = this.offset.max(extent.offset);
            Extent::new(offset, this.end().min(extent.end()) - offset)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn region(offset: u64, data: &[u8], zero: bool) -> Region {
        let kind = match zero {
            true => RegionKind::Zero,
            false => RegionKind::Data {
                crc: crc32c::crc32c(data),
            },
        };
        Region {
            extent: Extent::new(offset, data.len() as u64),
            kind,
        }
    }

    /// What a batch makes of each byte.
    fn bytes(batch: &BatchData) -> BTreeMap<u64, u8> {
        let mut all = BTreeMap::new();
        for (region, data) in batch.iter() {
            for at in 0..region.extent.len {
                let byte = match region.kind {
                    RegionKind::Zero => 0,
                    RegionKind::Data { .. } => data[usize::try_from(at).unwrap()],
                };
                assert_eq!(all.insert(region.extent.offset + at, byte), None);
            }
        }
        all
    }

    proptest! {
        /// what is tried again is what failed, byte by byte, and nothing else.
        #[test]
        fn r_2_only_what_is_in_the_ranges_is_left(
            lens in proptest::collection::vec((1_u64..30, 0_u64..20, any::<bool>()), 1..8),
            ranges in proptest::collection::btree_set(0_u64..400, 0..20),
        ) {
            let (mut at, mut regions, mut data) = (0, Vec::new(), Vec::new());
            for (len, gap, zero) in lens {
                let part: Vec<u8> = (0..len).map(|n| (at + n) as u8 | 1).collect();
                regions.push(region(at + gap, &part, zero));
                if !zero {
                    data.extend_from_slice(&part);
                }
                at += gap + len;
            }
            let batch = BatchData { through: at, regions, data: data.into() };
            let bounds: Vec<u64> = ranges.into_iter().collect();
            let these: Vec<Extent> = bounds.chunks_exact(2).map(|two| Extent::new(two[0], two[1] - two[0])).collect();
            let inside = |byte: &u64| these.iter().any(|this| (this.offset..this.end()).contains(byte));
            let expected: BTreeMap<u64, u8> = bytes(&batch).into_iter().filter(|(byte, _)| inside(byte)).collect();
            prop_assert_eq!(bytes(&only(&batch, &these).unwrap()), expected);
        }
    }

    #[test]
    fn damage_beside_the_ranges_is_found_all_the_same() {
        let mut batch = BatchData {
            through: 8,
            regions: vec![region(0, &[1; 8], false)],
            data: vec![1; 8].into(),
        };
        assert!(only(&batch, &[Extent::new(0, 2)]).is_ok());
        batch.data = vec![1, 1, 1, 1, 1, 1, 1, 2].into();
        assert!(only(&batch, &[Extent::new(0, 2)]).is_err());
    }
}
