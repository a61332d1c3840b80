//! Pools, quotas, reservations and records of addresses, on real API servers, Kube-OVN and OVN.

use std::process::ExitCode;

use lab::sandbox::Beside;
use lab::{harness, tests};

#[allow(dead_code, reason = "shared with the target overlay, which uses the rest")]
#[path = "overlay/bed.rs"]
mod bed;
#[path = "pools/edits.rs"]
mod edits;
#[path = "pools/labelled.rs"]
mod labelled;
#[allow(dead_code, reason = "shared with the target faults, which uses the rest")]
#[path = "faults/look.rs"]
mod look;
#[path = "pools/metallb.rs"]
mod metallb;
#[path = "pools/namesakes.rs"]
mod namesakes;
#[path = "pools/restore.rs"]
mod restore;
#[path = "pools/shares.rs"]
mod shares;

use edits::pool_edited_under_use_keeps_what_is_assigned;
use labelled::labels_of_namespaces_choose_the_pool;
use metallb::tenants_own_metallb_is_told_of_the_pools_that_are_left_to_it;
use namesakes::cloned_tenant_gets_nothing_of_its_original;
use restore::under_cluster_set_back_tears_nothing_down;
use shares::{quota_holds_for_services_at_once, reserved_address_is_for_who_asks_for_it};

fn main() -> ExitCode {
    harness::run_with(
        Beside::MetalLb,
        tests![
            pool_edited_under_use_keeps_what_is_assigned,
            quota_holds_for_services_at_once,
            reserved_address_is_for_who_asks_for_it,
            labels_of_namespaces_choose_the_pool,
            cloned_tenant_gets_nothing_of_its_original,
            tenants_own_metallb_is_told_of_the_pools_that_are_left_to_it,
            under_cluster_set_back_tears_nothing_down,
        ],
    )
}
