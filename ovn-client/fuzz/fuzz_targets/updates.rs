//! Updates of a session that is in sync.
#![no_main]

#[allow(dead_code, reason = "the other targets use the rest")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::updates(bytes));
