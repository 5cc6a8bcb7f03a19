//! The bytes of each format, as they were first written: they never change.

use uuid::Uuid;

use super::*;
use crate::journal::{DigestLogSpec, DigestState, InPlaceMark, StagingSpec, Superblock};
use protocol::changes::{CycleId, CycleSum, Region, RegionKind};
use protocol::units::{
    ChangeSource, Epoch, Extent, Generation, ImageState, Lineage, PairId, Point, Role, Seq,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

fn id() -> CycleId {
    CycleId {
        cycle: Point::new(2, 309),
        from: Some(Point::new(2, 308)),
    }
}

fn regions(crc: u32) -> Vec<Region> {
    let region = |offset, len, kind| Region {
        extent: Extent::new(offset, len),
        kind,
    };
    vec![
        region(0, 4096, RegionKind::Data { crc }),
        region(8192, 100, RegionKind::Zero),
    ]
}

fn superblock(role: Role, image: ImageState) -> Superblock {
    Superblock {
        pair_id: PairId(Uuid::from_u128(0x22)),
        site: "west".parse().unwrap(),
        role,
        epoch: Epoch(2),
        lineage: Lineage::starting(Epoch(1), Generation(Uuid::from_u128(0x11)), Seq(300)),
        committed: Some(Point::new(2, 7)),
        applied: None,
        image,
        size_bytes: 4096,
        volume: None,
        never_writable: true,
        diverged: false,
        requested_primary: "east".parse().unwrap(),
    }
}

#[test]
fn superblock_3_and_2() {
    let point = Point::new(2, 7);
    for (role, image, bytes) in [
        (Role::Primary, ImageState::None, ["00", "00"]),
        (
            Role::Standby,
            ImageState::Consistent(point),
            ["01", "010207"],
        ),
        (Role::Standby, ImageState::Redo(point), ["01", "020207"]),
        (Role::Standby, ImageState::Inconsistent, ["01", "03"]),
    ] {
        let live = superblock(role, image);
        let content = encode_superblock(&live).unwrap();
        let [role, image] = bytes;
        let before = format!(
            "10{:032x}0477657374{role}020101\
             10{:032x}ac0201020700{image}8020",
            0x22, 0x11
        );
        let expected = |volume: &str| format!("{before}{volume}01000465617374").replace(' ', "");
        assert_eq!(hex(&content), expected("00"));
        assert_eq!(decode_superblock(3, &content), Some(live.clone()));
        assert_eq!(decode_superblock(4, &content), None);
        assert_eq!(decode_superblock(0, &content), None);
        let tied = Superblock {
            volume: Some("ebs.csi/v-1".parse().unwrap()),
            ..live.clone()
        };
        let content = encode_superblock(&tied).unwrap();
        assert_eq!(hex(&content), expected("01076562732e63736903762d31"));
        assert_eq!(decode_superblock(3, &content), Some(tied));
        // What format 2 wrote is read; it did not say which volume it is.
        let second = bytes_of(&expected(""));
        assert_eq!(decode_superblock(2, &second), Some(live));
    }
}

#[test]
fn the_header_of_a_log_1() {
    for (change_source, byte) in [
        (ChangeSource::Delta, "00"),
        (ChangeSource::Allocated, "01"),
        (ChangeSource::Digests, "02"),
        (ChangeSource::FullRead, "03"),
        (ChangeSource::Verify, "04"),
    ] {
        let (id, size_bytes) = (id(), 1 << 20);
        let spec = StagingSpec {
            id,
            size_bytes,
            change_source,
        };
        let content = encode_log_header(spec).unwrap();
        assert_eq!(hex(&content), format!("02b5020102b402808040{byte}"));
        assert_eq!(decode_log_header(1, &content), Some(spec));
        let spec = DigestLogSpec {
            id,
            size_bytes,
            change_source,
        };
        assert_eq!(encode_log_header(spec).unwrap(), content);
        assert_eq!(decode_log_header(1, &content), Some(spec));
        assert_eq!(decode_log_header::<StagingSpec>(2, &content), None);
    }
}

#[test]
fn the_records_of_logs_1() {
    let staged = encode_staged_batch(8292, &regions(300)).unwrap();
    assert_eq!(
        hex(&staged),
        "e44002008020 00ac02 804064 01".replace(' ', "")
    );
    assert_eq!(decode_staged_batch(1, &staged), Some((8292, regions(300))));
    assert_eq!(decode_staged_batch(2, &staged), None);
    let digests = encode_digest_batch(8292, &regions(300)).unwrap();
    assert_eq!(hex(&digests), "e44002008020 01 804064 00".replace(' ', ""));
    assert_eq!(decode_digest_batch(1, &digests), Some((8292, regions(0))));
    assert_eq!(decode_digest_batch(2, &digests), None);
    let sum = CycleSum {
        count: 2,
        data_bytes: 4096,
        zero_bytes: 100,
        digest: [7; 32],
    };
    let seal = encode_sum(sum).unwrap();
    assert_eq!(hex(&seal), format!("02802064{}", "07".repeat(32)));
    assert_eq!(decode_sum(1, &seal), Some(sum));
    assert_eq!(decode_sum(2, &seal), None);
}

#[test]
fn the_state_of_the_digests_1_and_2() {
    let state = DigestState {
        point: Point::new(2, 309),
        size_bytes: 4096,
        updating: true,
        generation: 3,
        pages: 1,
        root: Some(300),
    };
    let content = encode_digest_state(state).unwrap();
    assert_eq!(hex(&content), "02b50280200103 01 01ac02".replace(' ', ""));
    let first = DigestState {
        generation: 0,
        pages: 0,
        root: None,
        ..state
    };
    let one = &content[..6];
    assert_eq!(decode_digest_state(1, one), Some(first));
    for (found, expected) in [(0, None), (2, Some(state)), (3, None)] {
        assert_eq!(decode_digest_state(found, &content), expected);
    }
}

#[test]
fn the_mark_of_a_copy_in_place_1() {
    let mark = InPlaceMark {
        id: CycleId { from: None, ..id() },
        size_bytes: 4096,
        through: 300,
    };
    let content = encode_in_place(mark).unwrap();
    assert_eq!(hex(&content), "02b502008020ac02");
    assert_eq!(decode_in_place(1, &content), Some(mark));
    assert_eq!(decode_in_place(2, &content), None);
}
