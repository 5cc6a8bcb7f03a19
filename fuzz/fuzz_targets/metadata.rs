//! libFuzzer's program for `metadata`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::metadata(bytes);
});
