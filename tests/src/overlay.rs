//! The overlay lab: one under cluster with Kube-OVN, one gateway chassis, a client on the provider
//! network, one behind a router, and tenants whose VPCs all use the same addresses.

mod edge;
mod lan;
mod node;
mod objects;
mod picture;
mod pod;
mod provider;
mod proxy;
mod tenant;
mod vm;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::future::try_join_all;

use crate::chassis::Chassis;
use crate::cluster::{Cluster, Controllers, Families};
use crate::kube_ovn::KubeOvn;
use crate::netns::Host;
use crate::ovn::{Northbound, Ovn};
use crate::ovsdb::OvsdbLab;
use crate::process::Process;
use crate::space::Space;

use lan::Prefixes;
pub use lan::{Lan, Lans};
pub use node::Node;
pub use pod::{POD_PORT, Pod};
pub use provider::Provider;
pub use proxy::Mode;
pub use tenant::Tenant;
pub use vm::{NodePortHit, Vm};

/// A running overlay lab. Dropping it kills its processes and deletes its namespaces.
pub struct Lab {
    tenants: Vec<Tenant>,
    lans: Option<Lans>,
    kube_ovn: KubeOvn,
    edge: edge::Edge,
    under: Arc<Cluster>,
    // After all that is plugged into it: the order of fields is the order of their end.
    chassis: Arc<Chassis>,
    ovn: Arc<Ovn>,
    space: Space,
}

/// What all tenants share.
struct Base {
    under: Arc<Cluster>,
    ovn: Arc<Ovn>,
    chassis: Arc<Chassis>,
    kube_ovn: KubeOvn,
    edge: edge::Edge,
}

/// What an overlay lab is to have.
#[derive(Debug, Clone, Copy)]
pub struct Builder {
    tenants: usize,
    vms: usize,
    /// Nodes with speakers, where the tenants are in VLAN mode.
    nodes: Option<usize>,
    prefixes: Prefixes,
    /// How kube-proxy works on the machines of each tenant.
    modes: &'static [Mode],
    /// Length of the links' prefixes there.
    length: u8,
    under_controllers: Controllers,
    provider: Provider,
    northbound: Northbound,
}

impl Lab {
    /// An overlay lab: one tenant with two VMs unless more is asked for.
    pub fn overlay() -> Builder {
        Builder {
            tenants: 1,
            vms: 2,
            nodes: None,
            prefixes: Prefixes::Own,
            modes: &[],
            length: 24,
            under_controllers: Controllers::None,
            provider: provider::SMALL,
            northbound: Northbound::Alone,
        }
    }

    /// The same with tenants in VLAN mode, each on a VLAN of its own, and three nodes on all of
    /// these.
    pub fn vlan() -> Builder {
        Builder { nodes: Some(3), ..Self::overlay() }
    }

    /// OVN's Northbound database alone.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn ovsdb() -> Result<OvsdbLab> {
        OvsdbLab::start(false).await
    }

    /// OVN's databases and ovn-northd, without a chassis.
    ///
    /// # Errors
    /// When a component does not start.
    pub async fn ovsdb_with_northd() -> Result<OvsdbLab> {
        OvsdbLab::start(true).await
    }
}

impl Builder {
    /// How many tenants: `a`, `b`, …, at most 26.
    #[must_use]
    pub fn tenants(self, tenants: usize) -> Self {
        Self { tenants: tenants.min(26), ..self }
    }

    /// How many VMs each tenant starts with: `vm1`, `vm2`, …
    #[must_use]
    pub fn vms(self, vms: usize) -> Self {
        Self { vms, ..self }
    }

    /// Runs kube-controller-manager in the under cluster too.
    #[must_use]
    pub fn under_controllers(self) -> Self {
        Self { under_controllers: Controllers::Run, ..self }
    }

    /// Gives the last VLAN the prefixes of the first.
    #[must_use]
    pub fn last_like_first(self) -> Self {
        Self { prefixes: Prefixes::LastLikeFirst, ..self }
    }

    /// How kube-proxy works on the machines of each tenant; where nothing is said, by nftables.
    #[must_use]
    pub fn proxies(self, modes: &'static [Mode]) -> Self {
        Self { modes, ..self }
    }

    /// Has the Northbound database on three servers.
    #[must_use]
    pub fn clustered_northbound(self) -> Self {
        Self { northbound: Northbound::Clustered, ..self }
    }

    /// Gives each VLAN room for tens of thousands of addresses.
    #[must_use]
    pub fn wide_links(self) -> Self {
        Self { length: 16, ..self }
    }

    /// Gives the provider network room for tens of thousands of addresses.
    #[must_use]
    pub fn many_addresses(self) -> Self {
        Self { provider: provider::LARGE, ..self }
    }

    /// Starts everything, as much as possible at once.
    ///
    /// # Errors
    /// When a component does not start or an object is not reconciled in time.
    pub async fn start(self) -> Result<Lab> {
        let begin = Instant::now();
        let space = Space::new()?;
        let names = (b'a'..=b'z').take(self.tenants).map(|letter| char::from(letter).to_string());
        // The under cluster first: kube-ovn-controller sleeps for seconds at its start, which is the
        // time to start the tenants' clusters.
        let (started, base_started) = tokio::sync::watch::channel(false);
        let clusters = names.map(|name| async {
            base_started.clone().wait_for(|started| *started).await?;
            let directory = format!("tenant-{name}");
            let families = self.nodes.map_or(Families::Ipv4, |_| Families::Both);
            let cluster = Cluster::start_with(&space, &directory, Controllers::Run, families);
            let cluster = cluster.await?;
            tracing::info!(tenant = name, elapsed = ?begin.elapsed(), "tenant cluster ready");
            anyhow::Ok((name, cluster))
        });
        let (base, clusters) =
            tokio::try_join!(self.start_base(&space, begin, started), try_join_all(clusters))?;
        let Base { under, ovn, chassis, kube_ovn, edge } = base;
        let lans = match self.nodes {
            Some(nodes) => {
                let plan = (self.prefixes, self.length);
                Some(Lans::start(&space, self.tenants, nodes, plan).await?)
            }
            None => None,
        };
        if let Some(lans) = &lans {
            lans.register(&under).await?;
        }
        let clusters = clusters.into_iter().enumerate();
        let tenants = try_join_all(clusters.map(|(number, (name, cluster))| {
            let platform = tenant::Platform {
                lan: lans.as_ref().and_then(|lans| lans.lan(number)),
                space: space.clone(),
                under: Arc::clone(&under),
                ovn: Arc::clone(&ovn),
                chassis: Arc::clone(&chassis),
                provider: self.provider,
                mode: self.modes.get(number).copied().unwrap_or(Mode::Nftables),
            };
            Tenant::start(platform, name, cluster, self.vms)
        }))
        .await?;
        tracing::info!(elapsed = ?begin.elapsed(), tenants = tenants.len(), "lab ready");
        Ok(Lab { tenants, lans, kube_ovn, edge, under, chassis, ovn, space })
    }

    async fn start_base(
        self,
        space: &Space,
        begin: Instant,
        started: tokio::sync::watch::Sender<bool>,
    ) -> Result<Base> {
        let network = async {
            let ovn = Ovn::start(space, self.northbound).await?;
            let chassis = Chassis::start(space, &ovn).await?;
            let edge = edge::Edge::start(space, &chassis, self.provider).await?;
            anyhow::Ok((ovn, chassis, edge))
        };
        let under = Cluster::start(space, "under", self.under_controllers);
        let ((ovn, chassis, edge), under) = tokio::try_join!(network, under)?;
        tracing::info!(elapsed = ?begin.elapsed(), "under cluster ready");
        let kube_ovn = KubeOvn::start(space, &under, &ovn).await?;
        started.send_replace(true);
        kube_ovn.initialize(&under, &objects::external(self.provider)).await?;
        tracing::info!(elapsed = ?begin.elapsed(), "kube-ovn-controller initialized");
        Ok(Base {
            under: Arc::new(under),
            ovn: Arc::new(ovn),
            chassis: Arc::new(chassis),
            kube_ovn,
            edge,
        })
    }
}

impl Lab {
    /// The cluster that Kube-OVN and KubeVirt run on.
    pub fn under(&self) -> &Arc<Cluster> {
        &self.under
    }

    /// A tenant by name: `a`.
    ///
    /// # Errors
    /// When the lab has no such tenant.
    pub fn tenant(&self, name: &str) -> Result<&Tenant> {
        let mut tenants = self.tenants.iter();
        tenants.find(|tenant| tenant.name() == name).with_context(|| format!("no tenant {name}"))
    }

    /// All tenants.
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// The VLANs, where tenants are in VLAN mode.
    ///
    /// # Errors
    /// They are not.
    pub fn lans(&self) -> Result<&Lans> {
        self.lans.as_ref().context("no tenant is in VLAN mode")
    }

    /// The client on the provider network.
    pub fn near(&self) -> &Arc<Host> {
        &self.edge.near
    }

    /// The client behind the provider's router.
    pub fn far(&self) -> &Arc<Host> {
        &self.edge.far
    }

    /// The provider's router.
    pub fn router(&self) -> &Host {
        &self.edge.router
    }

    /// OVN's central part.
    pub fn ovn(&self) -> &Ovn {
        &self.ovn
    }

    /// The gateway chassis.
    pub fn chassis(&self) -> &Chassis {
        &self.chassis
    }

    /// kube-ovn-controller.
    pub fn kube_ovn(&self) -> &KubeOvn {
        &self.kube_ovn
    }

    /// Runs `ovn-nbctl` and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn nb<I, S>(&self, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: Into<std::ffi::OsString>,
    {
        self.ovn.nb(args).await
    }

    /// The lab's name and directories.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Directory with the lab's logs and kubeconfigs as seen from outside of the sandbox.
    ///
    /// # Errors
    /// Outside of a sandbox.
    pub fn run_dir(&self) -> Result<std::path::PathBuf> {
        self.space.dir_on_disk()
    }

    /// The processes of the lab that a test may want to watch or disturb.
    pub fn processes(&self) -> Vec<&Process> {
        let mut all = vec![
            self.under.etcd(),
            self.under.api_server(),
            self.ovn.northbound().process(),
            self.chassis.controller(),
            self.chassis.vswitchd(),
            self.kube_ovn.process(),
        ];
        all.extend(self.ovn.northd().ok());
        for tenant in &self.tenants {
            all.extend([tenant.cluster().etcd(), tenant.cluster().api_server()]);
        }
        all
    }
}
