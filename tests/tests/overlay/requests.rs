//! A tenant asks for an address: it gets it, or one answer that tells nothing about others.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::{Lab, traffic, wait};
use serde_json::{Value, json};

use crate::bed::{self, Bed, SOON};
use crate::seen;

const OURS: &str = "cloud-provider-ovn.io/load-balancer-ips";
const METALLB: &str = "metallb.io/loadBalancerIPs";

/// Where a Service may name an address.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Field,
    Annotation(&'static str),
}

const WISHES: [Wish; 3] = [Wish::Field, Wish::Annotation(OURS), Wish::Annotation(METALLB)];

pub(crate) async fn overlay_requested_address_is_checked() -> Result<()> {
    let bed = Bed::start(2).await?;
    let lab = &bed.lab;
    let (a, b) = (lab.tenant("a")?, lab.tenant("b")?);
    a.add_pod("web-1", "vm1", &[("app", "web")]).await?;
    let taken = bed::create(b, &service("holder").port(80).build()).await?;
    let released = released_by(lab, b).await?;
    let refused = [
        ("the gateway", "198.51.100.254".parse()?),
        ("an excluded address", "198.51.100.205".parse()?),
        ("a router port of its own", router_port(lab, a).await?),
        ("a router port of another tenant", router_port(lab, b).await?),
        ("another tenant's", taken),
        ("another tenant's in quarantine", released),
        ("the network's", "198.51.100.0".parse()?),
        ("outside of every pool", "203.0.113.77".parse()?),
    ];
    let before = made(lab).await?;
    let mut answers = BTreeSet::new();
    for (index, (what, address)) in refused.iter().enumerate() {
        for (number, wish) in WISHES.iter().enumerate() {
            let name = format!("wish-{index}-{number}");
            let told = refusal(a, &name, *wish, *address).await;
            let told = told.with_context(|| format!("{what}: {address} by {wish:?}"))?;
            answers.insert(told);
        }
    }
    ensure!(answers.len() == 1, "the answers differ: {answers:#?}");
    ensure!(made(lab).await? == before, "{:?} made for refused wishes", made(lab).await?);
    ensure!(seen::rows_of(lab, "b/default/holder").await?.len() == 1, "the holder lost its row");

    free_ones_are_granted(lab, a).await?;
    a_corrected_wish_is_granted(lab, a).await?;
    who_moves_can_go_back(lab, a).await?;
    ensure!(bed::address(b, "holder").await? == taken, "the holder lost {taken}");
    Ok(())
}

/// Creates a Service that asks for an address, and returns what the tenant is told, without the
/// address itself: reason and message of both conditions and of the Event.
async fn refusal(
    tenant: &Tenant,
    name: &str,
    wish: Wish,
    address: Ipv4Addr,
) -> Result<Vec<(String, String)>> {
    let api = bed::services(tenant);
    api.create(&PostParams::default(), &asking(name, wish, address)).await?;
    let told = |service: &Service| {
        let condition = |kind| seen::condition(service, kind);
        let refused = |kind| condition(kind).is_some_and(|(_, reason, _)| reason != "Pending");
        refused("AddressAssigned") && refused("Programmed")
    };
    let service = wait::for_object(&api, name, "to be refused", SOON, told).await?;
    ensure!(bed::published(&service).is_none(), "{:?}", service.status);
    let conditions = ["AddressAssigned", "Programmed"];
    let conditions = conditions.iter().filter_map(|kind| seen::condition(&service, kind));
    let refused = conditions.filter(|(holds, ..)| !holds);
    let mut told: Vec<_> = refused.map(|(_, reason, message)| (reason, message)).collect();
    ensure!(told.len() == 2, "{:?}", service.status);
    seen::events_come(tenant, name, &["AddressNotInPool"]).await?;
    let events = seen::events_of(tenant, name).await?;
    told.extend(events.into_iter().filter(|(reason, _)| reason != "EnsuringLoadBalancer"));
    let address = address.to_string();
    ensure!(told.iter().all(|(_, message)| message.contains(&address)), "{told:?}");
    Ok(told.into_iter().map(|(r, message)| (r, message.replace(&address, "<address>"))).collect())
}

async fn free_ones_are_granted(lab: &Lab, tenant: &Tenant) -> Result<()> {
    for (number, wish) in WISHES.iter().enumerate() {
        let number = u8::try_from(number)?;
        let address = Ipv4Addr::new(198, 51, 100, 150 + number);
        let free = asking(&format!("free-{number}"), *wish, address);
        let given = bed::create(tenant, &free).await?;
        ensure!(given == address, "{given} given for {address} by {wish:?}");
        let url = format!("http://{given}/");
        wait::until(&url, SOON, || traffic::get(lab.far(), &url)).await?;
    }
    Ok(())
}

async fn a_corrected_wish_is_granted(lab: &Lab, tenant: &Tenant) -> Result<()> {
    let annotation = |value: Value| json!({"metadata": {"annotations": {OURS: value}}});
    for (name, patch, expected) in [
        ("wish-0-0", json!({"spec": {"loadBalancerIP": "198.51.100.160"}}), Some("198.51.100.160")),
        ("wish-0-1", annotation("198.51.100.161".into()), Some("198.51.100.161")),
        ("wish-4-1", annotation(Value::Null), None),
    ] {
        let api = bed::services(tenant);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let given = bed::address(tenant, name).await?;
        let as_asked = expected.is_none_or(|expected| given.to_string() == expected);
        ensure!(as_asked, "{name} got {given}, not {expected:?}");
        let url = format!("http://{given}/");
        wait::until(&url, SOON, || traffic::get(lab.far(), &url)).await?;
        let holds = |service: &Service| {
            let holds = |kind| seen::condition(service, kind).is_some_and(|(holds, ..)| holds);
            holds("AddressAssigned") && holds("Programmed")
        };
        wait::for_object(&api, name, "both conditions to hold", SOON, holds).await?;
    }
    Ok(())
}

/// What a Service moves off rests with its `OvnEip`, and is its own again for the asking.
async fn who_moves_can_go_back(lab: &Lab, tenant: &Tenant) -> Result<()> {
    const NAME: &str = "mover";
    let [first, second] = [Ipv4Addr::new(198, 51, 100, 170), Ipv4Addr::new(198, 51, 100, 171)];
    bed::create(tenant, &asking(NAME, Wish::Field, first)).await?;
    let api = bed::services(tenant);
    for (to, from) in [(second, first), (first, second)] {
        let wish = json!({"spec": {"loadBalancerIP": to.to_string()}});
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(&wish)).await?;
        let moved = |service: &Service| bed::published(service) == Some(to);
        wait::for_object(&api, NAME, &format!("to move to {to}"), SOON, moved).await?;
        let url = format!("http://{to}/");
        wait::until(&url, SOON, || traffic::get(lab.far(), &url)).await?;
        let rests = seen::eips(lab).await?.get(&from.to_string()).await?;
        let text = |object: &DynamicObject, place: &str| {
            object.data.pointer(place).and_then(Value::as_str).map(str::to_owned)
        };
        ensure!(text(&rests, "/status/releasedAt").is_some(), "{from} does not rest");
        let holder = text(&rests, "/spec/overlay/ovnEip").context("no OvnEip")?;
        let granted = text(&seen::ovn_eips(lab).await?.get(&holder).await?, "/status/v4Ip");
        ensure!(granted == Some(from.to_string()), "{from} is not held: {granted:?}");
    }
    Ok(())
}

fn asking(name: &str, wish: Wish, address: Ipv4Addr) -> Service {
    let asking = service(name).selector("app", "web").port(80);
    match wish {
        Wish::Field => asking.spec(|s| s.load_balancer_ip = Some(address.to_string())).build(),
        Wish::Annotation(key) => asking.annotation(key, &address.to_string()).build(),
    }
}

/// An address that a tenant's Service gave back a moment ago, and that rests for long.
async fn released_by(lab: &Lab, tenant: &Tenant) -> Result<Ipv4Addr> {
    lab.under().apply(&bed::pool(600)).await?;
    let address = bed::create(tenant, &service("gone").port(80).build()).await?;
    let api = bed::services(tenant);
    api.delete("gone", &Default::default()).await?;
    wait::for_absence(&api, "gone", SOON).await?;
    Ok(address)
}

/// The address of the gateway port of a tenant's router.
async fn router_port(lab: &Lab, tenant: &Tenant) -> Result<Ipv4Addr> {
    let port = format!("{}-external", tenant.vpc());
    let networks = lab.nb(["get", "Logical_Router_Port", &port, "networks"]).await?;
    let network = networks.split('"').nth(1).context("no network")?;
    Ok(network.split('/').next().context("no address")?.parse()?)
}

/// Names of the objects that were made on the under cluster for addresses.
async fn made(lab: &Lab) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for api in [seen::eips(lab).await?, seen::ovn_eips(lab).await?] {
        let list = api.list(&ListParams::default()).await?;
        names.extend(list.items.into_iter().filter_map(|object| object.metadata.name));
    }
    Ok(names)
}
