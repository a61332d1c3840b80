//! Ten thousand rows present: healing, and a change on its way to the packets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::api::{ListParams, Patch, PatchParams};
use lab::builders::service;
use lab::overlay::Tenant;
use lab::report::Report;
use lab::{Lab, traffic, wait};
use ovn_client::nb::TypedRow as _;
use ovn_client::{Client, ClientConfig, Event, Subscription, Uuid, nb};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{fill, single};

/// Services; each has a row for TCP, UDP and SCTP.
const SERVICES: usize = 3_334;
const ROWS: usize = 3 * SERVICES;
const SOON: Duration = Duration::from_secs(60);
/// How long the product may take to write them all.
const FILLED: Duration = Duration::from_secs(600);
const SAY_EVERY: Duration = Duration::from_secs(15);

/// Measures them.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let lab = Lab::overlay().tenants(1).vms(2).many_addresses().start().await?;
    single::install(&lab).await?;
    let tenant = lab.tenant("a")?;
    tenant.add_pod("web", "vm1", &[("app", "probe")]).await?;
    let observer = Observer::start(&lab).await?;
    eprintln!("bench: {SERVICES} Services with {ROWS} rows");
    let begin = Instant::now();
    fill::fill(&lab, tenant, SERVICES, three_protocols).await?;
    eprintln!("bench: Services are there after {:.0?}", begin.elapsed());
    let started = Instant::now();
    let _cpo = single::start(&lab).await?;
    observer.has_rows(ROWS).await?;
    eprintln!("bench: their rows {:.0?} after the start of cpo", started.elapsed());
    change_to_traffic(report, &lab, tenant, &observer).await?;
    for (count, target) in [(20, Duration::from_millis(50)), (2_000, Duration::from_secs(1))] {
        let healed = heal(&lab, &observer, count).await?;
        report.time(
            format!("{count} rows deleted by a foreign hand, back, of {ROWS}"),
            healed,
            None,
            target,
        );
    }
    Ok(())
}

fn three_protocols(name: &str) -> Service {
    let sctp = ServicePort {
        name: Some("sctp".to_owned()),
        protocol: Some("SCTP".to_owned()),
        port: 80,
        ..ServicePort::default()
    };
    let built = service(name).port(80).udp(80);
    built.spec(|spec| spec.ports.get_or_insert_default().push(sctp)).build()
}

/// From the change of a row to the first answered connection.
async fn change_to_traffic(
    report: &mut Report,
    lab: &Lab,
    tenant: &Tenant,
    observer: &Observer,
) -> Result<()> {
    let api = single::services(tenant);
    single::create(tenant, &service("probe").port(80).build()).await?;
    let probe = api.get("probe").await?;
    let address = probe
        .status
        .and_then(|s| s.load_balancer?.ingress?.first()?.ip.clone())
        .context("the probe has no address")?;
    let mut samples = Vec::new();
    for number in 0..10_u16 {
        // northd and ovn-controller have nothing left to do.
        lab.nb(["--wait=hv", "--timeout=300", "sync"]).await?;
        let port = 8_000 + number;
        let mut events = observer.client.subscribe();
        let patch = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": port}]);
        let patch = serde_json::from_value(patch)?;
        api.patch("probe", &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
        let changed = first_change(&mut events, &format!("{address}:{port}")).await?;
        let url = format!("http://{address}:{port}/");
        wait::until("an answer", SOON, || async {
            traffic::get_within(lab.near(), &url, Duration::from_millis(20)).await
        })
        .await?;
        samples.push(changed.elapsed());
    }
    let worst = samples.iter().max().copied().unwrap_or_default();
    let target = Duration::from_millis(250);
    report.time(
        format!("vips changed to first answer, {ROWS} rows, worst of 10"),
        worst,
        None,
        target,
    );
    let p50 = lab::report::percentile(&mut samples, 0.5);
    report.time(format!("vips changed to first answer, {ROWS} rows, p50"), p50, None, target);
    ensure!(api.list(&ListParams::default().limit(1)).await.is_ok(), "the tenant's API is gone");
    Ok(())
}

async fn first_change(events: &mut Subscription, vip: &str) -> Result<Instant> {
    loop {
        let event = tokio::time::timeout(SOON, events.recv()).await?;
        let Event::Changes(changes) = event.context("the observer ended")? else { continue };
        let rows = changes.iter().filter(|c| &*c.table == nb::LoadBalancer::TABLE);
        let mut rows = rows.filter_map(|c| c.new.as_deref()).map(nb::LoadBalancer::from_row);
        if rows.any(|row| row.vips.contains_key(vip)) {
            return Ok(Instant::now());
        }
    }
}

/// Deletes rows of ours; the time from the first deletion seen to the last row back.
async fn heal(lab: &Lab, observer: &Observer, count: usize) -> Result<Duration> {
    lab.nb(["--wait=sb", "--timeout=300", "sync"]).await?;
    let victims: Vec<(Uuid, String)> = observer.ours().into_iter().take(count).collect();
    let mut missing: BTreeSet<String> = victims.iter().map(|(_, owner)| owner.clone()).collect();
    let mut events = observer.client.subscribe();
    let mut txn = ovn_client::Txn::new();
    for (uuid, _) in &victims {
        txn.push(ovn_client::Delete::row(nb::LoadBalancer::TABLE, *uuid));
    }
    let client = observer.client.clone();
    let deletion = tokio::spawn(async move { client.transact(txn).await });
    let mut begin = None;
    while begin.is_none() || !missing.is_empty() {
        let event = tokio::time::timeout(SOON, events.recv()).await?;
        let Event::Changes(changes) = event.context("the observer ended")? else { continue };
        for change in changes.iter().filter(|c| &*c.table == nb::LoadBalancer::TABLE) {
            match &change.new {
                None => {
                    begin.get_or_insert_with(Instant::now);
                }
                Some(row) => {
                    let row = nb::LoadBalancer::from_row(row);
                    missing.remove(row.external_ids.get("owner").map_or("", String::as_str));
                }
            }
        }
    }
    ensure!(deletion.await?.is_committed(), "the rows were not deleted");
    Ok(begin.context("no deletion was seen")?.elapsed())
}

/// A second client of the Northbound database, which sees what the product does.
struct Observer {
    client: Client,
    _stop: tokio_util::sync::DropGuard,
}

impl Observer {
    async fn start(lab: &Lab) -> Result<Self> {
        let endpoints = lab.ovn().northbound().tcp().parse()?;
        let mut config = ClientConfig::new(endpoints, nb::database([nb::LoadBalancer::spec()]));
        config.event_queue = 65_536;
        let (client, driver) = Client::new(config);
        let stop = CancellationToken::new();
        tokio::spawn(driver.run(stop.clone()));
        client.connected().await.context("no connection to the Northbound database")?;
        Ok(Self { client, _stop: stop.drop_guard() })
    }

    /// Waits until the product has that many live rows; says now and then how many there are.
    async fn has_rows(&self, wanted: usize) -> Result<()> {
        let mut events = self.client.subscribe();
        let (begin, mut said) = (Instant::now(), Instant::now());
        loop {
            let rows = self.ours().len();
            if rows >= wanted {
                return Ok(());
            }
            ensure!(begin.elapsed() < FILLED, "{rows} of {wanted} rows after {FILLED:?}");
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                eprintln!("bench: {rows} of {wanted} rows after {:.0?}", begin.elapsed());
            }
            tokio::time::timeout(SOON, events.recv()).await.context("no row for a minute")?;
        }
    }

    /// Live rows of the product: UUID and owner.
    fn ours(&self) -> Vec<(Uuid, String)> {
        let replica = self.client.snapshot();
        let rows = replica.table(nb::LoadBalancer::TABLE).iter();
        rows.filter_map(|row| {
            let row = nb::LoadBalancer::from_row(row);
            let owner = row.external_ids.get("owner")?.clone();
            (!row.vips.is_empty()).then_some((row.uuid, owner))
        })
        .collect()
    }
}
