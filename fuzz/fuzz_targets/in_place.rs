//! libFuzzer's program for `in_place`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::in_place(bytes);
});
