//! Two replicas of the product, of which one leads: the leader is killed, paused, cut off, told to
//! end, while Services come and go.

use std::process::ExitCode;

use lab::{harness, tests};

#[path = "leader/alone.rs"]
mod alone;
#[allow(dead_code, reason = "shared with the target overlay, which uses the rest")]
#[path = "overlay/bed.rs"]
mod bed;
#[path = "leader/clustered.rs"]
mod clustered;
#[path = "leader/ends.rs"]
mod ends;
#[path = "leader/flow.rs"]
mod flow;
#[allow(dead_code, reason = "shared with the target faults, which uses the rest")]
#[path = "faults/look.rs"]
mod look;
#[path = "leader/pair.rs"]
mod pair;
#[allow(dead_code, reason = "shared with the target faults, which uses the rest")]
#[path = "faults/stage.rs"]
mod stage;
#[path = "leader/trial.rs"]
mod trial;

use alone::{
    leader_cut_off_from_ovn_hands_over, leader_cut_off_from_the_api_server_is_replaced,
    leader_paused_past_its_deadline_does_nothing_when_it_wakes,
    leader_that_is_killed_is_replaced_when_its_lease_is_over,
    leader_told_to_end_gives_its_lease_back,
};
use clustered::{
    leader_cut_off_from_ovn_hands_over_clustered,
    leader_cut_off_from_the_api_server_is_replaced_clustered,
    leader_is_replaced_while_a_clustered_database_changes_its_own,
    leader_paused_past_its_deadline_does_nothing_when_it_wakes_clustered,
    leader_that_is_killed_is_replaced_when_its_lease_is_over_clustered,
    leader_told_to_end_gives_its_lease_back_clustered,
};

fn main() -> ExitCode {
    harness::run(tests![
        leader_that_is_killed_is_replaced_when_its_lease_is_over,
        leader_paused_past_its_deadline_does_nothing_when_it_wakes,
        leader_cut_off_from_the_api_server_is_replaced,
        leader_cut_off_from_ovn_hands_over,
        leader_told_to_end_gives_its_lease_back,
        leader_that_is_killed_is_replaced_when_its_lease_is_over_clustered,
        leader_paused_past_its_deadline_does_nothing_when_it_wakes_clustered,
        leader_cut_off_from_the_api_server_is_replaced_clustered,
        leader_cut_off_from_ovn_hands_over_clustered,
        leader_told_to_end_gives_its_lease_back_clustered,
        leader_is_replaced_while_a_clustered_database_changes_its_own,
    ])
}
