//! VLAN mode with the whole product on real components: a Service's address is announced on the
//! tenant's VLAN, and its packets come to the tenant's kube-proxy as the client sent them.

#[path = "vlan/bed.rs"]
mod bed;
#[path = "vlan/capture.rs"]
mod capture;
#[path = "vlan/families.rs"]
mod families;
#[path = "vlan/in_cluster.rs"]
mod in_cluster;
#[path = "vlan/leftovers.rs"]
mod leftovers;
#[path = "vlan/life.rs"]
mod life;
#[path = "vlan/mtu.rs"]
mod mtu;
#[path = "vlan/noise.rs"]
mod noise;
#[path = "vlan/one_answer.rs"]
mod one_answer;
#[path = "vlan/packets.rs"]
mod packets;
#[path = "vlan/probes.rs"]
mod probes;
#[path = "vlan/setup.rs"]
mod setup;
#[path = "vlan/takeover.rs"]
mod takeover;
#[path = "vlan/trouble.rs"]
mod trouble;

use std::process::ExitCode;

use lab::sandbox::Beside;
use lab::{harness, tests};

use families::*;
use in_cluster::*;
use leftovers::*;
use life::*;
use mtu::*;
use noise::*;
use one_answer::*;
use packets::*;
use probes::*;
use takeover::*;
use trouble::*;

fn main() -> ExitCode {
    harness::run_with(
        Beside::MetalLb,
        tests![
            a_service_is_announced_answers_with_the_clients_address_and_ends,
            every_kind_of_service_is_served_as_the_tenants_kube_proxy_would,
            services_have_addresses_of_both_families_and_share_them,
            client_stays_with_one_pod_where_the_service_asks_for_that,
            direct_delivery_leads_past_the_speaker_to_one_machine,
            a_speaker_is_no_way_for_anything_else,
            machine_whose_kube_proxy_does_not_answer_gets_nothing_unless_all_are_so,
            packet_to_a_closed_port_is_seen_once,
            connection_begun_before_kube_proxy_knows_the_address_goes_on,
            tenants_with_the_same_addresses_are_kept_apart,
            machines_pods_and_the_client_reach_each_other_by_ipv6,
            a_narrow_link_on_the_way_is_told_to_the_machine_that_sends,
            one_speaker_answers_for_each_address_whatever_happens,
            after_a_partition_heals_one_of_the_two_owners_falls_silent,
            owner_that_is_killed_is_replaced_and_connections_go_on,
            node_without_its_cable_is_replaced_within_a_second,
            owner_that_is_stopped_for_a_while_comes_back_as_one_of_several,
            owner_whose_link_is_down_withdraws_and_is_replaced,
            carrier_that_flaps_takes_traffic_away_for_no_longer,
            rolling_restart_of_all_speakers_loses_nothing,
            api_server_away_changes_nothing_and_speakers_go_on_alone,
            node_that_is_excluded_hands_its_addresses_over,
            noise_on_the_link_is_counted_and_has_no_effect,
            foreign_host_with_the_address_is_named_and_left_alone,
            interface_that_is_missing_is_told_and_harms_no_other_vlan,
            address_of_a_speaker_that_is_cut_off_is_given_to_nobody,
            advertisement_that_cannot_be_followed_says_why_and_harms_no_other,
            address_that_is_a_nodes_a_machines_or_the_gateways_is_refused,
            what_a_killed_speaker_left_is_taken_over_or_swept,
            speaker_that_is_removed_leaves_the_node_as_it_was,
            the_under_clusters_own_services_are_announced_and_taken_by_its_nodes,
            addresses_that_metallb_gave_are_kept_when_it_is_replaced,
            speakers_have_the_rights_they_need_and_no_others,
        ],
    )
}
