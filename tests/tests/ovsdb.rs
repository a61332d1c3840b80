//! The database client against real ovsdb-servers, alone and clustered, and what may happen to
//! them. Every scenario ends with a replica that equals what `ovsdb-client dump` prints, and with
//! no write lost or doubled.

use std::process::ExitCode;

use lab::sandbox::Beside;
use lab::{harness, tests};

#[path = "ovsdb/cluster.rs"]
mod cluster;
#[path = "ovsdb/fence.rs"]
mod fence;
#[path = "ovsdb/history.rs"]
mod history;
#[path = "ovsdb/large.rs"]
mod large;
#[path = "ovsdb/network.rs"]
mod network;
#[path = "ovsdb/older.rs"]
mod older;
#[path = "ovsdb/scene.rs"]
mod scene;
#[path = "ovsdb/schemas.rs"]
mod schemas;
#[path = "ovsdb/single.rs"]
mod single;
#[path = "ovsdb/tls.rs"]
mod tls;

use cluster::*;
use fence::*;
use history::*;
use large::*;
use network::*;
use older::*;
use schemas::*;
use single::*;
use tls::*;

fn main() -> ExitCode {
    harness::run_with(
        Beside::OlderOvn,
        tests![
            standalone_server_is_followed_and_written,
            standalone_server_killed_and_started_is_found_again,
            unix_socket_serves_as_well,
            database_deleted_and_created_anew_is_followed,
            database_removed_and_added_while_the_server_runs_is_followed,
            rows_of_a_filter_come_and_go,
            lost_reply_leaves_one_row,
            lost_reply_to_an_addition_counts_once,
            lost_reply_holds_up_no_other_transaction,
            lost_reply_on_the_way_into_sync_is_asked_for_again,
            half_open_connection_is_given_up,
            server_that_never_speaks_is_left,
            stream_in_pieces_is_read,
            stream_split_at_every_byte_is_read,
            server_that_trickles_is_not_silent,
            connections_cut_again_and_again_lose_nothing,
            large_contents_come_while_rows_change,
            connection_cut_within_large_contents_leaves_the_replica_whole,
            schemas_that_are_checked_in_are_those_of_the_current_release,
            schemas_that_are_checked_in_are_those_of_the_older_release,
            older_server_is_followed_and_written,
            schemas_of_other_versions_are_followed,
            schema_converted_up_and_down_is_followed,
            cluster_converted_up_and_down_is_followed,
            tls_of_every_version_with_certificates_of_kube_ovn,
            tls_certificates_are_rotated,
            tls_files_that_do_not_fit_together_wait_for_each_other,
            tls_strangers_and_expired_certificates_are_refused,
            tls_client_that_is_refused_says_so_and_returns,
            tls_server_is_pinned_by_name_or_digest,
            leadership_is_transferred_under_load,
            follower_is_killed_and_started,
            leader_is_killed_and_started,
            leader_is_paused_and_resumed,
            follower_is_paused_and_resumed,
            member_that_is_read_from_is_killed_and_paused,
            compaction_is_not_noticed,
            next_leader_sends_only_the_difference,
            cluster_restored_from_an_old_copy_is_stale,
            stale_member_is_left,
            cluster_rebuilt_with_another_id_is_followed,
            stale_writer_is_fenced_through_another_server,
            stale_writer_is_fenced_by_older_servers,
            older_cluster_is_followed_through_transfer_and_kill,
        ],
    )
}
