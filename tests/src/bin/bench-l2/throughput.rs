//! How much comes through a speaker in `routed` delivery, beside a plain router of the kernel in its
//! place: on the same node, to the same machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServicePort;
use kube::Api;
use kube::api::PostParams;
use lab::builders::service;
use lab::exec::{Exec, Place};
use lab::netns::Netns;
use lab::overlay::Node;
use lab::report::{Figure, Report, Target};
use lab::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bed::{Bed, SOON, Who, mac_of, published};

const PORT: u16 = 9_000;
/// How often each way is measured; odd. In turns: the processor's speed changes within seconds.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

/// Takes what comes, and counts it.
struct Sink {
    taken: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    fn start(listener: TcpListener) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    counter.fetch_add(length as u64, Ordering::Relaxed);
                }
            }
        });
        Self { taken, task }
    }
}

/// Measures both ways.
pub(crate) async fn measure(report: &mut Report, bed: &Bed) -> Result<()> {
    let tenant = bed.tenant(Who::Us)?;
    let pod = tenant.add_pod("sink", "vm1", &[("app", "sink")]).await?;
    let listener = pod.host().netns().listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))?;
    let sink = Sink::start(listener);
    let address = serve(bed).await?;
    let node = owner(bed, address).await?;
    let (lan, machine) = (tenant.lan()?, tenant.vm("vm1").await?.address());
    let client = Netns::new(bed.lab.space().namespace("sender")).await?;
    lan.plug(&client, "eth0", "sender").await?;
    client.ip(&format!("address add {}/{} dev eth0", lan.address(48), lan.length())).await?;
    let own = (lan.address(47), lan.length());
    let router = plain_router(bed, node, &lan.interface(), own, address, machine).await?;
    let ways = [speaker_mac(node, tenant.name()).await?, mac_of(&router, "plain").await?];
    let (mut routed, mut plain) = (Vec::new(), Vec::new());
    eprintln!("bench: {ROUNDS} rounds of {ROUND:?} by the speaker and by a plain router");
    for _ in 0..ROUNDS {
        for (mac, rates) in ways.iter().zip([&mut routed, &mut plain]) {
            let neighbour = format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent");
            client.ip(&neighbour).await?;
            rates.push(round(&client, address, &sink).await?);
        }
    }
    let (routed, plain) = (middle(routed), middle(plain));
    let (ours, peer) = (Figure::Rate(routed), Figure::Rate(plain));
    let what = "routed throughput in MiB, beside plain routing on the same path";
    report.add(what, ours, Some(peer), Target::AtLeast(peer.times(0.95)));
    Ok(())
}

/// A Service with its one pod on the first machine.
async fn serve(bed: &Bed) -> Result<Ipv4Addr> {
    let port = ServicePort {
        name: Some("sink".to_owned()),
        protocol: Some("TCP".to_owned()),
        port: PORT.into(),
        ..ServicePort::default()
    };
    let sink = service("sink").local().spec(|spec| spec.ports = Some(vec![port])).build();
    let api = bed.services(Who::Us)?;
    api.create(&PostParams::default(), &sink).await?;
    let served = wait::for_object(&api, "sink", "an address", SOON, |s| published(s).is_some());
    published(&served.await?).context("no address")
}

/// The node whose speaker announces an address.
async fn owner(bed: &Bed, address: Ipv4Addr) -> Result<&Node> {
    let eips: Api<cpo_api::Eip> = Api::all(bed.lab.under().client());
    let status = eips.get(&address.to_string()).await?.status.unwrap_or_default();
    let name = status.announced_by.context("announced by nobody")?;
    let mut nodes = bed.lab.lans()?.nodes().iter();
    nodes.find(|node| node.name() == name).context("no such node")
}

/// A router without any filter on a node's interface.
async fn plain_router(
    bed: &Bed,
    node: &Node,
    interface: &str,
    (own, length): (Ipv4Addr, u8),
    address: Ipv4Addr,
    machine: Ipv4Addr,
) -> Result<Netns> {
    let router = Netns::new(bed.lab.space().namespace("plain")).await?;
    let name = router.name();
    let add = format!("link add plain link {interface} netns {name} type macvlan mode bridge");
    node.netns().ip(&add).await?;
    router.sysctl("net.ipv4.ip_forward", "1")?;
    for of in ["all", "plain"] {
        router.sysctl(&format!("net.ipv4.conf.{of}.send_redirects"), "0")?;
    }
    let set_up = format!(
        "link set plain up
         address add {own}/{length} dev plain
         route add {address}/32 via {machine} dev plain"
    );
    router.ip(&set_up).await?;
    Ok(router)
}

/// The Ethernet address of a speaker on a tenant's VLAN.
async fn speaker_mac(node: &Node, tenant: &str) -> Result<String> {
    let pin = format!("{}-{tenant}", node.netns().name());
    let exec = Exec::new(Place::Namespace(pin), "ip").args(["link", "show", "dev", "vlan"]);
    let shown = exec.output().await?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).map(str::to_owned).context("no Ethernet address")
}

/// Sends as much as it can for a while; gives how many MiB a second came.
async fn round(client: &Netns, address: Ipv4Addr, sink: &Sink) -> Result<f64> {
    let mut stream = client.dial(SocketAddr::from((address, PORT)), SOON).await?;
    let block = vec![0; 1 << 16];
    // What fills the way at first does not count.
    stream.write_all(&block).await?;
    let (begin, before) = (Instant::now(), sink.taken.load(Ordering::Relaxed));
    while begin.elapsed() < ROUND {
        stream.write_all(&block).await?;
    }
    let (elapsed, after) = (begin.elapsed(), sink.taken.load(Ordering::Relaxed));
    ensure!(after > before, "nothing came");
    #[expect(clippy::cast_precision_loss, reason = "a rate for a reader")]
    let taken = (after - before) as f64;
    Ok(taken / elapsed.as_secs_f64() / 1_048_576.0)
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
