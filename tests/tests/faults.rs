//! Overlay mode when something fails: components killed, paused and restarted, preconditions that
//! break, hostile kubeconfigs, rights that are missing.

use std::process::ExitCode;

use lab::{harness, tests};

#[allow(dead_code, reason = "shared with the target overlay, which uses the rest")]
#[path = "overlay/bed.rs"]
mod bed;
#[path = "faults/causes.rs"]
mod causes;
#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/look.rs"]
mod look;
#[path = "faults/outages.rs"]
mod outages;
#[path = "faults/preconditions.rs"]
mod preconditions;
#[path = "faults/restarts.rs"]
mod restarts;
#[path = "faults/rights.rs"]
mod rights;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/storm.rs"]
mod storm;
#[path = "faults/writers.rs"]
mod writers;

use hostile::tenant_bytes_never_reach_the_kubeconfig_loader;
use kills::overlay_kill_at_each_step;
use outages::{
    malformed_objects_degrade_themselves_alone, overlay_notices_a_northbound_database_that_hangs,
    overlay_waits_for_the_northbound_database, overlay_writes_nothing_without_the_under_cluster,
    tenant_that_is_not_reachable_keeps_what_it_has, tenant_that_refuses_us_keeps_what_it_has,
};
use preconditions::overlay_preconditions_have_reasons;
use restarts::{overlay_restart_of_cpo_writes_nothing, overlay_survives_kube_ovn_restart};
use rights::rbac_is_sufficient_and_minimal;
use storm::overlay_kills_at_any_write_leak_nothing;
use writers::overlay_writer_that_was_replaced_stops;

fn main() -> ExitCode {
    harness::run(tests![
        overlay_survives_kube_ovn_restart,
        overlay_restart_of_cpo_writes_nothing,
        overlay_kill_at_each_step,
        overlay_kills_at_any_write_leak_nothing,
        overlay_writer_that_was_replaced_stops,
        overlay_preconditions_have_reasons,
        overlay_waits_for_the_northbound_database,
        overlay_notices_a_northbound_database_that_hangs,
        overlay_writes_nothing_without_the_under_cluster,
        tenant_that_is_not_reachable_keeps_what_it_has,
        tenant_that_refuses_us_keeps_what_it_has,
        malformed_objects_degrade_themselves_alone,
        tenant_bytes_never_reach_the_kubeconfig_loader,
        rbac_is_sufficient_and_minimal,
    ])
}
