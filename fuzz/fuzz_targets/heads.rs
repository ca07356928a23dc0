#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aptmerge::fuzzing::run("heads", data));
