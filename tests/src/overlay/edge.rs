//! The provider network: a client on it, its router, and a client behind the router.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;

use super::provider::Provider;
use crate::chassis::Chassis;
use crate::netns::{Host, Netns};
use crate::space::Space;

const ROUTER_INSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

#[derive(Debug)]
pub(super) struct Edge {
    pub(super) near: Arc<Host>,
    pub(super) far: Arc<Host>,
    pub(super) router: Host,
}

impl Edge {
    pub(super) async fn start(
        space: &Space,
        chassis: &Chassis,
        provider: Provider,
    ) -> Result<Self> {
        let Provider { prefix, gateway, near: near_address, .. } = provider;
        let (near, router, far) = tokio::try_join!(
            Netns::new(space.namespace("near")),
            Netns::new(space.namespace("router")),
            Netns::new(space.namespace("far"))
        )?;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        tokio::try_join!(
            near.connect("eth0", chassis.netns(), "near"),
            router.connect("eth0", chassis.netns(), "router"),
            far.connect("eth0", &router, "eth1")
        )?;
        near.ip(&format!(
            "address add {near_address}/{prefix} dev eth0\nroute add default via {gateway}"
        ))
        .await?;
        router
            .ip(&format!(
                "address add {gateway}/{prefix} dev eth0\naddress add {ROUTER_INSIDE}/24 dev eth1"
            ))
            .await?;
        far.ip(&format!("address add {FAR}/24 dev eth0\nroute add default via {ROUTER_INSIDE}"))
            .await?;
        chassis.plug("br-external", "near", None).await?;
        chassis.plug("br-external", "router", None).await?;
        Ok(Self {
            near: Arc::new(Host::new(near, near_address)),
            far: Arc::new(Host::new(far, FAR)),
            router: Host::new(router, gateway),
        })
    }
}
