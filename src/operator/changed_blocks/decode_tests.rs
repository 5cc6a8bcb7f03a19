//! What the decoder makes of streams: good ones, resumed ones and every kind of bad one.

use proptest::prelude::*;

use super::decode::{Decoder, Part};
use super::proto::BlockMetadata;
use super::{MetadataError, Trust};
use protocol::units::{Extent, ExtentSet};

const FIXED: i32 = 1;
const VARIABLE: i32 = 2;

fn part(style: i32, capacity: i64, blocks: &[(i64, i64)]) -> Part {
    Part {
        style,
        capacity,
        blocks: blocks
            .iter()
            .map(|&(byte_offset, size_bytes)| BlockMetadata {
                byte_offset,
                size_bytes,
            })
            .collect(),
    }
}

fn decode(device: u64, base: u64, parts: &[Part]) -> Result<Vec<(u64, u64)>, MetadataError> {
    let mut decoder = Decoder::new(device, base);
    let mut all = Vec::new();
    for part in parts {
        all.extend(decoder.take(part)?);
    }
    all.extend(decoder.finish());
    Ok(all.iter().map(|e| (e.offset, e.len)).collect())
}

#[test]
fn golden_streams() {
    let same = |parts: &[Part]| decode(100, 100, parts).unwrap();
    assert_eq!(same(&[]), []);
    assert_eq!(same(&[part(VARIABLE, 100, &[])]), []);
    // Touching ranges are joined, also across messages.
    assert_eq!(
        same(&[
            part(VARIABLE, 100, &[(0, 10), (10, 5), (20, 1)]),
            part(VARIABLE, 100, &[]),
            part(VARIABLE, 100, &[(21, 9), (99, 1)]),
        ]),
        [(0, 15), (20, 10), (99, 1)]
    );
    // Fixed lengths: the last range may be short, or reach over the end of an odd-sized volume.
    assert_eq!(
        same(&[part(FIXED, 100, &[(0, 30), (60, 30), (90, 10)])]),
        [(0, 30), (60, 40)]
    );
    assert_eq!(
        same(&[part(FIXED, 100, &[(0, 30), (90, 30)])]),
        [(0, 30), (90, 10)]
    );
    // The device that is read may be smaller than the driver's capacity, or larger.
    assert_eq!(
        decode(95, 95, &[part(VARIABLE, 100, &[(90, 10)])]).unwrap(),
        [(90, 5)]
    );
    assert_eq!(
        decode(120, 120, &[part(VARIABLE, 100, &[(0, 1)])]).unwrap(),
        [(0, 1), (100, 20)]
    );
    // What the volume has grown by is different, whether it is listed or not.
    assert_eq!(
        decode(100, 50, &[part(VARIABLE, 100, &[(40, 5), (60, 5)])]).unwrap(),
        [(40, 5), (50, 50)]
    );
    assert_eq!(
        decode(100, 50, &[part(VARIABLE, 100, &[(45, 10)])]).unwrap(),
        [(45, 55)]
    );
    assert_eq!(decode(100, 50, &[]).unwrap(), [(50, 50)]);
}

#[test]
fn whatever_contradicts_itself_breaks_the_list() {
    for (parts, why) in [
        (vec![part(0, 100, &[(0, 1)])], "type is unknown"),
        (vec![part(7, 100, &[(0, 1)])], "type is unknown"),
        (vec![part(VARIABLE, 0, &[])], "capacity"),
        (vec![part(VARIABLE, -1, &[])], "capacity"),
        (vec![part(VARIABLE, 100, &[(0, 0)])], "is empty"),
        (vec![part(VARIABLE, 100, &[(-1, 2)])], "is negative"),
        (vec![part(VARIABLE, 100, &[(0, -2)])], "is negative"),
        (
            vec![part(VARIABLE, 100, &[(10, 5), (14, 1)])],
            "behind the one before",
        ),
        (
            vec![part(VARIABLE, 100, &[(10, 5), (0, 5)])],
            "behind the one before",
        ),
        (
            vec![
                part(VARIABLE, 100, &[(10, 5)]),
                part(VARIABLE, 100, &[(10, 5)]),
            ],
            "behind the one before",
        ),
        (
            vec![part(VARIABLE, 100, &[(99, 2)])],
            "over the volume's end",
        ),
        (
            vec![part(VARIABLE, 100, &[(i64::MAX, i64::MAX)])],
            "over the volume's end",
        ),
        (
            vec![part(FIXED, 100, &[(100, 10)])],
            "beyond the volume's end",
        ),
        (
            vec![part(FIXED, 100, &[(0, 10), (10, 20)])],
            "another length",
        ),
        (
            vec![part(FIXED, 100, &[(0, 10), (10, 5), (20, 10)])],
            "another length",
        ),
        (
            vec![part(VARIABLE, 100, &[(0, 1)]), part(FIXED, 100, &[(2, 1)])],
            "type changes",
        ),
        (
            vec![
                part(VARIABLE, 100, &[(0, 1)]),
                part(VARIABLE, 101, &[(2, 1)]),
            ],
            "capacity changes",
        ),
    ] {
        let error = decode(200, 200, &parts).unwrap_err();
        assert_eq!(error.trust, Trust::Broken, "{parts:?}");
        assert!(error.because.contains(why), "{error} for {parts:?}");
    }
}

#[test]
fn a_resumed_attempt_may_begin_before_what_is_known_and_must_still_ascend() {
    let mut decoder = Decoder::new(100, 100);
    assert_eq!(decoder.resume(), 0);
    let first = decoder
        .take(&part(VARIABLE, 100, &[(0, 10), (20, 10)]))
        .unwrap();
    assert_eq!(first, [Extent::new(0, 10)]);
    assert_eq!(decoder.resume(), 30);
    let second = decoder
        .take(&part(VARIABLE, 100, &[(25, 10), (40, 5)]))
        .unwrap();
    assert_eq!(second, [Extent::new(20, 15)]);
    assert_eq!(decoder.resume(), 45);
    // A driver that begins again says nothing new until it is past what is known.
    let third = decoder
        .take(&part(VARIABLE, 100, &[(0, 10), (20, 15), (90, 1)]))
        .unwrap();
    assert_eq!(third, [Extent::new(40, 5)]);
    assert!(decoder.take(&part(VARIABLE, 100, &[(50, 1)])).is_err());
    // Another capacity in another attempt is another volume.
    decoder.resume();
    assert!(decoder.take(&part(VARIABLE, 99, &[])).is_err());
}

/// Ascending, disjoint ranges within 1000 bytes.
fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0_u64..20, 1_u64..30), 0..40).prop_map(|steps| {
        let mut end = 0;
        let mut ranges = Vec::new();
        for (gap, len) in steps {
            let offset = end + gap;
            if offset + len > 1000 {
                break;
            }
            ranges.push((offset, len));
            end = offset + len;
        }
        ranges
    })
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap()
}

proptest! {
    /// The oracle is the union of the ranges; messages and breaks fall anywhere.
    #[test]
    fn any_split_and_any_breaks_give_the_union(
        ranges in ranges(),
        sizes in proptest::collection::vec((1_usize..5, any::<bool>(), 0_u64..40), 1..60),
        base in 0_u64..1100,
    ) {
        let mut decoder = Decoder::new(1000, base);
        let mut got: Vec<Extent> = Vec::new();
        let mut next = 0;
        let calm = std::iter::repeat((4, false, 0));
        for (size, breaks, overlap) in sizes.into_iter().chain(calm) {
            if next >= ranges.len() {
                break;
            }
            if breaks {
                // The first range of an attempt is any whose end is behind the offset, or earlier.
                let from = decoder.resume().saturating_sub(overlap);
                next = ranges.iter().position(|(o, l)| o + l > from).unwrap_or(ranges.len());
            }
            let upto = (next + size).min(ranges.len());
            let blocks: Vec<(i64, i64)> =
                ranges[next..upto].iter().map(|&(o, l)| (signed(o), signed(l))).collect();
            got.extend(decoder.take(&part(VARIABLE, 1000, &blocks)).unwrap());
            next = upto;
        }
        got.extend(decoder.finish());
        let grown = (base < 1000).then(|| Extent::new(base, 1000 - base));
        let expected = ExtentSet::union(
            ranges.iter().map(|&(o, l)| Extent::new(o, l)).chain(grown),
        );
        prop_assert_eq!(got, expected.as_slice());
    }

    /// Whatever the numbers are, what is passed on is sane, and nothing panics.
    #[test]
    fn nothing_insane_gets_through(
        style in -1_i32..4,
        messages in proptest::collection::vec(
            (any::<i64>(), proptest::collection::vec((any::<i64>(), any::<i64>()), 0..4)),
            0..4,
        ),
        device in any::<u32>(),
        base in any::<u32>(),
    ) {
        let mut decoder = Decoder::new(device.into(), base.into());
        let mut got = Vec::new();
        for (capacity, blocks) in &messages {
            match decoder.take(&part(style, *capacity, blocks)) {
                Ok(extents) => got.extend(extents),
                Err(_) => return Ok(()),
            }
        }
        got.extend(decoder.finish());
        let mut end = None;
        for extent in got {
            prop_assert!(extent.len > 0 && extent.end() <= device.into());
            prop_assert!(end.is_none_or(|end| end < extent.offset));
            end = Some(extent.end());
        }
    }
}
