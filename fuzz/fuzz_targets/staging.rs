//! libFuzzer's program for `staging`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::staging(bytes);
});
