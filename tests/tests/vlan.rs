//! VLAN mode with the whole product on real components: a Service's address is announced on the
//! tenant's VLAN, and its packets come to the tenant's kube-proxy as the client sent them.

#[path = "vlan/bed.rs"]
mod bed;
#[path = "vlan/families.rs"]
mod families;
#[path = "vlan/life.rs"]
mod life;
#[path = "vlan/packets.rs"]
mod packets;
#[path = "vlan/probes.rs"]
mod probes;
#[path = "vlan/takeover.rs"]
mod takeover;
#[path = "vlan/trouble.rs"]
mod trouble;

use std::process::ExitCode;

use lab::{harness, tests};

use families::*;
use life::*;
use packets::*;
use probes::*;
use takeover::*;
use trouble::*;

fn main() -> ExitCode {
    harness::run(tests![
        a_service_is_announced_answers_with_the_clients_address_and_ends,
        every_kind_of_service_is_served_as_the_tenants_kube_proxy_would,
        services_have_addresses_of_both_families_and_share_them,
        direct_delivery_leads_past_the_speaker_to_one_machine,
        a_speaker_is_no_way_for_anything_else,
        machine_whose_kube_proxy_does_not_answer_gets_nothing_unless_all_are_so,
        owner_that_is_killed_is_replaced_and_connections_go_on,
        node_without_its_cable_is_replaced_within_a_second,
        owner_that_is_stopped_for_a_while_comes_back_as_one_of_several,
        carrier_that_flaps_takes_traffic_away_for_no_longer,
        rolling_restart_of_all_speakers_loses_no_connection,
        api_server_away_changes_nothing_and_speakers_go_on_alone,
        node_that_is_excluded_hands_its_addresses_over,
        foreign_host_with_the_address_is_named_and_left_alone,
        interface_that_is_missing_is_told_and_harms_no_other_vlan,
        address_of_a_speaker_that_is_cut_off_is_given_to_nobody,
        advertisement_that_cannot_be_followed_says_why_and_harms_no_other,
    ])
}
