//! A Service from its creation to its end, and the rights that takes.

use anyhow::{Result, ensure};
use lab::builders::service;
use lab::rights::{all_used, none_missing};

use crate::bed::bed;

/// The speakers, as the API server knows them.
const SPEAKER: &str = "system:serviceaccount:ccm-proxy:ccm-proxy";

pub(crate) async fn a_service_is_announced_answers_with_the_clients_address_and_ends() -> Result<()>
{
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "life").await?;
    let address = bed.serve(tenant, &service("life").port(80).local().build()).await?;
    let (answer, client) = (bed.answers(address).await?, bed.client()?.address());
    ensure!(answer.client_address.ip() == client, "the pod saw {answer:?}, not {client}");
    bed.says(address, "one node announces it", |s| {
        s.announcements.len() == 1
            && s.announced_by.as_ref().is_some_and(|by| by.starts_with("node"))
    })
    .await?;

    bed.end(tenant, "life", address).await?;
    ensure!(bed.ask(address).await.is_err(), "it answers after its end");
    Ok(())
}

pub(crate) async fn speakers_have_the_rights_they_need_and_no_others() -> Result<()> {
    let bed = bed().await?;
    // A watch is in the audit log when it has ended.
    for speaker in &bed.speakers {
        speaker.process().stop().await?;
    }
    let seen = bed.lab.under().audit()?.into_iter().filter(|entry| entry.user == SPEAKER);
    let seen: Vec<_> = seen.collect();
    none_missing(&seen)?;
    all_used("ccm-proxy-rbac.yaml", &seen)
}
