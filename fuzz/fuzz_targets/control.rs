//! libFuzzer's program for `control`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::control(bytes);
});
