//! libFuzzer's program for `batch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::batch(bytes);
});
