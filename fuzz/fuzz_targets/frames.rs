//! libFuzzer's program for `frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::frames(bytes);
});
