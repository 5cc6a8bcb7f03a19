//! libFuzzer's program for `superblock`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::superblock(bytes);
});
