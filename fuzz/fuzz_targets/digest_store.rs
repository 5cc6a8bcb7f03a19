//! libFuzzer's program for `digest_store`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::digest_store(bytes);
});
