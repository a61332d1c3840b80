//! A Service from its creation to its end.

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use lab::builders::service;
use lab::rights::{all_used, none_missing};

use crate::bed::{Bed, services};

/// The speakers, as the API server knows them.
const SPEAKER: &str = "system:serviceaccount:ccm-proxy:ccm-proxy";

pub(crate) async fn a_service_is_announced_answers_with_the_clients_address_and_ends() -> Result<()>
{
    let bed = Bed::start(1).await?;
    let tenant = bed.lab.tenant("a")?;
    tenant.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    tenant.add_pod("web-2", "vm2", &[("app", "web")]).await?;
    let address = bed.serve(tenant, &service("web").port(80).local().build()).await?;
    let (answer, client) = (bed.answers(address).await?, bed.lab.lans()?.client().address());
    ensure!(answer.client_address.ip() == client, "the pod saw {answer:?}, not {client}");
    let eip = bed.eips().get(&address.to_string()).await?;
    let status = eip.status.context("no status")?;
    ensure!(status.announcements.len() == 1, "{status:?}");
    ensure!(status.announced_by.as_deref().is_some_and(|by| by.starts_with("node")), "{status:?}");

    services(tenant).delete("web", &DeleteParams::default()).await?;
    bed.gone(address).await?;
    ensure!(bed.ask(address).await.is_err(), "it answers after its end");
    // A watch is in the audit log when it has ended.
    for speaker in &bed.speakers {
        speaker.process().stop().await?;
    }
    let seen = bed.lab.under().audit()?.into_iter().filter(|entry| entry.user == SPEAKER);
    let seen: Vec<_> = seen.collect();
    none_missing(&seen)?;
    all_used("ccm-proxy-rbac.yaml", &seen)
}
