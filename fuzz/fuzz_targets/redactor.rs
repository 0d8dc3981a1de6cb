#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootproof_fuzz::redactor(data));
