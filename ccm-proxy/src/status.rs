//! How the speaker of a node stands, for an operator.
//!
//! ```text
//! ccm-proxy status ─► Unix socket ─► Server ─► Look ─► heart
//!                  ◄─ JSON ◄────────┬─────── ◄─ Status
//!                                   └─ what the gates' counters have counted
//! ```

mod server;
mod text;

pub(crate) use server::Server;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use ccm_proxy::kernel::Passed;
use ccm_proxy::speaker::Stands;
use serde::{Deserialize, Serialize};
use speaker_core::bfd::State;
use speaker_core::election;
use speaker_core::health::Target;
use speaker_core::l2::Standing;
use speaker_core::node::NodeName;
use speaker_core::world::Part;

use crate::cli::StatusArgs;
use crate::vlan::Seen;

/// So many failures of one kind are shown.
const FAILURES: usize = 3;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the speaker of a node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The node.
    pub(crate) node: String,
    /// Whether all that is needed was read once from the API server.
    pub(crate) complete: bool,
    /// The VLANs that the node is connected to.
    pub(crate) vlans: BTreeMap<String, Vlan>,
}

/// How it stands on one VLAN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vlan {
    /// The interface of the node, and how it is connected by that.
    pub(crate) interface: String,
    /// The network namespace.
    pub(crate) namespace: String,
    /// `Running`, `Starting`, `Leaving` or `Failed`.
    pub(crate) state: String,
    /// What an operator has to see to.
    pub(crate) messages: Vec<String>,
    /// Our Ethernet address, once there is one.
    pub(crate) mac: Option<String>,
    /// The speakers, and how they stand: `Us`, or the state of the BFD session, `Unknown` while there
    /// is none.
    pub(crate) members: BTreeMap<String, String>,
    /// The addresses, and how they stand with us.
    pub(crate) addresses: BTreeMap<String, Address>,
    /// The machines that are out, by address and port, and why.
    #[serde(default)]
    pub(crate) machines: BTreeMap<String, String>,
    /// Frames and packets without effect, by reason.
    pub(crate) drops: BTreeMap<String, u64>,
}

/// How one address stands with us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    /// `Announced`, `Contested`, `Conflict`, `Probing` or `Silent`.
    pub(crate) state: String,
    /// Why it is not announced here.
    pub(crate) message: String,
}

/// How a VLAN stands.
pub(crate) fn vlan((us, namespace): (&NodeName, String), part: Option<&Part>, seen: &Seen) -> Vlan {
    let stands = seen.stands.as_ref().map(|stands| stands.borrow().clone());
    let state = match (part, &seen.trouble, &stands) {
        (None, ..) => "Leaving",
        (Some(_), Some(_), _) => "Failed",
        (Some(_), None, None) => "Starting",
        (Some(_), None, Some(_)) => "Running",
    };
    let stands = stands.unwrap_or_default();
    let hash =
        "the kernel is older than 6.11: connections may break when another speaker takes over";
    let hash = seen.own_hash.then(|| hash.to_owned());
    let trouble = seen.trouble.iter().cloned();
    let failing = seen.failing.as_ref().map(|failing| failing.borrow().clone()).unwrap_or_default();
    let passed = seen.passed.as_ref().map(|passed| kernel(&passed.borrow())).unwrap_or_default();
    Vlan {
        interface: part.map(|part| part.connection.to_string()).unwrap_or_default(),
        namespace,
        state: state.to_owned(),
        messages: trouble.chain(hash).chain(passed).chain(part.and_then(unasked)).collect(),
        mac: seen.member.map(|member| member.mac.to_string()),
        members: part.map(|part| members(part, &stands, us)).unwrap_or_default(),
        addresses: part.map(|part| addresses(part, &stands, us)).unwrap_or_default(),
        machines: failing.iter().map(|(target, why)| (shown(*target), why.clone())).collect(),
        drops: stands.drops.iter().map(|(why, count)| (format!("{why:?}"), count)).collect(),
    }
}

fn members(part: &Part, stands: &Stands, us: &NodeName) -> BTreeMap<String, String> {
    let state = |node| match stands.peers.get(node).map(|liveness| liveness.state) {
        None if node == us => "Us",
        None => "Unknown",
        Some(State::Up) => "Up",
        Some(State::Init) => "Init",
        Some(State::Down) => "Down",
        Some(State::AdminDown) => "AdminDown",
    };
    part.members.keys().map(|node| (node.to_string(), state(node).to_owned())).collect()
}

/// Each address that a Service has on the VLAN, announced here or not.
fn addresses(part: &Part, stands: &Stands, us: &NodeName) -> BTreeMap<String, Address> {
    let all = part.orders.keys().chain(part.routes.keys());
    let all = all.map(|address| {
        let ordered = part.orders.contains_key(address);
        let (state, message) = match stands.addresses.get(address) {
            _ if !ordered => ("Silent", "no L2Advertisement announces it".to_owned()),
            None => ("Silent", "its route or its packet filter is not there yet".to_owned()),
            Some(Standing::Silent) if !stands.settled => {
                ("Silent", "it is not known yet who else is there".to_owned())
            }
            Some(Standing::Silent) => ("Silent", silent(*address, part, stands, us)),
            Some(Standing::Probing) => ("Probing", "asks whether anybody has it".to_owned()),
            Some(Standing::Conflict { with }) => ("Conflict", format!("answered by {with}")),
            Some(Standing::Announcing(announced)) => match &announced.contested {
                Some(by) => ("Contested", format!("answered by {by}")),
                None => ("Announced", String::new()),
            },
        };
        (address.to_string(), Address { state: state.to_owned(), message })
    });
    all.collect()
}

/// Why we do not announce an address while it is known who else is there.
fn silent(address: IpAddr, part: &Part, stands: &Stands, us: &NodeName) -> String {
    let Some(order) = part.orders.get(&address) else { return String::new() };
    if !order.nodes.contains(us) {
        return "no L2Advertisement of it selects this node".to_owned();
    }
    if !part.members.contains_key(us) {
        return "this node is none of the speakers that take part on the VLAN".to_owned();
    }
    let up = |node| stands.peers.get(node).is_some_and(|peer| peer.state == State::Up);
    let live = order.nodes.iter().filter(|node| *node == us || up(node));
    match election::owner(address, live) {
        Some(node) if node != us => format!("{node} is elected to announce it"),
        _ => "the Ethernet address of no machine behind it is known".to_owned(),
    }
}

/// That machines are to be asked whether they take connections, and we have no address to ask by.
fn unasked(part: &Part) -> Option<String> {
    let v4 = part.probes.keys().find(|address| !part.asks(**address))?.is_ipv4();
    let family = if v4 { "IPv4" } else { "IPv6" };
    Some(format!(
        "machines are not asked whether they take connections: this node has no {family} address in \
         spec.vlan.speakerAddresses of the TenantCluster"
    ))
}

fn shown(target: Target) -> String {
    SocketAddr::from((target.machine, target.port)).to_string()
}

/// What of the kernel's part an operator has to see to.
fn kernel(passed: &Passed) -> Vec<String> {
    let down = "the interface does not run: it has no carrier, or was set down";
    let down = passed.down.then(|| down.to_owned());
    let more = passed.failures.len().saturating_sub(FAILURES);
    let more = (more > 0).then(|| format!("and {more} failures more"));
    down.into_iter().chain(passed.failures.iter().take(FAILURES).cloned()).chain(more).collect()
}

/// Asks the speaker that runs on this node, and prints what it says.
pub(crate) fn print(args: &StatusArgs) -> anyhow::Result<()> {
    let path = &args.socket.path;
    let what = || format!("ask the speaker at {}; does it run here?", path.display());
    let mut stream = std::os::unix::net::UnixStream::connect(path).with_context(what)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(what)?;
    let status: Status = serde_json::from_slice(&answer).with_context(what)?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&status)?),
        false => text::of(&status),
    };
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
