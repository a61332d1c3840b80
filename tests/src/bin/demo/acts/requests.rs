//! Requests from outside: who answers, and whom the VM and the pod see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use lab::netns::Host;
use lab::overlay::Tenant;
use lab::traffic;

use super::Cast;
use crate::screen::Screen;

/// Requests of each client to each address.
const REQUESTS: usize = 12;

pub(super) async fn from_outside(
    screen: &mut Screen,
    cast: &Cast,
    eips: [Ipv4Addr; 2],
) -> Result<()> {
    screen.act(
        "Clients outside send requests: near on the provider network, far behind its router",
    )?;
    let tenants = [("a", &cast.a, eips[0], false), ("b", &cast.b, eips[1], true)];
    for (name, kubectl, eip, local) in tenants {
        let policy = if local { "Local" } else { "Cluster" };
        screen.say(&format!("tenant {name}, {eip}, externalTrafficPolicy {policy}"))?;
        let lab = &cast.stage.lab;
        let words = "get svc web -o jsonpath={.spec.ports[0].nodePort}";
        let node_port: u16 = kubectl.run(words, "").await?.trim().parse()?;
        let mut seen = Seen::default();
        for (place, host) in [("near", lab.near()), ("far", lab.far())] {
            let now = ask(cast.tenant(name)?, host, eip, node_port).await?;
            let address = host.address();
            screen.say(&format!("  {place:4} {address:14} -> {}", now.answered()))?;
            screen.say(&format!(
                "       the VM saw {}, the pod saw {}",
                list(&now.by_vm),
                list(&now.by_pod)
            ))?;
            seen.check(screen, name, address, local, &now)?;
        }
        screen.check("every request was answered, by both VMs of the tenant", seen.answers == 2)?;
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    answers: usize,
}

impl Seen {
    fn check(
        &mut self,
        screen: &mut Screen,
        tenant: &str,
        client: Ipv4Addr,
        local: bool,
        now: &Asked,
    ) -> Result<()> {
        let of_tenant = now.by_server.keys().all(|(_, pod)| pod.starts_with(&format!("{tenant}-")));
        let vms: BTreeSet<&String> = now.by_server.keys().map(|(vm, _)| vm).collect();
        self.answers += usize::from(of_tenant && vms.len() == 2);
        let only = |seen: &BTreeSet<IpAddr>| seen.iter().eq([&IpAddr::V4(client)]);
        if local {
            return screen.check(
                "VM and pod saw the client's own address",
                only(&now.by_vm) && only(&now.by_pod),
            );
        }
        screen.check("the VM saw the client's own address", only(&now.by_vm))
    }
}

/// What came of asking one address from one client.
struct Asked {
    by_server: BTreeMap<(String, String), usize>,
    by_vm: BTreeSet<IpAddr>,
    by_pod: BTreeSet<IpAddr>,
}

impl Asked {
    fn answered(&self) -> String {
        let servers = self.by_server.iter();
        let texts: Vec<_> =
            servers.map(|((vm, pod), count)| format!("{pod} on {vm} answered {count}")).collect();
        texts.join(", ")
    }
}

async fn ask(tenant: &Tenant, host: &Host, eip: Ipv4Addr, node_port: u16) -> Result<Asked> {
    let vms = tenant.vms().await;
    for vm in &vms {
        vm.forget_hits().await?;
    }
    let (mut by_server, mut by_pod) = (BTreeMap::new(), BTreeSet::new());
    for _ in 0..REQUESTS {
        let answer = traffic::get(host, &format!("http://{eip}/")).await?;
        *by_server.entry((answer.node, answer.pod)).or_default() += 1;
        by_pod.insert(answer.client_address.ip());
    }
    let mut by_vm = BTreeSet::new();
    for vm in &vms {
        // Replies to kube-proxy's own source ports pass here too.
        let hits = vm.hits().await?.into_iter().filter(|hit| hit.port == node_port);
        by_vm.extend(hits.map(|hit| IpAddr::V4(hit.source)));
    }
    Ok(Asked { by_server, by_vm, by_pod })
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" and ")
}
