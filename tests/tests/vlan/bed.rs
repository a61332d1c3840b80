//! The one lab in VLAN mode that all tests of this program share, with the product running in it.
//!
//! Tenant `a` has kube-proxy in nftables mode, `b` in iptables mode; the VLAN of `c` has the
//! prefixes of that of `a`. The nodes of the under cluster have a kube-proxy of their own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use cpo_api::{Eip, EipStatus};
use futures::future::{try_join, try_join_all};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::builders::{ServiceBuilder, service};
use lab::netns::{Host, Netns};
use lab::overlay::{Mode, Tenant};
use lab::process::Process;
use lab::speaker::Speaker;
use lab::traffic::Session;
use lab::{Lab, cpo, traffic, wait};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::leftovers::Ground;
use crate::setup::{advertisements, pools, under_proxies};

/// How long anything that should happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// What takes a node out of the speakers.
pub(crate) const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The tenants, whose names are those of their VLANs, too.
pub(crate) const TENANTS: [&str; 3] = ["a", "b", "c"];
/// The Service of tenant `a` that all tests find, with a pod on each machine.
const WEB: u8 = 50;
/// As many clients, each with addresses of its own, are behind the router.
const CLIENTS: u8 = 100;
/// How long their connections wait for an answer.
const SESSION: Duration = Duration::from_secs(5);

/// One that did not come up is not tried again by every test.
static BED: OnceCell<Result<Bed, String>> = OnceCell::const_new();

/// A lab, `cpo`, a speaker on each node, and the tenants registered.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
    pub(crate) speakers: Vec<Speaker>,
    /// What was on each node before there was a speaker.
    pub(crate) before: Vec<Ground>,
    _proxies: Vec<Process>,
    _cpo: cpo::Cpo,
}

/// The bed, as it should be, whatever the test before did to it.
pub(crate) async fn bed() -> Result<&'static Bed> {
    let start = async || Bed::start().await.map_err(|error| format!("{error:#}"));
    let bed = BED.get_or_init(start).await.as_ref();
    let bed = bed.map_err(|error| anyhow!("the bed is not up: {error}"))?;
    bed.mend().await.context("the bed cannot be mended")?;
    Ok(bed)
}

impl Bed {
    async fn start() -> Result<Self> {
        let modes = &[Mode::Nftables, Mode::Iptables, Mode::Nftables];
        let lab = Lab::vlan().tenants(3).vms(2).last_like_first().proxies(modes).start().await?;
        cpo::install(&lab).await?;
        for object in advertisements() {
            lab.under().apply(&object).await?;
        }
        for tenant in lab.tenants() {
            for pool in pools(tenant)? {
                lab.under().apply(&pool).await?;
            }
            cpo::register(&lab, tenant).await?;
        }
        let (proxies, before) = under_proxies(&lab).await?;
        let speakers = lab.lans()?.nodes().iter().map(|node| Speaker::start(&lab, node));
        let cpo = cpo::Cpo::start(&lab, cpo::Options::default());
        let (speakers, cpo) = try_join(try_join_all(speakers), cpo).await?;
        let bed = Self { lab, speakers, before, _proxies: proxies, _cpo: cpo };
        let addresses = (0..CLIENTS).map(|n| {
            let [v4, v6] = FAMILIES.map(|family| client(family, n));
            // Of IPv6 none is to be chosen that nobody asks from.
            let v6 = format!("{v6}/64 dev eth0 nodad preferred_lft 0");
            format!("address add {v4}/24 dev eth0\naddress add {v6}")
        });
        let addresses = addresses.collect::<Vec<_>>().join("\n");
        bed.client()?.netns().ip(&addresses).await?;
        bed.pods("a", "web").await?;
        let asked = format!("{},{}", bed.web()?, bed.web6()?);
        let web = both(service("web").port(80).udp(80).local().address(&asked));
        bed.serve(bed.lab.tenant("a")?, &web.build()).await?;
        Ok(bed)
    }

    /// Puts right what a test did: speakers run and hear each other, nodes are there, and each is
    /// connected.
    async fn mend(&self) -> Result<()> {
        let under = self.lab.under();
        if under.api_server().paused() {
            under.api_server().resume()?;
        }
        self.lab.lans()?.register(under).await?;
        let nodes: Api<Node> = Api::all(under.client());
        let label = json!({"metadata": {"labels": {EXCLUDED: null}}});
        for speaker in &self.speakers {
            let params = PatchParams::default();
            nodes.patch(speaker.node(), &params, &Patch::Merge(&label)).await?;
            for lan in self.lab.lans()?.all() {
                let port = speaker.node();
                lan.bridge().ip(&format!("link set {port} master br0 up")).await?;
            }
            if !speaker.process().alive() {
                speaker.process().start_again()?;
            }
            if speaker.process().paused() {
                speaker.process().resume()?;
            }
        }
        self.all_hear_each_other().await?;
        for address in [IpAddr::from(self.web()?), self.web6()?.into()] {
            self.says(address, "one speaker announces it", |s| s.announcements.len() == 1).await?;
            self.answers(address).await?;
        }
        Ok(())
    }

    /// Waits until every speaker hears all others on every VLAN.
    pub(crate) async fn all_hear_each_other(&self) -> Result<()> {
        let others = self.speakers.len() - 1;
        let hear = self.speakers.iter().map(|speaker| speaker.hears(&TENANTS, others, SOON));
        try_join_all(hear).await.map(drop)
    }

    /// The address of the Service that is always there.
    pub(crate) fn web(&self) -> Result<Ipv4Addr> {
        Ok(self.lab.tenant("a")?.lan()?.address(WEB))
    }

    /// Its other address.
    pub(crate) fn web6(&self) -> Result<Ipv6Addr> {
        Ok(self.lab.tenant("a")?.lan()?.address6(WEB.into()))
    }

    /// The client behind the router.
    pub(crate) fn client(&self) -> Result<&Arc<Host>> {
        Ok(self.lab.lans()?.client())
    }

    /// A pod on each machine of a tenant.
    pub(crate) async fn pods(&self, tenant: &str, app: &str) -> Result<()> {
        let tenant = self.lab.tenant(tenant)?;
        for vm in ["vm1", "vm2"] {
            tenant.add_pod(&format!("{app}-{vm}"), vm, &[("app", app)]).await?;
        }
        Ok(())
    }

    /// Connections to the Service that is always there from as many clients of each family; each
    /// has had an answer.
    pub(crate) async fn sessions(&self) -> Result<Vec<Session>> {
        let host = self.client()?;
        let mut sessions = Vec::new();
        for to in [IpAddr::from(self.web()?), self.web6()?.into()] {
            let open = (0..CLIENTS).map(|number| {
                let from = client(Family::of(to), number);
                Session::open_from(host, Some(from), SocketAddr::new(to, 80), SESSION)
            });
            let mut opened = try_join_all(open).await?;
            let pods: BTreeSet<_> = go_on(&mut opened).await?.into_iter().collect();
            ensure!(pods.len() == 2, "all connections to {to} are with one machine: {pods:?}");
            sessions.extend(opened);
        }
        Ok(sessions)
    }

    /// The Eips of the under cluster.
    pub(crate) fn eips(&self) -> Api<Eip> {
        Api::all(self.lab.under().client())
    }

    /// Asks a Service from behind the router.
    pub(crate) async fn ask(&self, address: impl Into<IpAddr>) -> Result<traffic::Answer> {
        traffic::get(self.client()?, &url(address)).await
    }

    /// Waits until an address answers the client behind the router.
    pub(crate) async fn answers(&self, address: impl Into<IpAddr>) -> Result<traffic::Answer> {
        let address = address.into();
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

    /// Creates a Service and waits until it has an address.
    pub(crate) async fn create(&self, tenant: &Tenant, service: &Service) -> Result<IpAddr> {
        let api = services(tenant);
        let created = api.create(&PostParams::default(), service).await?;
        let name = created.metadata.name.unwrap_or_default();
        let has = |s: &Service| published(s).is_some();
        let service = wait::for_object(&api, &name, "an address in its status", SOON, has).await?;
        published(&service).context("no address")
    }

    /// The addresses of a Service that has them.
    pub(crate) async fn addresses(&self, tenant: &Tenant, name: &str) -> Result<Vec<IpAddr>> {
        let status = services(tenant).get(name).await?.status.unwrap_or_default();
        let ingress = status.load_balancer.and_then(|status| status.ingress).unwrap_or_default();
        let addresses = ingress.iter().map(|ingress| ingress.ip.as_deref()?.parse().ok());
        addresses.collect::<Option<_>>().context("no address")
    }

    /// Creates a Service and waits until it answers.
    pub(crate) async fn serve(&self, tenant: &Tenant, service: &Service) -> Result<IpAddr> {
        let address = self.create(tenant, service).await?;
        self.answers(address).await?;
        Ok(address)
    }

    /// Deletes a Service and waits until nothing is left of its address.
    pub(crate) async fn end(
        &self,
        tenant: &Tenant,
        name: &str,
        address: impl Into<IpAddr>,
    ) -> Result<()> {
        match services(tenant).delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            // With an address of another family of it.
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        self.gone(address).await
    }

    /// The one speaker that announces an address.
    pub(crate) async fn owner(&self, address: impl Into<IpAddr>) -> Result<&Speaker> {
        let one = |s: &EipStatus| s.announcements.len() == 1;
        let status = self.says(address, "one speaker announces it", one).await?;
        let by = status.announcements.first().context("announced by nobody")?;
        let ours = |speaker: &&Speaker| speaker.node() == by.node;
        self.speakers.iter().find(ours).context("by no speaker of ours")
    }

    /// Waits until an Eip's status says so.
    pub(crate) async fn says(
        &self,
        address: impl Into<IpAddr>,
        what: &str,
        holds: impl Fn(&EipStatus) -> bool + Send + Sync,
    ) -> Result<EipStatus> {
        let (api, name) = (self.eips(), Eip::name_of(address.into()));
        wait::until(&format!("Eip {name}: {what}"), SOON, || async {
            let status = api.get(&name).await?.status.unwrap_or_default();
            ensure!(holds(&status), "{status:?}");
            Ok(status)
        })
        .await
    }

    /// Waits until another speaker than this one announces an address.
    pub(crate) async fn moves_from(&self, address: impl Into<IpAddr>, node: &str) -> Result<()> {
        let other = |s: &EipStatus| s.announcements.iter().any(|by| by.node != node);
        self.says(address, "another speaker announces it", other).await.map(drop)
    }

    /// Waits until an Eip is gone.
    pub(crate) async fn gone(&self, address: impl Into<IpAddr>) -> Result<()> {
        let (api, name) = (self.eips(), Eip::name_of(address.into()));
        wait::until(&format!("the end of Eip {name}"), SOON, || async {
            let eip = api.get_opt(&name).await?;
            ensure!(eip.is_none(), "{eip:?}");
            Ok(())
        })
        .await
    }
}

/// Each of `sessions` has an answer again; which pods gave them.
pub(crate) async fn go_on(sessions: &mut [Session]) -> Result<Vec<String>> {
    let mut pods = Vec::new();
    for session in sessions {
        pods.push(session.ask().await.context("a connection of before")?.pod);
    }
    Ok(pods)
}

/// The address of a client behind the router.
fn client(family: Family, number: u8) -> IpAddr {
    let last = 100 + number;
    match family {
        Family::V4 => Ipv4Addr::new(203, 0, 113, last).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0xffff, 0, 0, 0, last.into()).into(),
    }
}

/// All families.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// That of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its name in a Service.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// Where a Service answers.
pub(crate) fn url(address: impl Into<IpAddr>) -> String {
    format!("http://{}/", SocketAddr::new(address.into(), 80))
}

/// A Service with an address of each family.
pub(crate) fn both(service: ServiceBuilder) -> ServiceBuilder {
    service.spec(|spec| spec.ip_family_policy = Some("RequireDualStack".to_owned()))
}

/// A Service whose address comes from the pool that is delivered directly.
pub(crate) fn direct(service: ServiceBuilder, tenant: &str) -> ServiceBuilder {
    service.annotation("cloud-provider-ovn.io/address-pool", &format!("direct-{tenant}"))
}

/// The Services of a tenant's namespace `default`.
pub(crate) fn services(tenant: &Tenant) -> Api<Service> {
    Api::namespaced(tenant.cluster().client(), "default")
}

/// The address in a Service's status.
pub(crate) fn published(service: &Service) -> Option<IpAddr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_ref()?.parse().ok()
}

/// The Ethernet address of a host on a link.
pub(crate) async fn mac_of(netns: &Netns, interface: &str) -> Result<String> {
    let shown = netns.ip(&format!("link show {interface}")).await?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    Ok(mac.with_context(|| shown.clone())?.to_owned())
}
