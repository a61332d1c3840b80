//! Services of both families, and Services that share an address.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::{ServiceBuilder, service};
use lab::overlay::Tenant;
use lab::{traffic, wait};
use serde_json::json;

use crate::bed::{Bed, SOON, bed, services};

const SHARE: &str = "cloud-provider-ovn.io/allow-shared-ip";

/// The addresses in a Service's status.
fn published(service: &Service) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
    ingress.into_iter().flatten().filter_map(|at| at.ip.as_ref()?.parse().ok()).collect()
}

/// Creates a Service, and waits until it has so many addresses.
async fn create(tenant: &Tenant, builder: ServiceBuilder, count: usize) -> Result<Vec<IpAddr>> {
    let api = services(tenant);
    let created = api.create(&PostParams::default(), &builder.build()).await?;
    let name = created.metadata.name.unwrap_or_default();
    let has = |service: &Service| published(service).len() == count;
    let service = wait::for_object(&api, &name, "its addresses", SOON, has).await?;
    Ok(published(&service))
}

fn url(address: IpAddr, port: u16) -> String {
    format!("http://{}/", std::net::SocketAddr::from((address, port)))
}

/// Waits until an address answers the client behind the router, which its pod sees as it is.
async fn answers(bed: &Bed, address: IpAddr, port: u16) -> Result<()> {
    let client = bed.lab.lans()?.client();
    let what = format!("an answer from {address}, port {port}");
    let url = url(address, port);
    let answer = wait::until(&what, SOON, || traffic::get(client, &url)).await?;
    // It has more addresses than one of its own network.
    let network = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().get(..3).map(<[u8]>::to_vec),
        IpAddr::V6(v6) => v6.octets().get(..8).map(<[u8]>::to_vec),
    };
    let seen = answer.client_address.ip();
    let ours = client.addresses();
    ensure!(ours.iter().any(|own| network(*own) == network(seen)), "the pod saw {answer:?}");
    Ok(())
}

fn families(builder: ServiceBuilder, policy: &'static str, families: &[&str]) -> ServiceBuilder {
    let families = families.iter().map(|family| (*family).to_owned()).collect();
    builder.spec(|spec| {
        (spec.ip_families, spec.ip_family_policy) = (Some(families), Some(policy.to_owned()));
    })
}

/// One address of each family answers; the second comes and goes while the first stays.
async fn dual_stack(bed: &Bed, tenant: &Tenant) -> Result<()> {
    let web = families(service("family").port(80).local(), "SingleStack", &["IPv6"]);
    let [v6] = create(tenant, web, 1).await?[..] else { anyhow::bail!("not one address") };
    ensure!(v6.is_ipv6(), "{v6}");
    answers(bed, v6, 80).await?;
    let api = services(tenant);
    let policy = |policy: &str, families: &[&str]| json!({"spec": {"ipFamilyPolicy": policy, "ipFamilies": families}});
    let both = policy("RequireDualStack", &["IPv6", "IPv4"]);
    let params = PatchParams::default();
    api.patch("family", &params, &Patch::Merge(&both)).await?;
    let has = |service: &Service| published(service).len() == 2;
    let service = wait::for_object(&api, "family", "a second address", SOON, has).await?;
    let all = published(&service);
    ensure!(all.first() == Some(&v6), "the first stays the first: {all:?}");
    for address in &all {
        answers(bed, *address, 80).await?;
    }
    // An API server takes a secondary family away again, and its cluster IP.
    let one = json!({"spec": {
        "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"],
        "clusterIPs": [service.spec.as_ref().and_then(|spec| spec.cluster_ip.clone())],
    }});
    api.patch("family", &params, &Patch::Merge(&one)).await?;
    let has = |service: &Service| published(service) == [v6];
    wait::for_object(&api, "family", "the first address alone", SOON, has).await?;
    answers(bed, v6, 80).await?;
    api.delete("family", &DeleteParams::default()).await?;
    for address in all {
        bed.gone(address).await?;
    }
    Ok(())
}

/// Two Services have one address, each its own port of it; one goes, and the other one stays.
async fn shared(bed: &Bed, tenant: &Tenant) -> Result<()> {
    let shares = |name: &str, port| service(name).port(port).local().annotation(SHARE, "edge");
    let web = |name: &str, port| shares(name, port).selector("app", "family");
    let first = create(tenant, web("share-one", 80), 1).await?;
    let second = create(tenant, web("share-two", 8080), 1).await?;
    ensure!(first == second, "{first:?} and {second:?}");
    let address = *first.first().context("none")?;
    for port in [80, 8080] {
        answers(bed, address, port).await?;
    }
    services(tenant).delete("share-one", &DeleteParams::default()).await?;
    let eip = cpo_api::Eip::name_of(address);
    wait::until("the Eip to be of the other one alone", SOON, || async {
        let eip = bed.eips().get(&eip).await?;
        let keys: Vec<_> = eip.spec.services.iter().map(|s| s.key.as_str()).collect();
        ensure!(keys == ["default/share-two"], "{keys:?}");
        Ok(())
    })
    .await?;
    answers(bed, address, 8080).await?;
    let client = bed.lab.lans()?.client();
    let closed = url(address, 80);
    wait::until("port 80 to be closed", SOON, || async {
        let asked = traffic::get_within(client, &closed, std::time::Duration::from_millis(300));
        ensure!(asked.await.is_err(), "it answers");
        Ok(())
    })
    .await?;
    bed.end(tenant, "share-two", address).await
}

pub(crate) async fn services_have_addresses_of_both_families_and_share_them() -> Result<()> {
    let bed = bed().await?;
    let tenant = bed.lab.tenant("a")?;
    bed.pods("a", "family").await?;
    dual_stack(bed, tenant).await?;
    shared(bed, tenant).await
}
