//! A node of the under cluster that speakers run on.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::{Value, json};

use super::lan::Lan;
use super::proxy::{self, Mode};
use crate::cluster::Cluster;
use crate::netns::Netns;
use crate::process::Process;
use crate::space::{self, Space};

/// A node of the under cluster that is on every link.
#[derive(Debug)]
pub struct Node {
    name: String,
    netns: Netns,
    address: Ipv4Addr,
}

impl Node {
    pub(super) async fn start(space: &Space, lans: &[Lan], number: usize) -> Result<Self> {
        let name = format!("node{number}");
        let netns = Netns::new(space.namespace(&name)).await?;
        // As on a real one: the host itself is strict.
        netns.sysctl("net.ipv4.conf.all.rp_filter", "1")?;
        let address = space::management_address();
        netns.connect_management(address).await?;
        for lan in lans {
            lan.plug(&netns, &lan.interface(), &name).await?;
        }
        Ok(Self { name, netns, address })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its address in the network of the under cluster.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs kube-proxy of the under cluster on it, as on a real one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_proxy(&self, space: &Space, under: &Cluster, mode: Mode) -> Result<Process> {
        proxy::start(space, under, &self.name, self.netns.name(), mode)
    }

    /// Writes its object.
    pub(super) async fn register(&self, under: &Cluster) -> Result<()> {
        under.apply(&self.object()).await?;
        proxy::set_node_status(under, &self.name, &[self.address.into()], true).await
    }

    fn object(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
        })
    }
}
