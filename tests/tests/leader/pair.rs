//! Two replicas, each with a path of its own to the under cluster's API server and to the
//! Northbound database.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use lab::builders::service;
use lab::overlay::Builder;
use lab::ovn::Northbound;
use lab::relay::Relay;
use lab::{Lab, cpo, wait};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::bed;

/// The Lease in these tests: short, and long enough for a busy machine.
const DURATION: Duration = Duration::from_secs(4);
const LEASE: [&str; 4] = [
    "--lease-duration=4s",
    "--lease-renew-deadline=3s",
    "--lease-retry-period=500ms",
    // So that emptied rows are soon gone.
    "--sweep-period=2s",
];
/// How long another replica may take to lead: a lost database is noticed after 10 s.
const TAKEN_OVER: Duration = Duration::from_secs(60);

static ALONE: OnceCell<Pair> = OnceCell::const_new();
static CLUSTERED: OnceCell<Pair> = OnceCell::const_new();

/// One replica and its paths.
pub(crate) struct Replica {
    pub(crate) cpo: cpo::Cpo,
    pub(crate) api_server: Relay,
    /// One for each server of the database.
    pub(crate) northbound: Vec<Relay>,
}

/// A lab with two replicas, and a Service that was there before.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) replicas: Vec<Replica>,
    /// The address of the Service that was there before.
    pub(crate) steady: Ipv4Addr,
}

/// The Lease as it is.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) holder: String,
    pub(crate) acquired: Timestamp,
    pub(crate) renewed: Timestamp,
}

impl Lease {
    /// When another replica may take over, at the earliest.
    pub(crate) fn is_over(&self) -> Timestamp {
        self.renewed + DURATION
    }
}

/// The pair that the tests with such a database share, both replicas at work.
pub(crate) async fn pair(database: Northbound) -> Result<&'static Pair> {
    let pair = match database {
        Northbound::Alone => ALONE.get_or_try_init(|| start(Lab::overlay())).await?,
        Northbound::Clustered => {
            CLUSTERED.get_or_try_init(|| start(Lab::overlay().clustered_northbound())).await?
        }
    };
    for replica in &pair.replicas {
        replica.api_server.restore();
        replica.northbound.iter().for_each(Relay::restore);
        if replica.cpo.process().paused() {
            replica.cpo.process().resume()?;
        }
        if !replica.cpo.process().alive() {
            replica.cpo.process().start_again()?;
        }
        replica.cpo.ready().await?;
    }
    Ok(pair)
}

async fn start(lab: Builder) -> Result<Pair> {
    let lab = lab.tenants(2).vms(2).start().await?;
    cpo::install(&lab).await?;
    lab.under().apply(&bed::pool(3)).await?;
    for tenant in lab.tenants() {
        cpo::register(&lab, tenant).await?;
        for vm in ["vm1", "vm2"] {
            tenant.add_pod(&format!("web-{vm}"), vm, &[("app", "web")]).await?;
        }
    }
    let mut replicas = Vec::new();
    for name in ["cpo-1", "cpo-2"] {
        replicas.push(Replica::start(&lab, name).await?);
    }
    let web = service("steady").selector("app", "web").port(80).build();
    let steady = bed::serve(&lab, lab.tenant("b")?, &web).await?;
    Ok(Pair { lab, replicas, steady })
}

impl Replica {
    async fn start(lab: &Lab, name: &str) -> Result<Self> {
        let api_server = Relay::start(lab.under().address()).await?;
        let servers = lab.ovn().northbound().addresses();
        let northbound = try_join_all(servers.into_iter().map(Relay::start)).await?;
        let endpoints = northbound.iter().map(|relay| format!("tcp:{}", relay.address()));
        let endpoints = endpoints.collect::<Vec<_>>().join(",");
        let options = cpo::Options {
            name: name.to_owned(),
            args: LEASE.map(str::to_owned).into(),
            api_server: Some(api_server.address()),
            northbound: Some(endpoints),
            ..cpo::Options::default()
        };
        let cpo = cpo::Cpo::start(lab, options).await?;
        Ok(Self { cpo, api_server, northbound })
    }

    /// Whether it says that it leads; one that is paused or gone says nothing.
    pub(crate) async fn leads(&self) -> Result<bool> {
        let process = self.cpo.process();
        if process.paused() || !process.alive() {
            return Ok(false);
        }
        // One that ends meanwhile says nothing either.
        match self.cpo.metric("cpo_leader").await {
            Ok(leads) => Ok(leads == 1),
            Err(_) if !process.alive() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Pair {
    /// Waits until one replica leads, and gives its number.
    pub(crate) async fn leader(&self) -> Result<usize> {
        wait::until("a leader", TAKEN_OVER, || async {
            self.leaders().await?.first().copied().context("nobody leads")
        })
        .await
    }

    /// Waits until this replica leads, and holds that no two say they do on the way.
    pub(crate) async fn comes_to_lead(&self, replica: usize) -> Result<()> {
        let what = format!("cpo-{} to lead", replica + 1);
        let led = wait::until(&what, TAKEN_OVER, || async {
            let leaders = self.leaders().await?;
            if leaders.len() > 1 {
                // An error of the value, not of the wait: it ends the wait at once.
                return Ok(Err(anyhow::anyhow!("{leaders:?} lead")));
            }
            ensure!(leaders == [replica], "{leaders:?} leads");
            Ok(Ok(()))
        });
        led.await?
    }

    /// Who says it leads. Whoever is asked first may have stepped down since, but then nobody else
    /// leads yet: between a deadline and the end of a Lease lies a second.
    pub(crate) async fn leaders(&self) -> Result<Vec<usize>> {
        let mut leaders = Vec::new();
        for (number, replica) in self.replicas.iter().enumerate() {
            if replica.leads().await? {
                leaders.push(number);
            }
        }
        Ok(leaders)
    }

    /// One replica.
    pub(crate) fn replica(&self, number: usize) -> Result<&Replica> {
        self.replicas.get(number).context("no such replica")
    }

    /// The Lease now.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        let api = self.lab.under().api("coordination.k8s.io/v1", "Lease", cpo::NAME).await?;
        let lease = api.get(cpo::NAME).await?;
        let spec = lease.data.get("spec").context("no spec")?;
        let text = |key| spec.get(key).and_then(Value::as_str).with_context(|| format!("no {key}"));
        Ok(Lease {
            holder: text("holderIdentity").unwrap_or_default().to_owned(),
            acquired: text("acquireTime")?.parse()?,
            renewed: text("renewTime")?.parse()?,
        })
    }
}
