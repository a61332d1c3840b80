//! The lab proves itself: what it starts is whole, answers, and leaves nothing behind.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, harness, kube_ovn, tests, traffic, wait};

fn main() -> ExitCode {
    harness::run(tests![
        northbound_database_alone_answers,
        tenants_with_the_same_addresses_are_reached_through_their_own_eips,
    ])
}

async fn northbound_database_alone_answers() -> Result<()> {
    let lab = Lab::ovsdb().await?;
    ensure!(lab.ovn().nb(["lb-list"]).await?.is_empty());
    Ok(())
}

async fn tenants_with_the_same_addresses_are_reached_through_their_own_eips() -> Result<()> {
    let lab = Lab::overlay().tenants(2).vms(2).start().await?;
    for tenant in lab.tenants() {
        let eip = expose(&lab, tenant).await?;
        let pod = format!("web-{}", tenant.name());
        for client in [lab.near(), lab.far()] {
            let url = format!("http://{eip}/");
            let what = format!("{pod} to answer {}", client.address());
            let answer =
                wait::until(&what, Duration::from_secs(15), || traffic::get(client, &url)).await?;
            ensure!(answer.pod == pod, "{answer:?}");
            let answer =
                wait::until(&what, Duration::from_secs(15), || traffic::udp(client, eip, 53))
                    .await?;
            ensure!(answer.pod == pod, "{answer:?}");
        }
    }
    Ok(())
}

/// A NodePort Service with one pod, and a load balancer of OVN to it, written by hand.
async fn expose(lab: &Lab, tenant: &Tenant) -> Result<std::net::Ipv4Addr> {
    let pod = format!("web-{}", tenant.name());
    tenant.add_pod(&pod, "vm1", &[("app", "web")]).await?;
    let services: Api<Service> = Api::namespaced(tenant.cluster().client(), "default");
    let web = service("web").kind("NodePort").node_port(80, 30080).udp_node_port(53, 30053);
    services.create(&PostParams::default(), &web.build()).await?;
    let eip = kube_ovn::create_ovn_eip(lab.under(), &format!("eip-{}", tenant.name())).await?;
    for (protocol, port, node_port) in [("tcp", 80, 30080), ("udp", 53, 30053)] {
        let name = format!("web-{}-{protocol}", tenant.name());
        let vms = tenant.vms().await;
        let backends: Vec<String> =
            vms.iter().map(|vm| format!("{}:{node_port}", vm.address())).collect();
        let vip = format!("{eip}:{port}");
        lab.nb(["lb-add", &name, &vip, &backends.join(","), protocol]).await?;
        lab.nb(["lr-lb-add", &tenant.vpc(), &name]).await?;
    }
    Ok(eip)
}
