//! What the tests of overlay mode share: a lab with the product running in it, and how they look
//! at a tenant's Service.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use lab::overlay::Tenant;
use lab::{Lab, cpo, traffic, wait};
use serde_json::json;

/// How long anything that should happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A lab, the product, and its tenants registered.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
    pub(crate) cpo: cpo::Cpo,
}

impl Bed {
    /// A bed with that many tenants of two machines each.
    pub(crate) async fn start(tenants: usize) -> Result<Self> {
        let lab = Lab::overlay().tenants(tenants).vms(2).start().await?;
        Self::on(lab, cpo::Options::default()).await
    }

    /// The product, with these options, on a lab.
    pub(crate) async fn on(lab: Lab, options: cpo::Options) -> Result<Self> {
        cpo::install(&lab).await?;
        // A short rest, so that tests see its end.
        lab.under().apply(&pool(3)).await?;
        for tenant in lab.tenants() {
            cpo::register(&lab, tenant).await?;
        }
        let cpo = cpo::Cpo::start(&lab, options).await?;
        Ok(Self { lab, cpo })
    }
}

/// The pool every tenant may draw from, and for how many seconds a released address rests.
pub(crate) fn pool(quarantine: u32) -> serde_json::Value {
    json!({
        "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": "public"},
        "spec": {"ovnSubnet": "external", "quarantineSeconds": quarantine},
    })
}

/// The Services of a tenant's namespace `default`.
pub(crate) fn services(tenant: &Tenant) -> Api<Service> {
    Api::namespaced(tenant.cluster().client(), "default")
}

/// Creates a Service and waits for its address.
pub(crate) async fn create(tenant: &Tenant, service: &Service) -> Result<Ipv4Addr> {
    let created = services(tenant).create(&PostParams::default(), service).await?;
    address(tenant, created.metadata.name.as_deref().unwrap_or_default()).await
}

/// Creates a Service and waits until it answers the client on the provider network, whichever
/// machine the question reaches.
pub(crate) async fn serve(lab: &Lab, tenant: &Tenant, service: &Service) -> Result<Ipv4Addr> {
    let eip = create(tenant, service).await?;
    answers(lab, eip).await?;
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let ports = services(tenant).get(name).await?.spec.and_then(|spec| spec.ports);
    let port = ports.unwrap_or_default().first().and_then(|port| port.node_port);
    tenant.every_machine_answers(port.context("no nodePort")?.try_into()?).await?;
    Ok(eip)
}

/// Waits until an address answers the client on the provider network.
pub(crate) async fn answers(lab: &Lab, eip: Ipv4Addr) -> Result<()> {
    let url = format!("http://{eip}/");
    let what = format!("an answer from {url}");
    let Err(error) = wait::until(&what, SOON, || traffic::get(lab.near(), &url)).await else {
        return Ok(());
    };
    Err(match lab.picture(eip).await {
        Ok(path) => error.context(format!("what the bed knew of it is in {}", path.display())),
        Err(other) => error.context(format!("and there is no picture of it: {other:#}")),
    })
}

/// Waits for a Service's address.
pub(crate) async fn address(tenant: &Tenant, name: &str) -> Result<Ipv4Addr> {
    let api = services(tenant);
    let has = |s: &Service| published(s).is_some();
    let service = wait::for_object(&api, name, "an address in its status", SOON, has).await?;
    published(&service).context("no address")
}

/// The address in a Service's status.
pub(crate) fn published(service: &Service) -> Option<Ipv4Addr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_ref()?.parse().ok()
}
