//! What others tell: a driver's list of extents, and names in certificates.

use operator::changed_blocks::decode_messages;
use protocol::units::{PairName, PeerName, SiteName};

use super::journal::counted;

/// The messages of a SnapshotMetadata stream: the device's size and its base's size (eight bytes
/// each), then each message after its length as two bytes.
pub fn metadata(bytes: &[u8]) -> bool {
    let Some((sizes, mut rest)) = bytes.split_first_chunk::<16>() else {
        return false;
    };
    let (device, base) = sizes.split_at(8);
    let [device, base] = [device, base].map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    let mut messages = Vec::new();
    while let Some((message, after)) = counted(rest) {
        messages.push(message);
        rest = after;
    }
    let Ok(extents) = decode_messages(device, base, &messages) else {
        return false;
    };
    let mut position = None;
    for extent in &extents {
        assert!(extent.len > 0 && extent.end() <= device);
        assert!(position.is_none_or(|end| extent.offset > end), "they touch");
        position = Some(extent.end());
    }
    // What the base did not have counts as changed, whatever is listed.
    if base < device {
        let last = extents.last().unwrap();
        assert!(last.offset <= base && last.end() == device);
    }
    !messages.is_empty()
}

/// Names as text. What is taken reads back as it was, and could be part of a path.
pub fn names(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    if let Ok(site) = text.parse::<SiteName>() {
        assert_eq!(site.to_string(), text);
        assert!(!text.contains(['/', '.']) && text.len() <= 63);
    }
    if let Ok(pair) = text.parse::<PairName>() {
        assert_eq!(pair.to_string(), text);
        assert_eq!(PairName::new(pair.namespace(), pair.name()).unwrap(), pair);
    }
    let Ok(peer) = text.parse::<PeerName>() else {
        return false;
    };
    assert_eq!(peer.to_string(), text);
    true
}
