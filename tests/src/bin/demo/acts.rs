//! What the demo shows, act by act.

mod requests;
mod texts;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::cpo::{self, Cpo};
use lab::exec::{Exec, Place};
use lab::overlay::Tenant;
use lab::traffic::Stream;
use lab::{Lab, wait};

use crate::kubectl::Kubectl;
use crate::screen::Screen;

/// How long what should happen at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// How long kube-ovn-controller may take after its start to collect what it does not know.
const COLLECTED: Duration = Duration::from_secs(60);
/// How long traffic is watched after that.
const AFTER: Duration = Duration::from_secs(2);
/// Name of a load balancer that nobody shields.
const STRANGER: &str = "stranger";
/// Name of ours.
const OURS: &str = "cloud-provider-ovn";
/// Requests a second of each client while kube-ovn-controller restarts.
const RATE: u32 = 20;

/// What is up.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    /// Held: dropped, it would end.
    _cpo: Cpo,
}

struct Cast {
    stage: Stage,
    under: Kubectl,
    a: Kubectl,
    b: Kubectl,
}

impl Cast {
    fn tenant(&self, name: &str) -> Result<&Tenant> {
        self.stage.lab.tenant(name)
    }
}

/// Plays all acts; with `stay`, what was deleted is made again at the end.
pub(crate) async fn all(screen: &mut Screen, stay: bool) -> Result<Stage> {
    let lab = bring_up(screen).await?;
    let cast = install(screen, lab).await?;
    let eips = services(screen, &cast).await?;
    requests::from_outside(screen, &cast, eips).await?;
    restart(screen, &cast, eips).await?;
    refusal(screen, &cast).await?;
    deletion(screen, &cast, eips).await?;
    if stay {
        cast.a.run("apply -f -", texts::SERVICE_A).await?;
        cast.a.external_ip().await?;
    }
    Ok(cast.stage)
}

async fn bring_up(screen: &mut Screen) -> Result<Lab> {
    screen.act("An under cluster with Kube-OVN and OVN, and two tenants (about 20 s)")?;
    let lab = Lab::overlay().tenants(2).vms(2).start().await?;
    for tenant in lab.tenants() {
        let mut vms = Vec::new();
        for (index, vm) in tenant.vms().await.into_iter().enumerate() {
            let pod = format!("{}-web-{}", tenant.name(), index + 1);
            tenant.add_pod(&pod, vm.name(), &[("app", "web")]).await?;
            vms.push(format!("{} {} (pod {pod})", vm.name(), vm.address()));
        }
        let (name, vpc) = (tenant.name(), tenant.vpc());
        screen.say(&format!("tenant {name}: VPC {vpc}, {}", vms.join(", ")))?;
    }
    screen.say("Both use 10.0.0.0/24 inside. Nothing of ours runs in a tenant.")?;
    Ok(lab)
}

async fn install(screen: &mut Screen, lab: Lab) -> Result<Cast> {
    screen.act("The operator installs cloud-provider-ovn and registers both tenants")?;
    let under = Kubectl::new("under cluster", lab.under());
    let a = Kubectl::new("tenant a", lab.tenant("a")?.cluster());
    let b = Kubectl::new("tenant b", lab.tenant("b")?.cluster());
    under.show(screen, "apply -f manifests/crds -f manifests/rbac.yaml").await?;
    under.run("wait --for=condition=Established crd --all --timeout=20s", "").await?;
    under.apply(screen, texts::POOL).await?;
    a.show(screen, "apply -f manifests/tenant-rbac.yaml").await?;
    cpo::grant(&lab, lab.tenant("a")?).await?;
    screen
        .command(under.place(), "kubectl -n tenant-a apply -f manifests/tenant-namespace.yaml")?;
    screen.say(
        "and the Secret a-kubeconfig there: a client certificate of user cloud-provider-ovn",
    )?;
    under.apply(screen, texts::TENANT).await?;
    screen.say("\n   The same for tenant b. Then cpo starts, with these rights and no others.")?;
    cpo::register(&lab, lab.tenant("b")?).await?;
    let cpo = Cpo::start(&lab, cpo::Options::default()).await?;
    wait::until("both tenants to be ready", SOON, || async {
        let words =
            "get tcl -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let ready = under.run(words, "").await?;
        ensure!(ready == "True True", "READY: {ready}");
        Ok(())
    })
    .await?;
    under.show(screen, "get tcl,apool").await?;
    screen.check("cpo is ready and connected to both tenants", true)?;
    Ok(Cast { stage: Stage { lab, _cpo: cpo }, under, a, b })
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
    cast.under.show(screen, "get eips").await?;
    screen.command(cast.under.place(), "cpo lb list")?;
    let rows = cpo_command(&cast.stage.lab)?.args(["lb", "list"]).output().await?;
    screen.text(&rows)?;
    let [a, b] = <[Ipv4Addr; 2]>::try_from(eips).map_err(|_| anyhow::anyhow!("two addresses"))?;
    screen.check("each Service has an EXTERNAL-IP of its own", a != b)?;
    Ok([a, b])
}

/// `cpo` with the Northbound database of the lab in its environment.
fn cpo_command(lab: &Lab) -> Result<Exec> {
    let endpoint = lab.ovn().northbound().tcp();
    Ok(Exec::new(Place::Sandbox, cpo::binary()?).env("CPO_OVN_NB", endpoint))
}

async fn restart(screen: &mut Screen, cast: &Cast, eips: [Ipv4Addr; 2]) -> Result<()> {
    screen.act("kube-ovn-controller is killed and started again under traffic (about 12 s)")?;
    screen.say("At each start it deletes load balancers it does not know. Ours are shielded;")?;
    screen.say(&format!("one named {STRANGER}, made by hand, is not."))?;
    let lab = &cast.stage.lab;
    lab.nb(["lb-add", STRANGER, "192.0.2.1:80", "10.0.0.2:80"]).await?;
    let streams = [
        ("near", eips[0], Stream::start(lab.near(), &format!("http://{}/", eips[0]), RATE, 120)),
        ("far", eips[1], Stream::start(lab.far(), &format!("http://{}/", eips[1]), RATE, 120)),
    ];
    lab.kube_ovn().restart().await?;
    screen.say("killed and started; waiting until it has collected …")?;
    lab.kube_ovn().wait_ready(lab.under()).await?;
    let list = || lab.nb(["--bare", "--columns=name", "list", "Load_Balancer"]);
    wait::until("the load balancer made by hand to be deleted", COLLECTED, || async {
        ensure!(!list().await?.contains(STRANGER), "it is still there");
        Ok(())
    })
    .await?;
    tokio::time::sleep(AFTER).await;
    screen
        .check(&format!("{STRANGER} was deleted, ours were not"), list().await?.contains(OURS))?;
    for (from, eip, stream) in streams {
        let report = stream.stop().await?;
        let (asked, failed) = (report.asked, report.failures.len());
        let seconds = report.duration.as_secs();
        let what = format!("{from} -> {eip}: {asked} requests in {seconds} s, {failed} failed");
        screen.check(&what, asked > 0 && failed == 0)?;
    }
    let after = [cast.a.external_ip().await?, cast.b.external_ip().await?];
    screen.check("both Services kept their address", after == eips)
}

async fn refusal(screen: &mut Screen, cast: &Cast) -> Result<()> {
    screen.act("What is not supported is refused, and says so in the tenant")?;
    cast.a.apply(screen, texts::SERVICE_REFUSED).await?;
    wait::until("the Event of the refusal", SOON, || async {
        let words = "get events --field-selector involvedObject.name=guarded,type=Warning -o name";
        let events = cast.a.run(words, "").await?;
        ensure!(events.contains("event/"), "no Event yet");
        Ok(())
    })
    .await?;
    let services = cast.a.show(screen, "get svc guarded").await?;
    let words = "get events --field-selector involvedObject.name=guarded \
                 -o custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message";
    let events = cast.a.show(screen, words).await?;
    screen.check("it got no address", services.contains("<pending>"))?;
    screen.check("an Event names the reason", events.contains("SourceRangesUnsupported"))?;
    cast.a.run("delete svc guarded", "").await?;
    Ok(())
}

async fn deletion(screen: &mut Screen, cast: &Cast, eips: [Ipv4Addr; 2]) -> Result<()> {
    screen.act("A Service is deleted")?;
    let lab = &cast.stage.lab;
    cast.a.show(screen, "delete svc web").await?;
    let silent = lab::traffic::get(lab.near(), &format!("http://{}/", eips[0])).await.is_err();
    screen.check(&format!("{} answers no more", eips[0]), silent)?;
    let eips_now = cast.under.show(screen, "get eips").await?;
    screen.check(
        "the address rests before anybody else may get it",
        eips_now.contains("Quarantined"),
    )?;
    screen.say("waiting for the pool's quarantineSeconds to pass …")?;
    let name = eips[0].to_string();
    wait::until("the Eip and its OvnEip to be gone", SOON, || async {
        let left = cast.under.run("get eips,ovn-eips -o name", "").await?;
        let addresses =
            cast.under.run("get ovn-eips -o jsonpath={.items[*].status.v4Ip}", "").await?;
        ensure!(!left.contains(&name) && !addresses.split(' ').any(|v4| v4 == name), "{left}");
        Ok(())
    })
    .await?;
    cast.under.show(screen, "get eips").await?;
    let vips = lab.nb(["--bare", "--columns=vips", "find", "Load_Balancer"]).await?;
    screen.check("its Eip, OvnEip and OVN entries are gone", !vips.contains(&name))?;
    let b = lab::traffic::get(lab.far(), &format!("http://{}/", eips[1])).await;
    screen.check(&format!("{} of tenant b answers as before", eips[1]), b.is_ok())
}
