//! A tenant whose etcd is a copy of another's: the same names, the same UIDs, the same wishes.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use lab::builders::service;
use lab::{traffic, wait};

use crate::bed::{self, Bed};
use crate::edits::refused;
use crate::look;

/// Time for the sessions of a tenant whose API server was away.
const TRIED_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) async fn cloned_tenant_gets_nothing_of_its_original() -> Result<()> {
    const ADDRESS: &str = "198.51.100.50";
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
    a.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let web = |name: &str| service(name).selector("app", "web").port(80);
    bed::serve(lab, a, &web("wish").address(ADDRESS).build()).await?;
    let any = bed::create(a, &web("any").build()).await?;
    let stream = traffic::Stream::start(lab.far(), &format!("http://{ADDRESS}/"), 20, 180);

    let copy = a.cluster().snapshot("copy").await?;
    b.cluster().set_back(&copy).await?;
    let uid = |service: &k8s_openapi::api::core::v1::Service| service.uid();
    let (original, clone) =
        (bed::services(a).get("wish").await?, bed::services(b).get("wish").await?);
    ensure!(uid(&original).is_some() && uid(&original) == uid(&clone), "not the same UID");

    // The copy's status names the address, too: it is taken out, and the reason betrays nothing.
    let api = bed::services(b);
    let emptied = |service: &k8s_openapi::api::core::v1::Service| bed::published(service).is_none();
    wait::for_object(&api, "wish", "an empty status", TRIED_AGAIN, emptied).await?;
    let (reason, text) = refused(b, "wish").await?;
    ensure!(reason == "AddressNotInPool", "{reason}: {text}");
    ensure!(text.contains("is not available to this cluster"), "{text}");
    let other = wait::until("an address of its own", TRIED_AGAIN, || async {
        let service = bed::services(b).get("any").await?;
        bed::published(&service).filter(|given| *given != any).context("none of its own")
    })
    .await?;
    ensure!(other != any, "{other} twice");

    for (tenant, key, address) in
        [("a", "default/wish", ADDRESS), ("a", "default/any", &any.to_string())]
    {
        let eip = look::eip(lab, tenant, key).await?;
        ensure!(eip.name_any() == address, "{key} has {}", eip.name_any());
    }
    let report = stream.stop().await?;
    ensure!(report.failures.is_empty(), "{report:?}");
    Ok(())
}
