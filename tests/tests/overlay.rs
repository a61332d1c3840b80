//! Overlay mode, end to end: real API servers, real Kube-OVN, real OVN, real packets.

use std::process::ExitCode;

use lab::{harness, tests};

#[path = "overlay/addresses.rs"]
mod addresses;
#[path = "overlay/bed.rs"]
mod bed;
#[path = "overlay/changes.rs"]
mod changes;
#[path = "overlay/deletion.rs"]
mod deletion;
#[path = "overlay/flapping.rs"]
mod flapping;
#[path = "overlay/losses.rs"]
mod losses;
#[path = "overlay/requests.rs"]
mod requests;
#[path = "overlay/seen.rs"]
mod seen;

use addresses::overlay_two_tenants_get_addresses_that_answer;
use changes::overlay_changes_reach_the_live_row;
use deletion::overlay_delete_leaves_nothing;
use flapping::overlay_flapping_service_leaves_northd_alive;
use losses::overlay_ovneip_deleted_by_others_comes_back;
use requests::overlay_requested_address_is_checked;

fn main() -> ExitCode {
    harness::run(tests![
        overlay_two_tenants_get_addresses_that_answer,
        overlay_changes_reach_the_live_row,
        overlay_delete_leaves_nothing,
        overlay_flapping_service_leaves_northd_alive,
        overlay_requested_address_is_checked,
        overlay_ovneip_deleted_by_others_comes_back,
    ])
}
