//! With the Northbound database on one server.

use anyhow::Result;
use lab::ovn::Northbound::Alone;

use crate::ends;

pub(crate) async fn leader_that_is_killed_is_replaced_when_its_lease_is_over() -> Result<()> {
    ends::killed(Alone).await
}

pub(crate) async fn leader_paused_past_its_deadline_does_nothing_when_it_wakes() -> Result<()> {
    ends::paused_past_its_deadline(Alone).await
}

pub(crate) async fn leader_cut_off_from_the_api_server_is_replaced() -> Result<()> {
    ends::cut_off_from_the_api_server(Alone).await
}

pub(crate) async fn leader_cut_off_from_ovn_hands_over() -> Result<()> {
    ends::cut_off_from_ovn(Alone).await
}

pub(crate) async fn leader_told_to_end_gives_its_lease_back() -> Result<()> {
    ends::told_to_end(Alone).await
}
