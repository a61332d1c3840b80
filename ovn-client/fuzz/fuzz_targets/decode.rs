//! The whole stream of a server.
#![no_main]

#[allow(dead_code, reason = "the other targets use the rest")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::decode(bytes));
