//! libFuzzer's end of `sansftp_testkit::fuzz::zlib`, where the body is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansftp_testkit::fuzz::zlib(data));
