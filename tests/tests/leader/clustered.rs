//! With the Northbound database on three servers (RAFT).

use anyhow::Result;
use lab::ovn::Northbound::Clustered;

use crate::ends;

pub(crate) async fn leader_that_is_killed_is_replaced_when_its_lease_is_over_clustered()
-> Result<()> {
    ends::killed(Clustered).await
}

pub(crate) async fn leader_paused_past_its_deadline_does_nothing_when_it_wakes_clustered()
-> Result<()> {
    ends::paused_past_its_deadline(Clustered).await
}

pub(crate) async fn leader_cut_off_from_the_api_server_is_replaced_clustered() -> Result<()> {
    ends::cut_off_from_the_api_server(Clustered).await
}

pub(crate) async fn leader_cut_off_from_ovn_hands_over_clustered() -> Result<()> {
    ends::cut_off_from_ovn(Clustered).await
}

pub(crate) async fn leader_told_to_end_gives_its_lease_back_clustered() -> Result<()> {
    ends::told_to_end(Clustered).await
}

pub(crate) async fn leader_is_replaced_while_a_clustered_database_changes_its_own() -> Result<()> {
    ends::killed_and_paused_while_the_database_changes_its_leader().await
}
