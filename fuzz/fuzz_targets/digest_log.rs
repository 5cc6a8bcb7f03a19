//! libFuzzer's program for `digest_log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::digest_log(bytes);
});
