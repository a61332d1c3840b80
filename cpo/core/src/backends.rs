//! Which machines of a tenant receive a Service's traffic, and at which address.
//!
//! A tenant's Node only names a machine. That the machine is the tenant's, and where it is found,
//! is read from the under cluster alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use cpo_api::Reason;
use pools::{Family, PerFamily};

use crate::ids::{NodeName, ServiceKey};
use crate::problem::Problem;
use crate::service::{Endpoint, Service, TrafficPolicy};
use crate::tenant::{Mode, Node, Tenant};
use crate::time::Now;
use crate::under::Under;

/// A node that is not ready is left out after this long.
const NOT_READY_GRACE: Duration = Duration::from_secs(10);

/// One machine that may receive traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// Its address inside the VPC, or on the VLAN.
    pub address: IpAddr,
    /// The Kube-OVN Subnet of that address.
    pub subnet: String,
    /// The VPC of that subnet.
    pub vpc: String,
    /// The Node in the tenant.
    pub node: NodeName,
    /// The virtual machine.
    pub machine: String,
    /// The Ethernet address of its interface, as Kube-OVN gave it.
    pub mac: Option<String>,
}

/// What became of a tenant's nodes.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The machines that receive traffic, by address; no address twice. A machine has one address
    /// of each family.
    pub backends: Vec<Backend>,
    /// Every VPC the tenant's eligible machines lie in.
    pub vpcs: BTreeSet<String>,
    /// Nodes of the tenant that are not excluded.
    pub total: usize,
    /// What is worth telling.
    pub problems: Vec<Problem>,
    /// When a node that just became not ready has to be looked at again (monotonic).
    pub wake: Option<Duration>,
}

impl Resolved {
    /// The machines that receive traffic of a family.
    pub fn of(&self, family: Family) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(move |backend| Family::of(backend.address) == family)
    }
}

/// Finds the machines behind a Service, in the families in which its tenant's mode serves it.
#[must_use]
pub fn resolve(
    tenant: &Tenant,
    under: &Under,
    key: &ServiceKey,
    service: &Service,
    now: Now,
) -> Resolved {
    let mut resolved = Resolved::default();
    let eligible: Vec<_> = tenant.nodes.iter().filter(|(_, node)| !node.excluded).collect();
    resolved.total = eligible.len();
    let families = families(tenant, service);
    let mut found = Vec::new();
    for (name, node) in eligible {
        match locate(tenant, under, (name, node), &families) {
            Ok(backends) => {
                for backend in backends {
                    resolved.vpcs.insert(backend.vpc.clone());
                    found.push((backend, node));
                }
            }
            Err(problem) => resolved.problems.push(problem),
        }
    }
    if resolved.total == 0 || found.is_empty() {
        resolved.problems.push(no_nodes(tenant));
        return resolved;
    }
    for family in families {
        if !found.iter().any(|(backend, _)| Family::of(backend.address) == family) {
            resolved.problems.push(none_of(tenant, family));
        }
    }
    let chosen = with_endpoints(tenant, key, service, found, &mut resolved.problems);
    let chosen = alive(under, tenant, chosen, now, &mut resolved.wake);
    if tenant.spec.mode() == Mode::Overlay {
        resolved.problems.extend(unreachable_node_ports(&chosen));
    }
    let mut seen = BTreeSet::new();
    resolved.backends = chosen.into_iter().map(|(backend, _)| backend).collect();
    resolved.backends.sort();
    resolved.backends.retain(|backend| seen.insert(backend.address));
    resolved.problems.extend(limit(tenant, &mut resolved.backends));
    resolved
}

/// Cuts the machines to as many as the tenant's quota allows: the first by address.
fn limit(tenant: &Tenant, backends: &mut Vec<Backend>) -> Option<Problem> {
    let limit = usize::try_from(tenant.spec.quota.backends_per_service?).unwrap_or(usize::MAX);
    let mut counts = PerFamily::<usize>::default();
    backends.retain(|backend| {
        let count = counts.get_mut(Family::of(backend.address));
        *count += 1;
        *count <= limit
    });
    let found = counts.v4.max(counts.v6);
    (found > limit).then(|| {
        Problem::warning(
            Reason::QuotaExceeded,
            format!(
                "{limit} of {found} nodes get traffic: the cluster's quota allows no more behind \
                 one Service; ask the provider's operator for more"
            ),
        )
        .for_operator(format!(
            "spec.quota.backendsPerService of TenantCluster {} is {limit}, and {found} nodes are \
             eligible",
            tenant.spec.name
        ))
    })
}

fn no_nodes(tenant: &Tenant) -> Problem {
    Problem::warning(
        Reason::NoEligibleNodes,
        "no node of the cluster can receive load-balancer traffic: none is known to the provider, \
         or all are excluded, being deleted, or tainted for deletion",
    )
    .for_operator(if tenant.spec.is_under_cluster() {
        "every Node is excluded, being deleted, or has no address".to_owned()
    } else { format!(
        "no Node of tenant {} maps to a VirtualMachine in namespace {} that carries the labels of \
         spec.backends and has an address in {}",
        tenant.spec.name,
        tenant.spec.machine_namespace,
        match tenant.spec.mode() {
            Mode::Overlay => "the tenant's VPC",
            Mode::Vlan => "a Subnet of spec.vlan.subnets",
        }
    )})
}

/// There are machines, of the other family alone.
fn none_of(tenant: &Tenant, family: Family) -> Problem {
    let text = format!(
        "no node of the cluster can receive {family} traffic: none has an {family} address that is \
         known to the provider"
    );
    if tenant.spec.is_under_cluster() {
        let why = format!("no Node has an {family} address in its status.addresses");
        return Problem::warning(Reason::NoEligibleNodes, text).for_operator(why);
    }
    Problem::warning(Reason::NoEligibleNodes, text).for_operator(format!(
        "no VirtualMachine of tenant {} in namespace {} has an {family} address in a Subnet of {}",
        tenant.spec.name,
        tenant.spec.machine_namespace,
        subnets_field(tenant.spec.mode())
    ))
}

/// The addresses of the machine a Node names; none where the machine is not the tenant's.
fn locate(
    tenant: &Tenant,
    under: &Under,
    (name, node): (&NodeName, &Node),
    families: &[Family],
) -> Result<Vec<Backend>, Problem> {
    let spec = &tenant.spec;
    if spec.is_under_cluster() {
        return Ok(of_node(under, name, families));
    }
    let id = (spec.machine_namespace.clone(), node.machine.clone());
    let owned = under.machines.get(&id).is_some_and(|machine| {
        spec.machine_labels.iter().all(|(k, v)| machine.labels.get(k) == Some(v))
    });
    if !owned {
        return Ok(Vec::new());
    }
    let mut addresses = Vec::new();
    let mut foreign = None;
    for ip in under.ips_of.get(&id).into_iter().flatten().filter_map(|n| under.ips.get(n)) {
        let Some(subnet) = under.subnets.get(&ip.subnet).filter(|_| ip.of_machine) else {
            continue;
        };
        if spec.vpc.as_ref().is_some_and(|vpc| *vpc != subnet.vpc)
            || !(spec.subnets.is_empty() || spec.subnets.contains(&ip.subnet))
        {
            continue;
        }
        for address in ip.addresses().filter(|address| families.contains(&Family::of(*address))) {
            if !subnet.contains(address) {
                foreign = Some(format!("{address} of {name} is outside subnet {}", ip.subnet));
                continue;
            }
            let (subnet, vpc) = (ip.subnet.clone(), subnet.vpc.clone());
            let (node, machine, mac) = (name.clone(), id.1.clone(), ip.mac.clone());
            addresses.push(Backend { address, subnet, vpc, node, machine, mac });
        }
    }
    let text = format!("node {name} is left out: its machine's address cannot be used");
    let of = |family| addresses.iter().filter(|b| Family::of(b.address) == family).count();
    let most = of(Family::V4).max(of(Family::V6));
    match (most, foreign) {
        (0, Some(foreign)) => {
            Err(Problem::warning(Reason::BackendForeign, text).for_operator(foreign))
        }
        (0 | 1, _) => Ok(addresses),
        (count, _) => Err(Problem::warning(Reason::BackendForeign, text).for_operator(format!(
            "machine {}/{} has {count} addresses of one family; name the subnet in {}",
            id.0,
            id.1,
            subnets_field(spec.mode())
        ))),
    }
}

/// A node of the under cluster, at its first address of each family.
fn of_node(under: &Under, name: &NodeName, families: &[Family]) -> Vec<Backend> {
    let Some(node) = under.nodes.get(name.as_str()) else { return Vec::new() };
    let first = |family: &Family| {
        node.addresses.iter().copied().find(|address| Family::of(*address) == *family)
    };
    let backends = families.iter().filter_map(first).map(|address| Backend {
        address,
        subnet: String::new(),
        vpc: String::new(),
        node: name.clone(),
        machine: name.to_string(),
        mac: None,
    });
    backends.collect()
}

/// The families in which a Service may have an address.
fn families(tenant: &Tenant, service: &Service) -> Vec<Family> {
    match tenant.spec.mode() {
        Mode::Overlay => vec![Family::V4],
        Mode::Vlan => service.wanted_families().collect(),
    }
}

const fn subnets_field(mode: Mode) -> &'static str {
    match mode {
        Mode::Overlay => "spec.overlay.subnets",
        Mode::Vlan => "spec.vlan.subnets",
    }
}

type Candidate<'a> = (Backend, &'a Node);

/// With `externalTrafficPolicy: Local`, only the nodes that have an endpoint: of the family in
/// which they are reached.
fn with_endpoints<'a>(
    tenant: &Tenant,
    key: &ServiceKey,
    service: &Service,
    nodes: Vec<Candidate<'a>>,
    problems: &mut Vec<Problem>,
) -> Vec<Candidate<'a>> {
    if service.policy == TrafficPolicy::Cluster {
        return nodes;
    }
    let (v4, v6): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(b, _)| b.address.is_ipv4());
    let mut chosen = Vec::new();
    for (family, nodes) in [(Family::V4, v4), (Family::V6, v6)] {
        if nodes.is_empty() {
            continue;
        }
        let endpoints: Vec<&Endpoint> = tenant.endpoints(key, family).collect();
        match local(&endpoints, service.publish_not_ready) {
            Some(local) => {
                chosen.extend(nodes.into_iter().filter(|(b, _)| local.contains(&b.node)));
            }
            None => {
                chosen.extend(nodes);
                problems.push(unplaced());
            }
        }
    }
    problems.dedup();
    if chosen.is_empty() {
        problems.push(Problem::warning(
            Reason::NoEligibleNodes,
            "externalTrafficPolicy is Local and no node has a ready endpoint: connections are \
             refused until one is ready",
        ));
    }
    chosen
}

/// The nodes with an endpoint that takes connections; `None` where it is not known of all.
fn local<'e>(
    endpoints: &[&'e Endpoint],
    publish_not_ready: bool,
) -> Option<BTreeSet<&'e NodeName>> {
    let ready = |e: &&&Endpoint| publish_not_ready || e.ready;
    let mut serving: Vec<_> = endpoints.iter().filter(ready).collect();
    if serving.is_empty() {
        serving = endpoints.iter().filter(|e| e.serving && e.terminating).collect();
    }
    serving.iter().map(|e| e.node.as_ref()).collect()
}

fn unplaced() -> Problem {
    Problem::warning(
        Reason::EndpointWithoutNode,
        "externalTrafficPolicy is Local, but an endpoint has no nodeName: all nodes receive \
         traffic; set nodeName in the EndpointSlice, or use Cluster",
    )
}

/// Leaves out nodes that are not ready and machines that do not run, but never all of them.
fn alive<'a>(
    under: &Under,
    tenant: &Tenant,
    nodes: Vec<Candidate<'a>>,
    now: Now,
    wake: &mut Option<Duration>,
) -> Vec<Candidate<'a>> {
    let lives = |(_, node): &Candidate<'_>, wake: &mut Option<Duration>| {
        let id = (tenant.spec.machine_namespace.clone(), node.machine.clone());
        let instance = || under.instances.get(&id).copied().unwrap_or(false);
        let runs = tenant.spec.is_under_cluster() || instance();
        runs && (node.ready || in_grace(node, now, wake))
    };
    let living: Vec<_> = nodes.iter().filter(|n| lives(n, wake)).cloned().collect();
    if living.is_empty() { nodes } else { living }
}

fn in_grace(node: &Node, now: Now, wake: &mut Option<Duration>) -> bool {
    let Some(since) = node.ready_since else { return false };
    let gone = Duration::try_from(now.wall.duration_since(since)).unwrap_or_default();
    match NOT_READY_GRACE.checked_sub(gone).filter(|left| !left.is_zero()) {
        Some(left) => {
            let at = now.mono + left;
            *wake = Some(wake.map_or(at, |w| w.min(at)));
            true
        }
        None => false,
    }
}

fn unreachable_node_ports(chosen: &[Candidate<'_>]) -> Option<Problem> {
    let mut nodes = chosen.iter().filter(|(backend, node)| {
        !node.addresses.is_empty() && !node.addresses.contains(&backend.address)
    });
    let (backend, _) = nodes.next()?;
    Some(Problem::warning(
        Reason::NodePortUnreachable,
        format!(
            "node {} is reached at {}, which is not among its status.addresses: kube-proxy answers \
             nodePorts on the node's primary address only; start the kubelet with that address as \
             --node-ip, or set --nodeport-addresses",
            backend.node, backend.address
        ),
    ))
}

#[cfg(test)]
#[path = "backends_tests.rs"]
mod tests;
