//! A lab in VLAN mode with the product running in it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cpo_api::{Eip, EipStatus};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use lab::overlay::Tenant;
use lab::speaker::Speaker;
use lab::{Lab, cpo, traffic, wait};
use serde_json::json;

/// How long anything that should happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A lab, `cpo`, a speaker on each node, and the tenants registered.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
    pub(crate) speakers: Vec<Speaker>,
    _cpo: cpo::Cpo,
}

impl Bed {
    /// A bed with that many tenants of two machines each.
    pub(crate) async fn start(tenants: usize) -> Result<Self> {
        let lab = Lab::vlan().tenants(tenants).vms(2).start().await?;
        cpo::install(&lab).await?;
        for tenant in lab.tenants() {
            let (name, lan) = (tenant.name(), tenant.lan()?);
            let range = format!("{}-{}", lan.address(50), lan.address(99));
            let pool = json!({
                "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
                "metadata": {"name": format!("pool-{name}")},
                "spec": {"addresses": [range], "quarantineSeconds": 3},
            });
            lab.under().apply(&pool).await?;
            cpo::register(&lab, tenant).await?;
        }
        let all = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": "all"}, "spec": {},
        });
        lab.under().apply(&all).await?;
        let mut speakers = Vec::new();
        for node in lab.lans()?.nodes() {
            speakers.push(Speaker::start(&lab, node).await?);
        }
        let cpo = cpo::Cpo::start(&lab, cpo::Options::default()).await?;
        Ok(Self { lab, speakers, _cpo: cpo })
    }

    /// The Eips of the under cluster.
    pub(crate) fn eips(&self) -> Api<Eip> {
        Api::all(self.lab.under().client())
    }

    /// Asks a Service from behind the router.
    pub(crate) async fn ask(&self, address: Ipv4Addr) -> Result<traffic::Answer> {
        traffic::get(self.lab.lans()?.client(), &format!("http://{address}/")).await
    }

    /// Waits until an address answers the client behind the router.
    pub(crate) async fn answers(&self, address: Ipv4Addr) -> Result<traffic::Answer> {
        let what = format!("an answer from {address}");
        wait::until(&what, SOON, || self.ask(address)).await
    }

    /// Waits until an address answers, and sees that it goes on for so long.
    pub(crate) async fn answers_from_now_on(
        &self,
        address: Ipv4Addr,
        long: Duration,
    ) -> Result<()> {
        self.answers(address).await?;
        wait::throughout("answers", long, || async { self.ask(address).await.map(|_| ()) }).await
    }

    /// Creates a Service and waits until it answers.
    pub(crate) async fn serve(&self, tenant: &Tenant, service: &Service) -> Result<Ipv4Addr> {
        let api = services(tenant);
        let created = api.create(&PostParams::default(), service).await?;
        let name = created.metadata.name.unwrap_or_default();
        let has = |s: &Service| published(s).is_some();
        let service = wait::for_object(&api, &name, "an address in its status", SOON, has).await?;
        let address = published(&service).context("no address")?;
        self.answers(address).await?;
        Ok(address)
    }

    /// The speaker that announces an address.
    pub(crate) async fn owner(&self, address: Ipv4Addr) -> Result<&Speaker> {
        let status = self.eips().get(&address.to_string()).await?.status.unwrap_or_default();
        let by = status.announced_by.context("announced by nobody")?;
        self.speakers.iter().find(|speaker| speaker.node() == by).context("by no speaker of ours")
    }

    /// Waits until an Eip's status says so.
    pub(crate) async fn says(
        &self,
        address: Ipv4Addr,
        what: &str,
        holds: impl Fn(&EipStatus) -> bool + Send + Sync,
    ) -> Result<EipStatus> {
        let (api, name) = (self.eips(), address.to_string());
        wait::until(&format!("Eip {address}: {what}"), SOON, || async {
            let status = api.get(&name).await?.status.unwrap_or_default();
            ensure!(holds(&status), "{status:?}");
            Ok(status)
        })
        .await
    }

    /// Waits until an Eip is gone.
    pub(crate) async fn gone(&self, address: Ipv4Addr) -> Result<()> {
        let api = self.eips();
        wait::until(&format!("the end of Eip {address}"), SOON, || async {
            let eip = api.get_opt(&address.to_string()).await?;
            ensure!(eip.is_none(), "{eip:?}");
            Ok(())
        })
        .await
    }
}

/// The Services of a tenant's namespace `default`.
pub(crate) fn services(tenant: &Tenant) -> Api<Service> {
    Api::namespaced(tenant.cluster().client(), "default")
}

/// The address in a Service's status.
pub(crate) fn published(service: &Service) -> Option<Ipv4Addr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_ref()?.parse().ok()
}
