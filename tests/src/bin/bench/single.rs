//! One Service at a time, and a hundred at once, on an idle lab.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::report::{Report, percentile};
use lab::{Lab, cpo, kube_ovn};
use serde_json::json;

use crate::steps;

const SAMPLES: usize = 100;
const CROWD: usize = 100;

/// Measures them.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let lab = Lab::overlay().tenants(1).vms(2).many_addresses().start().await?;
    install(&lab).await?;
    let cpo = start(&lab).await?;
    let tenant = lab.tenant("a")?;
    eprintln!("bench: {SAMPLES} Services, one after the other");
    let mut ours = Vec::new();
    let mut peer = Vec::new();
    for number in 0..SAMPLES {
        ours.push(one(tenant, &format!("single-{number}")).await?);
        peer.push(by_hand(&lab, tenant, number).await?);
    }
    let ms = Duration::from_millis;
    let (p50, p99) = (percentile(&mut ours, 0.5), percentile(&mut ours, 0.99));
    let (peer50, peer99) = (percentile(&mut peer, 0.5), percentile(&mut peer, 0.99));
    report.time("Service created to EXTERNAL-IP, p50", p50, Some(peer50), ms(100));
    report.time("Service created to EXTERNAL-IP, p99", p99, Some(peer99), ms(300));
    let log = lab.space().dir().join(format!("{}.log", cpo.process().name()));
    let mut shares = steps::own_shares(&log, "/single-")?;
    ensure!(shares.len() >= SAMPLES / 2, "the log tells of {} Services only", shares.len());
    report.time("of it cpo's own share, p50", percentile(&mut shares, 0.5), None, ms(5));
    crowd(report, &lab, tenant).await
}

/// Installs the product, with a pool and every tenant of the lab.
pub(crate) async fn install(lab: &Lab) -> Result<()> {
    cpo::install(lab).await?;
    lab.under()
        .apply(&json!({
            "apiVersion": "cloud-provider-ovn.io/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": "public"}, "spec": {"ovnSubnet": "external"},
        }))
        .await?;
    for tenant in lab.tenants() {
        cpo::register(lab, tenant).await?;
    }
    Ok(())
}

/// Starts the product with its log of steps.
pub(crate) async fn start(lab: &Lab) -> Result<cpo::Cpo> {
    let options = cpo::Options {
        args: vec!["--log-json".to_owned()],
        env: vec![("RUST_LOG".to_owned(), "info,cpo::steps=debug".to_owned())],
        ..cpo::Options::default()
    };
    cpo::Cpo::start(lab, options).await
}

/// Services of a tenant.
pub(crate) fn services(tenant: &Tenant) -> Api<Service> {
    Api::namespaced(tenant.cluster().client(), "default")
}

/// Whether a Service has its address.
pub(crate) fn has_address(service: &Service) -> bool {
    let status = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    status.and_then(|lb| lb.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

async fn one(tenant: &Tenant, name: &str) -> Result<Duration> {
    create(tenant, &service(name).port(80).build()).await
}

/// Creates a Service: from the call to the watch event that carries the address.
pub(crate) async fn create(tenant: &Tenant, service: &Service) -> Result<Duration> {
    let (api, name) = (services(tenant), service.name_any());
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let version = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let mut events = pin!(api.watch(&params, version.as_deref().unwrap_or("0")).await?);
    let begin = Instant::now();
    api.create(&PostParams::default(), service).await?;
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Modified(service) = event
            && has_address(&service)
        {
            return Ok(begin.elapsed());
        }
    }
    anyhow::bail!("the watch ended without an address for {name}")
}

/// The same by hand, one call after the other, without a controller: create the Service, create
/// an OvnEip and wait for it, write the load balancer, patch the status.
async fn by_hand(lab: &Lab, tenant: &Tenant, number: usize) -> Result<Duration> {
    let api = services(tenant);
    let name = format!("hand-{number}");
    let begin = Instant::now();
    let spec = service(&name).port(80).class("by-hand/none").build();
    api.create(&PostParams::default(), &spec).await?;
    let address = kube_ovn::create_ovn_eip(lab.under(), &name).await?;
    let vip = format!("{address}:80");
    lab.nb(["lb-add", &name, &vip, "10.0.0.2:30080", "--", "lr-lb-add", "vpc-a", &name]).await?;
    let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    let patch = kube::api::Patch::Merge(patch);
    api.patch_status(&name, &kube::api::PatchParams::default(), &patch).await?;
    let elapsed = begin.elapsed();
    lab.nb(["--if-exists", "lb-del", &name]).await?;
    Ok(elapsed)
}

/// A hundred created at once.
async fn crowd(report: &mut Report, lab: &Lab, tenant: &Tenant) -> Result<()> {
    eprintln!("bench: {CROWD} Services at once");
    let granted = last_grant(lab).await?;
    let begin = Instant::now();
    create_all(tenant, "crowd", CROWD).await?;
    let created = begin.elapsed();
    let last = all_have_addresses(tenant, "crowd", CROWD).await?;
    let granted = granted.await?.context("no grant was seen")?;
    let total = last.duration_since(begin).saturating_sub(created);
    let ours = last.saturating_duration_since(granted);
    report.time(
        format!("{CROWD} Services at once: last create to last address"),
        total,
        Some(granted.duration_since(begin).saturating_sub(created)),
        Duration::from_secs(4),
    );
    report.time("of it after Kube-OVN's last grant", ours, None, Duration::from_millis(500));
    Ok(())
}

/// Creates that many Services, many calls at a time.
pub(crate) async fn create_all(tenant: &Tenant, prefix: &str, count: usize) -> Result<()> {
    let api = services(tenant);
    let create = |number| {
        let api = api.clone();
        let service = service(&format!("{prefix}-{number}")).port(80).build();
        async move { api.create(&PostParams::default(), &service).await.map(|_| ()) }
    };
    stream::iter(0..count).map(create).buffer_unordered(32).try_collect::<()>().await?;
    Ok(())
}

/// When the last of them got its address.
async fn all_have_addresses(tenant: &Tenant, prefix: &str, count: usize) -> Result<Instant> {
    let api = services(tenant);
    let list = api.list(&ListParams::default()).await?;
    let of_us = |s: &Service| s.name_any().starts_with(prefix) && has_address(s);
    let mut done: BTreeMap<String, ()> =
        list.items.iter().filter(|s| of_us(s)).map(|s| (s.name_any(), ())).collect();
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut events = pin!(api.watch(&WatchParams::default(), &version).await?);
    while done.len() < count {
        let event = events.try_next().await?.context("the watch ended")?;
        if let WatchEvent::Modified(service) = event
            && of_us(&service)
        {
            done.insert(service.name_any(), ());
        }
    }
    Ok(Instant::now())
}

/// Follows the OvnEips of the crowd; gives the moment of the last grant.
async fn last_grant(lab: &Lab) -> Result<tokio::task::JoinHandle<Option<Instant>>> {
    let api: Api<DynamicObject> = lab.under().api("kubeovn.io/v1", "OvnEip", "").await?;
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    Ok(tokio::spawn(async move {
        let mut events = pin!(api.watch(&WatchParams::default(), &version).await.ok()?);
        let mut granted = BTreeMap::new();
        while granted.len() < CROWD {
            let Some(Ok(event)) = events.next().await else { break };
            if let WatchEvent::Modified(eip) = event
                && eip.data.pointer("/status/ready") == Some(&json!(true))
            {
                granted.entry(eip.name_any()).or_insert_with(Instant::now);
            }
        }
        granted.into_values().max()
    }))
}
