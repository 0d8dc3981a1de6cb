#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootproof_fuzz::socket_tables(data));
