//! `make bench-start`: what a start of `cpo` takes, writes and changes where ten thousand Services
//! are right already.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::ListParams;
use lab::builders::service;
use lab::overlay::Tenant;
use lab::report::{Figure, Report, Target};
use lab::{Lab, cpo, harness, writes};

#[path = "bench/fill.rs"]
mod fill;
#[expect(dead_code, reason = "shared with the target bench, which uses the rest")]
#[path = "bench/single.rs"]
mod single;
#[path = "bench/steps.rs"]
mod steps;

/// Services of one tenant, each with one port.
const SERVICES: usize = 10_000;
/// How long the product may take to serve them all for the first time.
const SERVED: Duration = Duration::from_secs(1_200);
/// Time between two looks at the plans it makes: when none was made between two, it rests.
const REST: Duration = Duration::from_secs(5);
/// How long it may take to look at every Service once.
const LOOKED: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut report = Report::default();
    if let Err(error) = harness::block_on(async || measure(&mut report).await) {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    report.print();
    ExitCode::SUCCESS
}

async fn measure(report: &mut Report) -> Result<()> {
    let lab = Lab::overlay().tenants(1).vms(2).many_addresses().start().await?;
    single::install(&lab).await?;
    let tenant = lab.tenant("a")?;
    let begin = Instant::now();
    fill::fill(&lab, tenant, SERVICES, |name| service(name).port(80).build()).await?;
    eprintln!("bench: {SERVICES} Services are there after {:.0?}", begin.elapsed());
    let options = cpo::Options {
        env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
        ..cpo::Options::default()
    };
    let cpo = cpo::Cpo::start(&lab, options).await?;
    let begin = Instant::now();
    loop {
        let served = addresses(tenant).await?.len();
        if served == SERVICES {
            break;
        }
        ensure!(begin.elapsed() < SERVED, "{served} of {SERVICES} served after {SERVED:?}");
        tokio::time::sleep(REST).await;
    }
    rest(&cpo, 0).await?;
    eprintln!("bench: they are served after {:.0?}", begin.elapsed());
    cpo.process().stop().await?;
    again(report, &lab, tenant, &cpo).await
}

/// The start that is measured.
async fn again(report: &mut Report, lab: &Lab, tenant: &Tenant, cpo: &cpo::Cpo) -> Result<()> {
    let before = addresses(tenant).await?;
    let mark = writes::mark(lab)?;
    let begin = Instant::now();
    cpo.process().start_again()?;
    cpo.ready().await?;
    let ready = begin.elapsed();
    rest(cpo, SERVICES as u64).await?;
    let (written, peak) = (mark.writes()?, peak(cpo)?);
    let after = addresses(tenant).await?;
    for line in written.iter().take(10) {
        eprintln!("bench: written: {line}");
    }
    let changed = before.iter().filter(|(name, ip)| after.get(*name) != Some(ip)).count();
    let of = format!("start of cpo with {SERVICES} Services that are right");
    let none = Target::AtMost(Figure::Count(0));
    report.time(format!("{of}: ready"), ready, None, Duration::from_secs(30));
    report.add(format!("{of}: writes"), Figure::Count(written.len() as u64), None, none);
    report.add(format!("{of}: addresses changed"), Figure::Count(changed as u64), None, none);
    let most = Target::AtMost(Figure::Bytes(250 << 20));
    report.add(format!("{of}: peak memory"), Figure::Bytes(peak), None, most);
    Ok(())
}

/// The address of each Service that has one.
async fn addresses(tenant: &Tenant) -> Result<BTreeMap<String, String>> {
    let listed = single::services(tenant).list(&ListParams::default()).await?;
    let address = |service: &Service| {
        let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
        balancer.ingress.as_ref()?.first()?.ip.clone()
    };
    Ok(listed.iter().filter_map(|s| Some((s.name_any(), address(s)?))).collect())
}

/// Waits until it has made that many plans, and makes no more.
async fn rest(cpo: &cpo::Cpo, plans: u64) -> Result<()> {
    let mut last = None;
    let begin = Instant::now();
    loop {
        let made = cpo.metric("cpo_plans_total").await?;
        if made >= plans && last == Some(made) {
            return Ok(());
        }
        ensure!(begin.elapsed() < LOOKED, "no rest: {made} plans");
        last = Some(made);
        tokio::time::sleep(REST).await;
    }
}

/// The most memory it has held so far, in bytes.
fn peak(cpo: &cpo::Cpo) -> Result<u64> {
    let pid = cpo.process().pid().context("cpo has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kibibytes.context("no VmHWM")? << 10)
}
