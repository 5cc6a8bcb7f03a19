//! The fuzz targets: one plain function a decoder, from bytes to whether they were taken.
//!
//! A target panics where a decoder does, and where what was decoded does not hold what the decoder
//! promises. They are used twice: `make test` replays and mutates the corpus through them, and the
//! crate in `fuzz/` lets libFuzzer look for more (`make fuzz`).

mod journal;
mod lists;
mod spec;
mod wire;

pub use journal::{counted, digest_log, digest_store, in_place, staging, superblock};
pub use lists::{metadata, names};
pub use spec::spec;
pub use wire::{VOLUME_BYTES, batch, control, frames, hello, message};

/// One decoder under test.
pub struct Target {
    /// The name of its corpus, and of its program in `fuzz/`.
    pub name: &'static str,
    /// The decoder: whether it took the bytes.
    pub run: fn(&[u8]) -> bool,
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    target("batch", batch),
    target("control", control),
    target("digest_log", digest_log),
    target("digest_store", digest_store),
    target("frames", frames),
    target("hello", hello),
    target("in_place", in_place),
    target("message", message),
    target("metadata", metadata),
    target("names", names),
    target("spec", spec),
    target("staging", staging),
    target("superblock", superblock),
];

const fn target(name: &'static str, run: fn(&[u8]) -> bool) -> Target {
    Target { name, run }
}
