//! Speakers on a link of the kernel's own: what hosts on it see, and what comes through.

use std::process::ExitCode;

use lab::{harness, tests};

#[path = "speaker/bed.rs"]
mod bed;
#[path = "speaker/gate.rs"]
mod gate;
#[path = "speaker/link.rs"]
mod link;
#[path = "speaker/node.rs"]
mod node;
#[path = "speaker/place.rs"]
mod place;
#[path = "speaker/probe.rs"]
mod probe;
#[path = "speaker/watch.rs"]
mod watch;

use gate::*;
use link::*;
use place::*;
use probe::*;
use watch::*;

fn main() -> ExitCode {
    harness::run(tests![
        address_is_probed_announced_and_leads_through_the_speaker,
        ipv6_address_leads_through_the_speaker,
        machines_are_known_before_a_packet_comes_and_those_left_are_forgotten,
        two_speakers_share_addresses_and_one_that_ends_is_replaced,
        every_question_has_one_answer_while_speakers_come_and_go,
        address_that_a_host_has_is_left_to_it,
        routes_come_back_after_an_outage_of_the_link,
        gate_lets_nothing_else_through,
        errors_are_led_by_what_they_quote_and_no_farther,
        connection_goes_on_when_a_machine_that_sent_it_back_knows_the_address,
        packet_that_the_link_doubles_is_no_packet_sent_back,
        what_fails_later_takes_no_address_back,
        refused_route_leaves_the_one_before_and_keeps_no_other,
        interface_that_vanishes_withdraws_what_it_announced,
        moved_interface_serves_is_adopted_and_goes_back_as_it_was,
        interface_that_was_down_goes_back_down_and_only_under_its_name,
        broadcasts_reach_a_macvlan_at_once_also_one_of_an_earlier_version,
        interface_in_use_or_missing_is_named_with_the_remedy_and_left_alone,
        port_of_open_vswitch_serves_on_its_vlan_and_is_deleted_at_the_end,
        only_answers_come_from_a_machine_that_is_asked,
    ])
}
