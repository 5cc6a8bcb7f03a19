//! Checksums made right again after a change, so that what is behind them is tried too.

use bytes::Bytes;
use protocol::changes::RegionKind;
use wire::{Batch, Codec, Frame, FrameKind, Message, decode, encode};

use super::targets::counted;

const PAGE_BYTES: usize = 4096;
const RECORD_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 12;

/// Repairs an input of a target; for most there is nothing to repair.
pub fn repair(target: &str, bytes: &mut Vec<u8>) {
    match target {
        "frames" => frames(bytes),
        "batch" => batch(bytes),
        "superblock" => superblock(bytes),
        "in_place" => in_place(bytes),
        "staging" | "digest_log" => log(bytes),
        "digest_store" => digest_store(bytes),
        _ => {}
    }
}

fn frames(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(len) = u32_at(bytes, at) {
        let end = (at + FRAME_HEADER_BYTES).saturating_add(len);
        let Some(frame) = bytes.get_mut(at..end) else {
            return;
        };
        let crc = crc32c::crc32c(&frame[..8]);
        let crc = crc32c::crc32c_append(crc, &frame[FRAME_HEADER_BYTES..]);
        frame[8..12].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

fn batch(bytes: &mut Vec<u8>) {
    let payload = Bytes::copy_from_slice(bytes);
    let frame = Frame {
        kind: FrameKind::Batch,
        payload,
    };
    let Ok(Message::Batch(mut batch)) = decode(frame) else {
        return;
    };
    let data = unpacked(&batch);
    let mut rest = &data[..];
    batch.unpacked_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    for region in &mut batch.regions {
        if let RegionKind::Data { crc } = &mut region.kind {
            let len = usize::try_from(region.extent.len).unwrap_or(usize::MAX);
            let (own, after) = rest.split_at(len.min(rest.len()));
            *crc = crc32c::crc32c(own);
            rest = after;
        }
    }
    let encoded = encode(Message::Batch(batch)).unwrap();
    *bytes = [&encoded.head[..], &encoded.bulk].concat();
}

fn unpacked(batch: &Batch) -> Vec<u8> {
    const MAX: usize = 1 << 20;
    match batch.codec {
        Codec::Plain => batch.packed.to_vec(),
        Codec::Lz4 => lz4_flex::block::decompress(&batch.packed, MAX).unwrap_or_default(),
        Codec::Zstd => zstd::bulk::decompress(&batch.packed, MAX).unwrap_or_default(),
    }
}

fn in_place(bytes: &mut [u8]) {
    if let Some((head, content)) = bytes.split_at_mut_checked(12) {
        head[8..].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    }
}

fn superblock(bytes: &mut [u8]) {
    for slot in bytes.chunks_exact_mut(PAGE_BYTES) {
        header_block(slot);
    }
}

/// A slot of the superblock, or the header of a log.
fn header_block(block: &mut [u8]) {
    block[12..16].fill(0);
    let crc = crc32c::crc32c(block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn log(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..PAGE_BYTES) else {
        return;
    };
    header_block(header);
    let salt = header[16..24].to_vec();
    let mut at = PAGE_BYTES;
    while let (Some(head), Some(data)) = (u32_at(bytes, at + 16), u32_at(bytes, at + 24)) {
        let end = (at + RECORD_HEADER_BYTES)
            .saturating_add(head)
            .saturating_add(data);
        let Some(record) = bytes.get_mut(at..end) else {
            return;
        };
        let mut crc = crc32c::crc32c(&salt);
        crc = crc32c::crc32c_append(crc, &record[3..4]);
        crc = crc32c::crc32c_append(crc, &record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        at = end.next_multiple_of(8);
    }
}

fn digest_store(bytes: &mut [u8]) {
    let Some((state, rest)) = counted(bytes) else {
        return;
    };
    let (state_end, pages_at) = (2 + state.len(), 4 + state.len());
    let pages_end = counted(rest).map(|(pages, _)| pages_at + pages.len());
    if let Some((header, content)) = bytes[2..state_end].split_at_mut_checked(16) {
        let head = match header[8..10] {
            [1, 0] => 0,
            _ => crc32c::crc32c(&header[..12]),
        };
        let crc = crc32c::crc32c_append(head, content);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    let Some(pages_end) = pages_end else {
        return;
    };
    for (number, page) in (0_u64..).zip(bytes[pages_at..pages_end].chunks_exact_mut(PAGE_BYTES)) {
        let crc = crc32c::crc32c(&number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &page[..4080]);
        page[4080..4084].copy_from_slice(&crc.to_le_bytes());
    }
    log(&mut bytes[pages_end..]);
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}
