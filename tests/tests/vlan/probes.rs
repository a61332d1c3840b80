//! Machines that say that they take no connections.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use kube::api::PostParams;
use lab::builders::service;
use lab::overlay::{Tenant, Vm};
use lab::wait;
use serde_json::{Value, json};

use crate::bed::{Bed, SOON, TENANTS, bed, published, services};

/// Lets the speakers ask machines, by addresses of their own.
async fn probe(bed: &Bed, tenant: &Tenant, probe: &str) -> Result<()> {
    let lan = tenant.lan()?;
    let address = |(last, node): (u8, &lab::overlay::Node)| json!({"node": node.name(), "addresses": [lan.address(last)]});
    let addresses: Vec<Value> = (241..).zip(bed.lab.lans()?.nodes()).map(address).collect();
    let mut cluster = lab::cpo::tenant_cluster(tenant, json!({}));
    let vlan = cluster.pointer_mut("/spec/vlan").and_then(Value::as_object_mut);
    vlan.context("no VLAN")?.insert("speakerAddresses".to_owned(), json!(addresses));
    bed.lab.under().apply(&cluster).await?;
    let all = json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
        "metadata": {"name": "routed"},
        "spec": {"ipAddressPools": TENANTS.map(|tenant| format!("pool-{tenant}")), "probe": probe},
    });
    bed.lab.under().apply(&all).await?;
    Ok(())
}

/// Waits until every speaker says that a machine is out at a port, or that it is not.
async fn is_out(bed: &Bed, vm: &Vm, port: u16, out: bool) -> Result<()> {
    let machine = format!("{}:{port} ", vm.address());
    for speaker in &bed.speakers {
        let what = format!("{}: {machine} is out: {out}", speaker.node());
        wait::until(&what, SOON, || async {
            let told = speaker.status().await?;
            ensure!(told.contains(&machine) == out, "{told}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Waits until the pod of a machine answers.
async fn answered_on(bed: &Bed, address: IpAddr, vm: &Vm) -> Result<()> {
    let what = format!("an answer from {}", vm.name());
    wait::until(&what, SOON, || async {
        let answer = bed.ask(address).await?;
        ensure!(answer.node == vm.name(), "{answer:?}");
        Ok(())
    })
    .await
}

pub(crate) async fn machine_whose_kube_proxy_does_not_answer_gets_nothing_unless_all_are_so()
-> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "probed").await?;
    probe(bed, tenant, "KubeProxy").await?;
    let web = service("probed").port(80).local().build();
    services(tenant).create(&PostParams::default(), &web).await?;
    let api = services(tenant);
    let has = |s: &k8s_openapi::api::core::v1::Service| published(s).is_some();
    let web = wait::for_object(&api, "probed", "an address in its status", SOON, has).await?;
    let address = published(&web).context("no address")?;
    let chosen = bed.answers(address).await?.node;
    let (one, other) = match &*chosen {
        "vm1" => (tenant.vm("vm1").await?, tenant.vm("vm2").await?),
        _ => (tenant.vm("vm2").await?, tenant.vm("vm1").await?),
    };
    // Its port is open, and its rules are there: it does not answer.
    one.proxy().pause()?;
    is_out(bed, &one, 10_256, true).await?;
    answered_on(bed, address, &other).await?;
    other.proxy().pause()?;
    is_out(bed, &other, 10_256, true).await?;
    answered_on(bed, address, &one).await?;
    one.proxy().resume()?;
    other.proxy().resume()?;
    is_out(bed, &one, 10_256, false).await?;
    is_out(bed, &other, 10_256, false).await?;
    answered_on(bed, address, &one).await?;

    let port = web.spec.and_then(|spec| spec.health_check_node_port).context("no port")?;
    probe(bed, tenant, "HealthCheckNodePort").await?;
    one.proxy().pause()?;
    is_out(bed, &one, u16::try_from(port)?, true).await?;
    answered_on(bed, address, &other).await?;
    one.proxy().resume()?;
    is_out(bed, &one, u16::try_from(port)?, false).await?;
    answered_on(bed, address, &one).await?;
    probe(bed, tenant, "None").await?;
    bed.lab.under().apply(&lab::cpo::tenant_cluster(tenant, json!({}))).await?;
    bed.end(tenant, "probed", address).await
}
