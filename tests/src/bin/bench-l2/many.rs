//! A node with ten thousand addresses: how soon it announces them, how fast it answers, and how much
//! memory it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cpo_api::{Eip, TenantCluster};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use lab::cluster::{Cluster, Controllers};
use lab::cpo;
use lab::metallb::{Environment, add_pod, add_pool, define};
use lab::netns::{Host, Netns};
use lab::process::Process;
use lab::report::{Figure, Report, Target, percentile};
use lab::space::{self, Space};
use lab::speaker::Speaker;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::asker::Asker;

/// Questions a second, and for how long.
const RATE: u32 = 5_000;
const ASKED_FOR: Duration = Duration::from_secs(10);
/// How long a speaker may take to announce them all.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many are asked for at a time of those that nobody was heard of.
const IN_A_ROW: usize = 500;
const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 205, 0, 11);

/// One API server with everything both speakers are told, and a link.
struct Bed {
    space: Space,
    cluster: Cluster,
    lan: Netns,
    addresses: u16,
}

/// What one speaker came to.
struct Figures {
    started: Duration,
    memory: u64,
    answers: Vec<Duration>,
    unanswered: usize,
}

/// Measures both speakers, one after the other.
pub(crate) async fn measure(report: &mut Report, metallb: &Path, addresses: u16) -> Result<()> {
    let bed = Bed::start(metallb, addresses).await?;
    let mut ours = bed.ours().await?;
    let mut theirs = bed.theirs(metallb).await?;
    let all = format!("a node with {addresses} addresses");
    let started = format!("{all}: start to the last one announced");
    report.time(started, ours.started, Some(theirs.started), Duration::from_secs(3));
    let most = Target::AtMost(Figure::Bytes((30 << 20) + (u64::from(addresses) << 10)));
    let (memory, other) = (Figure::Bytes(ours.memory), Figure::Bytes(theirs.memory));
    report.add(format!("{all}: memory"), memory, Some(other), most);
    report.add(
        format!("{all}: memory, below MetalLB's"),
        memory,
        Some(other),
        Target::AtMost(other),
    );
    let what = format!("{all}: ARP request to reply at {RATE}/s");
    for (name, share, most) in [("p50", 0.5, None), ("p99", 0.99, Some(1))] {
        let theirs = percentile(&mut theirs.answers, share);
        let ours = percentile(&mut ours.answers, share);
        let most = most.map_or(theirs, Duration::from_millis);
        report.time(format!("{what}, {name}"), ours, Some(theirs), most);
    }
    let none = Target::AtMost(Figure::Count(0));
    let [ours, theirs] = [&ours, &theirs].map(|of| Figure::Count(of.unanswered as u64));
    report.add(format!("{all}: of these, requests without a reply"), ours, Some(theirs), none);
    Ok(())
}

impl Bed {
    async fn start(metallb: &Path, addresses: u16) -> Result<Self> {
        let space = Space::new()?;
        let cluster = Cluster::start(&space, "many", Controllers::None).await?;
        let lan = Netns::new(space.namespace("lan")).await?;
        lan.ip("link add br0 type bridge\nlink set br0 up").await?;
        let bed = Self { space, cluster, lan, addresses };
        cpo::install_into(&bed.cluster).await?;
        define(metallb, &bed.cluster).await?;
        add_pool(&bed.cluster, "10.205.1.0-10.205.60.255").await?;
        for node in ["node1", "node2"] {
            let node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node}},
            });
            bed.cluster.apply(&node).await?;
        }
        eprintln!("bench: {addresses} Eips, and as many Services");
        bed.eips().await?;
        bed.services().await?;
        Ok(bed)
    }

    /// Everything our speakers are told.
    async fn eips(&self) -> Result<()> {
        let all = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "L2Advertisement",
            "metadata": {"name": "all"}, "spec": {},
        });
        self.cluster.apply(&all).await?;
        let tenant = json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "TenantCluster",
            "metadata": {"name": "a"},
            "spec": {
                "kubeconfig": {"secretRef": {"namespace": "a", "name": "a", "key": "value"}},
                "mode": "Vlan", "backends": {"namespace": "a"},
                "vlan": {
                    "cidrs": ["10.205.0.0/16"], "subnets": ["a"], "interfaces": [{"name": "eth0"}],
                },
            },
        });
        self.cluster.apply(&tenant).await?;
        let tenants: Api<TenantCluster> = Api::all(self.cluster.client());
        let uid = tenants.get("a").await?.uid().context("a tenant without UID")?;
        let api: Api<Eip> = Api::all(self.cluster.client());
        each(self.addresses, async |number| {
            let address = address(number).to_string();
            let eip = json!({
                "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "Eip",
                "metadata": {"name": address},
                "spec": {
                    "address": address, "mode": "Vlan", "pool": "pool",
                    "tenant": {"name": "a", "uid": uid},
                    "services": [{
                        "key": format!("default/s{number}"), "uid": format!("uid-{number}"),
                        "ports": [{"protocol": "TCP", "port": 80}],
                    }],
                    "vlan": {
                        "announce": {"l2": ["all"]}, "delivery": "Routed",
                        "nextHops": [{"address": MACHINE, "vm": "vm1"}],
                    },
                },
            });
            api.create(&PostParams::default(), &serde_json::from_value(eip)?).await?;
            Ok(())
        })
        .await
    }

    /// Everything MetalLB's speakers are told: Services with addresses, each with an endpoint.
    async fn services(&self) -> Result<()> {
        let services: Api<Service> = Api::namespaced(self.cluster.client(), "default");
        let slices: Api<EndpointSlice> = Api::namespaced(self.cluster.client(), "default");
        each(self.addresses, async |number| {
            let name = format!("s{number}");
            let service = json!({
                "metadata": {"name": name},
                "spec": {
                    "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                    "ports": [{"port": 80}],
                },
            });
            services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
            let slice = json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{
                    "addresses": [MACHINE], "nodeName": "node2", "conditions": {"ready": true},
                }],
            });
            slices.create(&PostParams::default(), &serde_json::from_value(slice)?).await?;
            let ingress = json!([{"ip": address(number)}]);
            let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
            services.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
            Ok(())
        })
        .await
    }

    /// A node on the link.
    async fn node(&self, name: &str, last: u8) -> Result<Host> {
        let netns = Netns::new(self.space.namespace(name)).await?;
        netns.connect_management(space::management_address()).await?;
        self.plug(&netns, name).await?;
        let address = Ipv4Addr::new(10, 205, 0, last);
        netns.ip(&format!("address add {address}/16 dev eth0")).await?;
        Ok(Host::new(netns, address))
    }

    async fn plug(&self, netns: &Netns, port: &str) -> Result<()> {
        netns.connect("eth0", &self.lan, port).await?;
        self.lan.ip(&format!("link set {port} master br0")).await.map(drop)
    }

    async fn asker(&self, name: &str) -> Result<Asker> {
        let netns = Netns::new(self.space.namespace(name)).await?;
        self.plug(&netns, name).await?;
        let address = Ipv4Addr::new(10, 205, 0, 49);
        netns.ip(&format!("address add {address}/16 dev eth0")).await?;
        Asker::at(netns, "eth0", address)
    }

    async fn ours(&self) -> Result<Figures> {
        let (asker, node) = (self.asker("asker-a").await?, self.node("node1", 2).await?);
        eprintln!("bench: ccm-proxy begins");
        let at = ("node1", node.netns());
        let speaker = Speaker::start_at(&self.cluster, &self.space, at, "info", &[]).await?;
        let fresh = announced(&asker, self.addresses, Instant::now()).await?;
        eprintln!("bench: all are announced for the first time after {fresh:.1?}");
        // It says so in each, before it starts anew.
        self.all_told().await?;
        speaker.process().kill().await?;
        let begin = Instant::now();
        speaker.process().start_again()?;
        let started = announced(&asker, self.addresses, begin).await?;
        figures(&asker, self.addresses, speaker.process(), started).await
    }

    async fn all_told(&self) -> Result<()> {
        let api: Api<Eip> = Api::all(self.cluster.client());
        lab::wait::until("every Eip to be announced", PATIENCE, || async {
            let eips = api.list(&kube::api::ListParams::default()).await?;
            let told = |eip: &&Eip| {
                eip.status.as_ref().is_some_and(|status| !status.announcements.is_empty())
            };
            let told = eips.iter().filter(told).count();
            ensure!(told == usize::from(self.addresses), "{told}");
            Ok(())
        })
        .await
    }

    async fn theirs(&self, programs: &Path) -> Result<Figures> {
        let (asker, node) = (self.asker("asker-b").await?, self.node("node2", 3).await?);
        eprintln!("bench: MetalLB's speaker begins");
        add_pod(&self.cluster, "speaker-node2", "speaker", "10.205.0.3").await?;
        let environment = Environment { programs, cluster: &self.cluster, dir: self.space.dir() };
        std::fs::write(environment.dir.join("secretkey"), "a key that all speakers have")?;
        let speaker = environment.speaker("node2", &node)?;
        let fresh = announced(&asker, self.addresses, Instant::now()).await?;
        eprintln!("bench: all are announced for the first time after {fresh:.1?}");
        tokio::time::sleep(Duration::from_secs(10)).await;
        speaker.kill().await?;
        let begin = Instant::now();
        speaker.start_again()?;
        let started = announced(&asker, self.addresses, begin).await?;
        figures(&asker, self.addresses, &speaker, started).await
    }
}

/// Does something for each address, many at a time.
async fn each(addresses: u16, make: impl AsyncFn(u16) -> Result<()>) -> Result<()> {
    stream::iter(0..addresses)
        .map(|number| make(number))
        .buffer_unordered(32)
        .try_collect::<()>()
        .await
}

/// An address by its number.
fn address(number: u16) -> Ipv4Addr {
    let [third, fourth] = (number + 256).to_be_bytes();
    Ipv4Addr::new(10, 205, third, fourth)
}

/// Waits until each address was heard of; gives how long that took since the start.
async fn announced(asker: &Asker, addresses: u16, begin: Instant) -> Result<Duration> {
    while asker.try_heard().is_some() {}
    let mut silent: BTreeSet<Ipv4Addr> = (0..addresses).map(address).collect();
    let mut ticks = interval(Duration::from_millis(50));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turn = 0;
    loop {
        tokio::select! {
            biased;
            said = asker.heard() => {
                silent.remove(&said?.address);
                if silent.is_empty() {
                    return Ok(begin.elapsed());
                }
            }
            _ = ticks.tick() => {
                ensure!(begin.elapsed() < PATIENCE, "{} are not announced", silent.len());
                turn = if turn < silent.len() { turn } else { 0 };
                for address in silent.iter().skip(turn).take(IN_A_ROW) {
                    asker.ask(*address)?;
                }
                turn += IN_A_ROW;
            }
        }
    }
}

/// Lets a speaker rest, and asks it for a while.
async fn figures(
    asker: &Asker,
    addresses: u16,
    process: &Process,
    started: Duration,
) -> Result<Figures> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    let memory = memory(process)?;
    eprintln!("bench: all are announced {started:.1?} after its start; {}", Figure::Bytes(memory));
    let (answers, unanswered) = ask(asker, addresses).await?;
    Ok(Figures { started, memory, answers, unanswered })
}

/// Asks for addresses here and there, at a rate; gives how long each answer took, and how many
/// questions had none.
async fn ask(asker: &Asker, addresses: u16) -> Result<(Vec<Duration>, usize)> {
    while asker.try_heard().is_some() {}
    let per_tick = RATE / 1_000;
    let (mut number, mut asked): (u16, BTreeMap<Ipv4Addr, Instant>) = (0, BTreeMap::new());
    let (mut took, mut unanswered) = (Vec::new(), 0);
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begin = Instant::now();
    while begin.elapsed() < ASKED_FOR {
        tokio::select! {
            biased;
            said = asker.heard() => {
                let said = said?;
                if said.answer && let Some(at) = asked.remove(&said.address) {
                    took.push(at.elapsed());
                }
            }
            _ = ticks.tick() => {
                for _ in 0..per_tick {
                    // Every address once before one comes again, and no two neighbours in a row.
                    number = (number + 7_919) % addresses;
                    let address = address(number);
                    unanswered += usize::from(asked.insert(address, Instant::now()).is_some());
                    asker.ask(address)?;
                }
            }
        }
    }
    eprintln!("bench: {} answers, {unanswered} questions without one", took.len());
    Ok((took, unanswered))
}

/// The memory of a process, in bytes.
fn memory(process: &Process) -> Result<u64> {
    let pid = process.pid().context("it has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kibibytes.context("no VmRSS")? << 10)
}
