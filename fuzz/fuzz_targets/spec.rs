//! libFuzzer's program for `spec`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::spec(bytes);
});
