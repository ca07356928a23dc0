#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aptview::fuzzing::run("merge", data));
