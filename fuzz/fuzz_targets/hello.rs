//! libFuzzer's program for `hello`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ferry_fuzz::targets::hello(bytes);
});
