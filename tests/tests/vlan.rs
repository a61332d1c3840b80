//! VLAN mode with the whole product on real components: a Service's address is announced on the
//! tenant's VLAN, and its packets come to the tenant's kube-proxy as the client sent them.

#[path = "vlan/bed.rs"]
mod bed;
#[path = "vlan/life.rs"]
mod life;

use std::process::ExitCode;

use lab::{harness, tests};

use life::*;

fn main() -> ExitCode {
    harness::run(tests![a_service_is_announced_answers_with_the_clients_address_and_ends])
}
