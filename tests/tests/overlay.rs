//! Overlay mode, end to end: real API servers, real Kube-OVN, real OVN, real packets.

use std::process::ExitCode;

use lab::{harness, tests};

#[path = "overlay/addresses.rs"]
mod addresses;
#[path = "overlay/bed.rs"]
mod bed;

use addresses::overlay_two_tenants_get_addresses_that_answer;

fn main() -> ExitCode {
    harness::run(tests![overlay_two_tenants_get_addresses_that_answer])
}
