//! From a Service to its address, to the first answer by ARP, and to the first by HTTP.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use lab::report::{Report, percentile};
use lab::{traffic, wait};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::asker::Asker;
use crate::bed::{Bed, SOON, Who, balanced, published};

const SAMPLES: usize = 100;
/// With kube-proxy on the machines, and the first answer by HTTP.
const WHOLE: usize = 100;
/// So long nothing happens between two of them.
const REST: Duration = Duration::from_millis(150);
const CROWD: usize = 1_000;
/// What a watch begins with is too long ago (`410 Gone`).
const EXPIRED: u16 = 410;
/// One question by HTTP waits so long for its answer.
const PATIENCE: Duration = Duration::from_millis(5);
/// With a client that connects once, and waits for so long.
const PATIENT: usize = 10;
const ONCE: Duration = Duration::from_secs(10);

/// How far a Service is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The first answer by ARP.
    Arp,
    /// The first answer by HTTP, to a client that asks all the time.
    Http,
    /// The answer by HTTP to a client that asks once, when it sees the address.
    Once,
}

/// What one Service took.
struct Course {
    address: Duration,
    arp: Duration,
    http: Option<Duration>,
}

/// What many took.
#[derive(Default)]
struct Courses {
    address: Vec<Duration>,
    arp: Vec<Duration>,
    http: Vec<Duration>,
}

/// Measures both products. Until it is about packets, kube-proxy rests on all machines: what it
/// does for a Service takes both cores of a small machine, on which each product's part would wait.
pub(crate) async fn measure(report: &mut Report, bed: &Bed) -> Result<()> {
    let mut askers = Vec::new();
    for who in [Who::Us, Who::MetalLb] {
        askers.push(bed.asker(who, "served").await?);
    }
    bed.pause_proxies().await?;
    eprintln!("bench: {SAMPLES} Services each, one after the other");
    let [mut ours, mut theirs] = many(bed, &mut askers, "quiet", SAMPLES, Until::Arp).await?;
    let mut add = |what: &str, share: f64, part: fn(&mut Courses) -> &mut Vec<Duration>, most| {
        let (ours, theirs) =
            (percentile(part(&mut ours), share), percentile(part(&mut theirs), share));
        // Where no time is set, the peer's is the most.
        report.time(what, ours, Some(theirs), Option::unwrap_or(most, theirs));
    };
    let ms = |ms| Some(Duration::from_millis(ms));
    add("Service created to EXTERNAL-IP that is announced, p50", 0.5, |c| &mut c.address, ms(25));
    add("Service created to EXTERNAL-IP that is announced, p99", 0.99, |c| &mut c.address, ms(60));
    add("Service created to first answer by ARP, p50", 0.5, |c| &mut c.arp, None);
    add("Service created to first answer by ARP, p99", 0.99, |c| &mut c.arp, None);
    bed.resume_proxies().await?;
    eprintln!("bench: {WHOLE} Services each with kube-proxy on the machines");
    let [mut ours, mut theirs] = many(bed, &mut askers, "whole", WHOLE, Until::Http).await?;
    for (name, share) in [("p50", 0.5), ("worst", 1.0)] {
        let (ours, theirs) =
            (percentile(&mut ours.http, share), percentile(&mut theirs.http, share));
        let what = format!("Service created to first answer by HTTP, {name} of {WHOLE}");
        report.time(what, ours, Some(theirs), theirs);
    }
    eprintln!("bench: {PATIENT} Services each, and a client that connects once");
    let [mut ours, mut theirs] = many(bed, &mut askers, "once", PATIENT, Until::Once).await?;
    let (ours, theirs) = (percentile(&mut ours.http, 1.0), percentile(&mut theirs.http, 1.0));
    let what = format!("the same, asked once (no answer is {ONCE:?}), worst of {PATIENT}");
    report.time(what, ours, Some(theirs), theirs);
    Ok(())
}

/// Creates Services of both, in turns, with a rest before each.
async fn many(
    bed: &Bed,
    askers: &mut [Asker],
    prefix: &str,
    count: usize,
    until: Until,
) -> Result<[Courses; 2]> {
    let mut courses = [Courses::default(), Courses::default()];
    for number in 0..count + 2 {
        let both = [Who::Us, Who::MetalLb].into_iter().zip(askers.iter_mut());
        for ((who, asker), of) in both.zip(&mut courses) {
            tokio::time::sleep(REST).await;
            let course = one(bed, who, asker, &format!("{prefix}-{number}"), until).await;
            let Course { address, arp, http } = course.with_context(|| format!("{who:?}"))?;
            // The first ones warm up what is there, on both sides.
            if number >= 2 {
                of.address.push(address);
                of.arp.push(arp);
                of.http.extend(http);
            }
        }
    }
    Ok(courses)
}

/// Creates a Service, and waits until it has an address that answers.
async fn one(bed: &Bed, who: Who, asker: &mut Asker, name: &str, until: Until) -> Result<Course> {
    let api = bed.services(who)?;
    let service = balanced(name);
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let version = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let mut events = pin!(api.watch(&params, version.as_deref().unwrap_or("0")).await?);
    let (tell, told) = oneshot::channel();
    // The watch took the connection there was: a new one takes its time, which is nobody's.
    api.list(&ListParams::default().limit(1)).await?;
    let begin = Instant::now();
    let served = async {
        api.create(&PostParams::default(), &service).await?;
        let address = loop {
            let event = events.try_next().await?.context("the watch ended")?;
            if let WatchEvent::Modified(service) = event
                && let Some(address) = published(&service)
            {
                break address;
            }
        };
        let at = Instant::now();
        // Whoever overheard it was not waiting for that.
        let _ = tell.send(address);
        let http = match until {
            Until::Arp => None,
            Until::Http => Some(answers(bed, address).await? - begin),
            Until::Once => Some(answers_once(bed, address).await? - begin),
        };
        Ok((at - begin, http))
    };
    let (served, arp) = tokio::try_join!(served, asker.first_answer(told))?;
    let ((address, http), (_, arp)) = (served, arp);
    Ok(Course { address, arp: arp - begin, http })
}

/// Asks by HTTP from behind the router, until there is an answer.
async fn answers(bed: &Bed, address: Ipv4Addr) -> Result<Instant> {
    let (client, url) = (bed.lab.lans()?.client(), format!("http://{address}/"));
    let begun = Instant::now();
    loop {
        if traffic::get_within(client, &url, PATIENCE).await.is_ok() {
            return Ok(Instant::now());
        }
        if begun.elapsed() > SOON {
            bail!("{url} does not answer");
        }
    }
}

/// Asks by HTTP from behind the router once. No answer counts as one that late.
async fn answers_once(bed: &Bed, address: Ipv4Addr) -> Result<Instant> {
    let (client, url) = (bed.lab.lans()?.client(), format!("http://{address}/"));
    let begun = Instant::now();
    match traffic::get_within(client, &url, ONCE).await {
        Ok(_) => Ok(Instant::now()),
        Err(error) => {
            eprintln!("bench: {error:#}");
            Ok(begun + ONCE)
        }
    }
}

/// Measures a thousand at once, on each side while the other and kube-proxy rest.
pub(crate) async fn crowds(report: &mut Report, bed: &Bed) -> Result<()> {
    bed.pause_proxies().await?;
    let mut lags = Vec::new();
    for who in [Who::Us, Who::MetalLb] {
        delete_all(bed, who).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        eprintln!("bench: {CROWD} Services at once, {who:?}");
        lags.push(crowd(bed, who).await?);
        delete_all(bed, who).await?;
    }
    if let [ours, theirs] = lags[..] {
        report.time(
            format!("{CROWD} Services at once: last created to last address"),
            ours,
            Some(theirs),
            Duration::from_millis(500),
        );
    }
    Ok(())
}

async fn crowd(bed: &Bed, who: Who) -> Result<Duration> {
    let api = bed.services(who)?;
    let version = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let last = tokio::spawn(all_served(api.clone(), version.unwrap_or_default()));
    let begin = Instant::now();
    let create = |number| {
        let (api, service) = (api.clone(), balanced(&format!("crowd-{number}")));
        async move { api.create(&PostParams::default(), &service).await.map(|_| ()) }
    };
    stream::iter(0..CROWD).map(create).buffer_unordered(32).try_collect::<()>().await?;
    let created = Instant::now();
    eprintln!("bench: created within {:.0?}", created - begin);
    Ok(last.await??.saturating_duration_since(created))
}

/// Waits until so many Services have an address. An API server that has much to do ends watches, which
/// go on from where they were, or from a list where that is too long ago.
async fn all_served(api: Api<Service>, mut version: String) -> Result<Instant> {
    let params = WatchParams::default();
    let mut served = BTreeSet::new();
    while served.len() < CROWD {
        let mut events = pin!(api.watch(&params, &version).await?);
        while served.len() < CROWD
            && let Some(event) = events.try_next().await?
        {
            match event {
                WatchEvent::Added(service) | WatchEvent::Modified(service) => {
                    version = service.resource_version().context("no version")?;
                    served.extend(published(&service).map(|_| service.name_any()));
                }
                WatchEvent::Error(status) if status.code == EXPIRED => {
                    let all = api.list(&ListParams::default()).await?;
                    version = all.metadata.resource_version.unwrap_or_default();
                    let with = all.items.iter().filter(|service| published(service).is_some());
                    served.extend(with.map(ResourceExt::name_any));
                    break;
                }
                WatchEvent::Error(status) => bail!("the watch: {status:?}"),
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            }
        }
    }
    Ok(Instant::now())
}

async fn delete_all(bed: &Bed, who: Who) -> Result<()> {
    let api = bed.services(who)?;
    let ours = || async {
        let all = api.list(&ListParams::default()).await?.items;
        let all = all.into_iter().map(|service| service.name_any());
        anyhow::Ok(all.filter(|name| name != "kubernetes").collect::<Vec<_>>())
    };
    let delete = |name: String| {
        let api = api.clone();
        async move { api.delete(&name, &DeleteParams::default()).await.map(|_| ()) }
    };
    stream::iter(ours().await?).map(delete).buffer_unordered(32).try_collect::<()>().await?;
    wait::until("the end of all Services", SOON * 3, || async {
        let left = ours().await?.len();
        anyhow::ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}
