//! The demo of VLAN mode, act by act.

mod texts;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::cpo::{self, Cpo};
use lab::overlay::Tenant;
use lab::speaker::Speaker;
use lab::traffic::{self, Stream};
use lab::{Lab, wait};

use crate::kubectl::Kubectl;
use crate::screen::Screen;

/// How long what should happen at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Requests of the client to each address.
const REQUESTS: usize = 20;
/// Requests a second while a speaker ends.
const RATE: u32 = 200;
/// The longest time without an answer that a take-over may cause.
const GAP: Duration = Duration::from_secs(1);

struct Cast {
    lab: Lab,
    speakers: Vec<Speaker>,
    under: Kubectl,
    a: Kubectl,
    b: Kubectl,
    /// Held: dropped, it would end.
    _cpo: Cpo,
}

/// Plays all acts.
pub(crate) async fn all(screen: &mut Screen) -> Result<()> {
    let lab = bring_up(screen).await?;
    let cast = install(screen, lab).await?;
    let eips = services(screen, &cast).await?;
    from_outside(screen, &cast, eips).await?;
    killed(screen, &cast, eips[0]).await?;
    unplugged(screen, &cast, eips[0]).await?;
    deletion(screen, &cast, eips).await
}

async fn bring_up(screen: &mut Screen) -> Result<Lab> {
    screen
        .act("An under cluster with three nodes, and two tenants, each on a VLAN (about 20 s)")?;
    let lab = Lab::vlan().tenants(2).vms(2).start().await?;
    for tenant in lab.tenants() {
        let mut vms = Vec::new();
        for (index, vm) in tenant.vms().await.into_iter().enumerate() {
            let pod = format!("{}-web-{}", tenant.name(), index + 1);
            tenant.add_pod(&pod, vm.name(), &[("app", "web")]).await?;
            vms.push(format!("{} {} (pod {pod})", vm.name(), vm.address()));
        }
        let (name, lan) = (tenant.name(), tenant.lan()?);
        let vms = vms.join(", ");
        screen.say(&format!("tenant {name}: VLAN {}, {}, {vms}", lan.number(), lan.cidr()))?;
    }
    screen.say("node1, node2 and node3 are on both. The client is behind the VLANs' router.")?;
    Ok(lab)
}

async fn install(screen: &mut Screen, lab: Lab) -> Result<Cast> {
    screen.act("The operator installs cloud-provider-ovn and registers both tenants")?;
    let under = Kubectl::new("under cluster", lab.under());
    let a = Kubectl::new("tenant a", lab.tenant("a")?.cluster());
    let b = Kubectl::new("tenant b", lab.tenant("b")?.cluster());
    let files = "-f manifests/crds -f manifests/rbac.yaml -f manifests/ccm-proxy-rbac.yaml";
    under.show(screen, &format!("apply {files}")).await?;
    under.run("wait --for=condition=Established crd --all --timeout=20s", "").await?;
    under.apply(screen, texts::POOL).await?;
    under.apply(screen, texts::ADVERTISEMENT).await?;
    cpo::grant(&lab, lab.tenant("a")?).await?;
    under.apply(screen, texts::TENANT).await?;
    screen.say("\n   The same for tenant b, whose VLAN is 206. Then cpo starts, and a speaker")?;
    screen.say("(ccm-proxy) on each node.")?;
    under.run("apply -f -", &texts::POOL.replace("pool-a", "pool-b").replace("205", "206")).await?;
    cpo::register(&lab, lab.tenant("b")?).await?;
    let mut speakers = Vec::new();
    for node in lab.lans()?.nodes() {
        speakers.push(Speaker::start(&lab, node).await?);
    }
    let cpo = Cpo::start(&lab, cpo::Options::default()).await?;
    wait::until("both tenants to be ready", SOON, || async {
        let words =
            "get tcl -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let ready = under.run(words, "").await?;
        ensure!(ready == "True True", "READY: {ready}");
        Ok(())
    })
    .await?;
    let leases = "-n ccm-proxy get leases -l cloud-provider-ovn.io/speaker -o name";
    wait::until("three speakers", SOON, || async {
        let found = under.run(leases, "").await?;
        ensure!(found.lines().count() == 3, "{found}");
        Ok(())
    })
    .await?;
    under.show(screen, "get tcl,apool,l2adv").await?;
    screen.check("cpo is connected to both tenants, and three speakers are there", true)?;
    Ok(Cast { lab, speakers, under, a, b, _cpo: cpo })
}

async fn services(screen: &mut Screen, cast: &Cast) -> Result<[Ipv4Addr; 2]> {
    screen.act("A user in each tenant writes an ordinary Service")?;
    let mut eips = Vec::new();
    for (kubectl, yaml) in [(&cast.a, texts::SERVICE_A), (&cast.b, texts::SERVICE_B)] {
        kubectl.apply(screen, yaml).await?;
        eips.push(kubectl.external_ip().await?);
    }
    for kubectl in [&cast.a, &cast.b] {
        kubectl.show(screen, "get svc web").await?;
    }
    let shown = cast.under.show(screen, "get eips").await?;
    let [a, b] = <[Ipv4Addr; 2]>::try_from(eips).map_err(|_| anyhow::anyhow!("two addresses"))?;
    screen.check("each Service has an EXTERNAL-IP of its own, on its VLAN", a != b)?;
    screen.check("each is announced by a node", shown.matches(" node").count() == 2)?;
    Ok([a, b])
}

async fn from_outside(screen: &mut Screen, cast: &Cast, eips: [Ipv4Addr; 2]) -> Result<()> {
    let client = cast.lab.lans()?.client();
    screen.act(&format!("The client, {}, sends requests", client.address()))?;
    for (tenant, eip) in ["a", "b"].into_iter().zip(eips) {
        let url = format!("http://{eip}/");
        let answer = wait::until("an answer", SOON, || traffic::get(client, &url)).await?;
        screen.say(&format!("{eip}: {} on {} answered", answer.pod, answer.node))?;
        let mut answered = 0;
        for _ in 0..REQUESTS {
            let answer = traffic::get(client, &url).await?;
            answered += usize::from(answer.pod.starts_with(&format!("{tenant}-")));
        }
        let what = format!("{answered} of {REQUESTS} requests were answered by tenant {tenant}");
        screen.check(&what, answered == REQUESTS)?;
    }
    let seen = traffic::get(client, &format!("http://{}/", eips[1])).await?.client_address;
    screen.say(&format!("with externalTrafficPolicy Local the pod saw {}", seen.ip()))?;
    screen.check("the pod saw the client's own address", seen.ip() == client.address())?;
    let asked = traffic::get(client, &format!("http://{}:10256/", eips[0])).await;
    screen.check("a port that is none of the Service's is not let through", asked.is_err())
}

/// The one speaker that announces an address.
async fn owner(cast: &Cast, eip: Ipv4Addr) -> Result<&Speaker> {
    let words = format!("get eip {eip} -o jsonpath={{.status.announcedBy}}");
    wait::until("one speaker to announce it", SOON, || async {
        let node = cast.under.run(&words, "").await?;
        let mut speakers = cast.speakers.iter();
        speakers.find(|speaker| speaker.node() == node.trim()).with_context(|| node)
    })
    .await
}

/// Waits until another node than this one announces an address.
async fn taken_over(cast: &Cast, eip: Ipv4Addr, from: &str) -> Result<()> {
    let words = format!("get eip {eip} -o jsonpath={{.status.announcements[*].node}}");
    wait::until("another speaker to announce it", SOON, || async {
        let nodes = cast.under.run(&words, "").await?;
        ensure!(nodes.split_whitespace().any(|node| node != from), "{nodes}");
        Ok(())
    })
    .await
}

async fn killed(screen: &mut Screen, cast: &Cast, eip: Ipv4Addr) -> Result<()> {
    screen.act("The speaker that announces it is killed (kill -9)")?;
    screen.say("The kernel goes on leading packets, and another speaker takes over.")?;
    let (owner, client) = (owner(cast, eip).await?, cast.lab.lans()?.client());
    let stream = Stream::start(client, &format!("http://{eip}/"), RATE, 60);
    owner.process().kill().await?;
    taken_over(cast, eip, owner.node()).await?;
    let report = stream.stop().await?;
    let (asked, failed, gap) = (report.asked, report.failures.len(), report.longest_gap);
    screen.say(&format!("{}: the longest time without an answer was {gap:?}", owner.node()))?;
    screen.check(&format!("{asked} requests, {failed} failed"), failed == 0)?;
    cast.under.show(screen, "get eips").await?;
    screen.say(&format!("{} has not said that it ended; it is started again.", owner.node()))?;
    owner.process().start_again()
}

async fn unplugged(screen: &mut Screen, cast: &Cast, eip: Ipv4Addr) -> Result<()> {
    screen.act("The node that announces it loses its cable")?;
    let (owner, client) = (owner(cast, eip).await?, cast.lab.lans()?.client());
    let bridge = cast.lab.tenant("a").and_then(Tenant::lan)?.bridge();
    let stream = Stream::start(client, &format!("http://{eip}/"), RATE, 60);
    bridge.ip(&format!("link set {} nomaster", owner.node())).await?;
    taken_over(cast, eip, owner.node()).await?;
    let url = format!("http://{eip}/");
    wait::until("an answer", SOON, || traffic::get(client, &url)).await?;
    let report = stream.stop().await?;
    let gap = report.longest_gap;
    screen.say(&format!("{}: the longest time without an answer was {gap:?}", owner.node()))?;
    screen.check("another node took over within a second", gap < GAP)?;
    bridge.ip(&format!("link set {} master br0", owner.node())).await.map(|_| ())
}

async fn deletion(screen: &mut Screen, cast: &Cast, eips: [Ipv4Addr; 2]) -> Result<()> {
    screen.act("A Service is deleted")?;
    cast.a.show(screen, "delete svc web").await?;
    let client = cast.lab.lans()?.client();
    let silent = traffic::get(client, &format!("http://{}/", eips[0])).await.is_err();
    screen.check(&format!("{} answers no more", eips[0]), silent)?;
    let shown = cast.under.show(screen, "get eips").await?;
    screen.check("no speaker announces it, and it rests", shown.contains("Quarantined"))?;
    let name = eips[0].to_string();
    wait::until("the Eip to be gone", SOON, || async {
        let left = cast.under.run("get eips -o name", "").await?;
        ensure!(!left.contains(&name), "{left}");
        Ok(())
    })
    .await?;
    screen.check("its Eip is gone when the pool's quarantineSeconds are over", true)?;
    let b = traffic::get(client, &format!("http://{}/", eips[1])).await;
    screen.check(&format!("{} of tenant b answers as before", eips[1]), b.is_ok())
}
