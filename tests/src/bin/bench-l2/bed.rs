//! The bed: a tenant that we serve, and one that MetalLB serves, on links alike.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cpo_api::AddressPool;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use lab::builders::service;
use lab::metallb::MetalLb;
use lab::overlay::Tenant;
use lab::speaker::Speaker;
use lab::{Lab, cpo, wait};
use serde_json::json;

use crate::asker::Asker;

/// How long anything that should happen soon may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// The label of the pods behind all Services.
pub(crate) const APP: &str = "web";

/// Both products, running.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
    pub(crate) speakers: Vec<Speaker>,
    pub(crate) metallb: MetalLb,
    _cpo: cpo::Cpo,
}

/// Who serves a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Us,
    MetalLb,
}

impl Bed {
    /// Starts both.
    pub(crate) async fn start(metallb: &Path) -> Result<Self> {
        let lab = Lab::vlan().tenants(2).vms(2).wide_links().start().await?;
        cpo::install(&lab).await?;
        let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
        for tenant in [a, b] {
            for vm in ["vm1", "vm2"] {
                tenant.add_pod(&format!("pod-{vm}"), vm, &[("app", APP)]).await?;
            }
        }
        let pool = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": "pool"}, "spec": {"addresses": [addresses(a)?]},
        });
        lab.under().apply(&pool).await?;
        let all = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": "all"}, "spec": {},
        });
        lab.under().apply(&all).await?;
        cpo::register(&lab, a).await?;
        let mut speakers = Vec::new();
        for node in lab.lans()?.nodes() {
            let at = (node.name(), node.netns());
            speakers.push(Speaker::start_at(lab.under(), lab.space(), at, "info", &[]).await?);
        }
        let options = cpo::Options {
            env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
            ..cpo::Options::default()
        };
        let cpo = cpo::Cpo::start(&lab, options).await?;
        let metallb = MetalLb::start(metallb, &lab, b, &addresses(b)?).await?;
        let bed = Self { lab, speakers, metallb, _cpo: cpo };
        bed.speakers_found_each_other().await?;
        bed.next_is_named().await?;
        Ok(bed)
    }

    async fn speakers_found_each_other(&self) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.lab.under().client(), "ccm-proxy");
        wait::until("the speakers", SOON, || async {
            let found = leases.list(&ListParams::default()).await?.items.len();
            ensure!(found == self.speakers.len(), "{found} Leases");
            Ok(())
        })
        .await
    }

    async fn next_is_named(&self) -> Result<()> {
        let pools: Api<AddressPool> = Api::all(self.lab.under().client());
        wait::until("the addresses that come next", SOON, || async {
            let status = pools.get("pool").await?.status.unwrap_or_default();
            ensure!(!status.next.is_empty(), "{status:?}");
            Ok(())
        })
        .await
    }

    /// Stops kube-proxy on all machines.
    pub(crate) async fn pause_proxies(&self) -> Result<()> {
        for tenant in self.lab.tenants() {
            for vm in tenant.vms().await {
                vm.proxy().pause()?;
            }
        }
        Ok(())
    }

    /// Lets it go on.
    pub(crate) async fn resume_proxies(&self) -> Result<()> {
        for tenant in self.lab.tenants() {
            for vm in tenant.vms().await {
                vm.proxy().resume()?;
            }
        }
        Ok(())
    }

    /// The tenant that one of them serves.
    pub(crate) fn tenant(&self, who: Who) -> Result<&Tenant> {
        self.lab.tenant(match who {
            Who::Us => "a",
            Who::MetalLb => "b",
        })
    }

    /// The Services of that tenant.
    pub(crate) fn services(&self, who: Who) -> Result<Api<Service>> {
        Ok(Api::namespaced(self.tenant(who)?.cluster().client(), "default"))
    }

    /// A host of this name on the link of that tenant, which asks. The kernel lets go of a host
    /// before at its leisure: each has a name of its own.
    pub(crate) async fn asker(&self, who: Who, name: &str) -> Result<Asker> {
        let lan = self.tenant(who)?.lan()?;
        Asker::new(self.lab.space(), lan, name).await
    }
}

/// The addresses of a tenant's pool, some thousands.
fn addresses(tenant: &Tenant) -> Result<String> {
    let number = tenant.lan()?.number();
    Ok(format!("10.{number}.1.0-10.{number}.20.255"))
}

/// A Service before all pods.
pub(crate) fn balanced(name: &str) -> Service {
    service(name).selector("app", APP).port(80).build()
}

/// The address in a Service's status.
pub(crate) fn published(service: &Service) -> Option<Ipv4Addr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_ref()?.parse().ok()
}

/// The Ethernet address of a machine's interface.
pub(crate) async fn mac_of(netns: &lab::netns::Netns, interface: &str) -> Result<String> {
    let shown = netns.ip(&format!("link show dev {interface}")).await?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).map(str::to_owned).context("no Ethernet address")
}
