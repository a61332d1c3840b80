//! What is rarer than one Service that asks for any IPv4 address.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::report::{Report, percentile};
use pools::{
    Afterwards, Allocator, Families, Family, PoolSpec, Request, ServiceAllocation, Sharing,
};

use crate::services::{Named, request};

const SAMPLES: usize = 1_000;
const MICROSECOND: Duration = Duration::from_micros(1);
/// What a Service takes that asks where thousands must be gone through: less than the writing of its
/// record, which takes milliseconds.
const MUCH: Duration = Duration::from_micros(500);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (any, six, shared): (Ask, Ask, Ask) = (
        |request| request,
        |request| Request { families: Families::Only(Family::V6), ..request },
        |request| Request { sharing: SHARED, ..request },
    );
    for (what, mut allocator, ask, bound) in [
        ("IPv6, 10,000 of a /64 at rest: assign", at_rest(six)?, six, MICROSECOND),
        ("behind 1,000 pools for other namespaces: assign", behind_others()?, any, MUCH),
        ("10,000 with the same sharing key and port: assign", alike(shared)?, shared, MUCH),
    ] {
        report.time(format!("{what}, p50"), assignments(&mut allocator, ask)?, None, bound);
    }
    Ok(())
}

type Ask = for<'r> fn(Request<'r>) -> Request<'r>;

const SHARED: Option<Sharing<'static>> = Some(Sharing { key: "key", backends: "" });
const MANY: usize = 10_000;

/// The median of an assignment; each is taken back.
fn assignments(allocator: &mut Allocator, ask: Ask) -> Result<Duration> {
    let mut times = Vec::new();
    let service = Named::new(MANY);
    for _ in 0..SAMPLES {
        let request = ask(request(&service, None));
        let begin = Instant::now();
        let assigned = allocator.assign(&request);
        times.push(begin.elapsed());
        ensure!(assigned.is_ok(), "it gets an address");
        allocator.withdraw(&service.get());
    }
    Ok(percentile(&mut times, 0.5))
}

fn of_one(addresses: &str) -> Result<Allocator> {
    let spec = PoolSpec { addresses: vec![addresses.parse()?], ..PoolSpec::default() };
    let mut allocator = Allocator::default();
    allocator.set_pools([("pool".to_owned(), spec)].into());
    Ok(allocator)
}

/// Ten thousand Services of one tenant.
fn of_one_tenant(mut each: impl FnMut(&Named) -> Result<()>) -> Result<()> {
    (0..MANY).try_for_each(|number| each(&Named::of_tenant(0, number)))
}

fn at_rest(ask: Ask) -> Result<Allocator> {
    let mut allocator = of_one("2001:db8::/64")?;
    of_one_tenant(|service| {
        ensure!(allocator.assign(&ask(request(service, None))).is_ok(), "it gets an address");
        allocator.release(&service.get(), Afterwards::Rest(60));
        Ok(())
    })?;
    Ok(allocator)
}

fn alike(ask: Ask) -> Result<Allocator> {
    let mut allocator = of_one("10.0.0.0/16")?;
    of_one_tenant(|service| {
        ensure!(allocator.assign(&ask(request(service, None))).is_ok(), "it gets an address");
        Ok(())
    })?;
    Ok(allocator)
}

fn behind_others() -> Result<Allocator> {
    let mut specs = BTreeMap::new();
    for number in 0..1_000_u16 {
        let allocation = ServiceAllocation {
            namespaces: [format!("other-{number}")].into(),
            ..ServiceAllocation::default()
        };
        let spec = PoolSpec {
            addresses: vec![format!("10.{}.{}.0/24", number / 256, number % 256).parse()?],
            allocation: Some(allocation),
            ..PoolSpec::default()
        };
        specs.insert(format!("other-{number}"), spec);
    }
    let last = PoolSpec { addresses: vec!["192.0.2.0/24".parse()?], ..PoolSpec::default() };
    specs.insert("pool".to_owned(), last);
    let mut allocator = Allocator::default();
    allocator.set_pools(specs);
    Ok(allocator)
}
