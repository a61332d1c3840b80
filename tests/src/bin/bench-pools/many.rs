//! A thousand pools with a million free addresses and a hundred thousand in use.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::report::{Figure, Report, Target, percentile};
use pools::{AddressRange, Allocator, Bound, Owner, PoolSpec, Record};

use crate::services::{Named, PORTS, assign, release};

const POOLS: usize = 1_000;
/// Addresses of a pool.
const SIZE: usize = 1_100;
/// Of them in use.
const USED: usize = 100;
const SAMPLES: usize = 20_000;
const MICROSECOND: Duration = Duration::from_micros(1);
const REBUILD: Duration = Duration::from_millis(150);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    memory(report)?;
    let mut allocator = filled()?;
    let (mut named, mut any, mut released, mut found) = (vec![], vec![], vec![], vec![]);
    for sample in 0..SAMPLES {
        // Spread over all pools and Services.
        let number = sample * 7_919;
        let (service, pool) = (Named::new(POOLS * USED + sample), name(number % POOLS));
        for (pool, times) in [(Some(&*pool), &mut named), (None, &mut any)] {
            let begin = Instant::now();
            assign(&mut allocator, &service, pool)?;
            times.push(begin.elapsed());
            let begin = Instant::now();
            release(&mut allocator, &service);
            released.push(begin.elapsed());
        }
        let holder = Named::new(number % (POOLS * USED));
        let begin = Instant::now();
        let given = allocator.of(&holder.get());
        found.push(begin.elapsed());
        ensure!(given.is_some(), "it has an address");
    }
    for (what, mut times) in [
        ("assign, of a pool", named),
        ("assign, of any pool", any),
        ("release", released),
        ("look up a Service's address", found),
    ] {
        let what = format!("1,000 pools, 100,000 of 1,100,000 assigned: {what}, p50");
        report.time(what, percentile(&mut times, 0.5), None, MICROSECOND);
    }
    rebuild(report)
}

fn name(pool: usize) -> String {
    format!("pool-{pool:04}")
}

fn range(first: u32, size: usize) -> Result<AddressRange> {
    let at = |number: u32| IpAddr::from(Ipv4Addr::from_bits(number));
    let last = first + u32::try_from(size)? - 1;
    Ok(AddressRange::new(at(first), at(last))?)
}

fn first_of(pool: usize) -> Result<u32> {
    Ok(0x0a00_0000 + u32::try_from(pool)? * 2_048)
}

fn specs() -> Result<BTreeMap<String, PoolSpec>> {
    let spec = |pool| {
        let addresses = vec![range(first_of(pool)?, SIZE)?];
        Ok((name(pool), PoolSpec { addresses, ..PoolSpec::default() }))
    };
    (0..POOLS).map(spec).collect()
}

fn filled() -> Result<Allocator> {
    let mut allocator = Allocator::default();
    allocator.set_pools(specs()?);
    for number in 0..POOLS * USED {
        assign(&mut allocator, &Named::new(number), Some(&name(number % POOLS)))?;
    }
    Ok(allocator)
}

/// What assignments and free addresses take. Assignments first: they are small enough to find room
/// in what something larger gave back, and would then seem to take less than they do.
fn memory(report: &mut Report) -> Result<()> {
    let mut allocator = Allocator::default();
    allocator.set_pools(specs()?);
    let before = resident()?;
    for number in 0..POOLS * USED {
        assign(&mut allocator, &Named::new(number), Some(&name(number % POOLS)))?;
    }
    let each = resident()?.saturating_sub(before) / u64::try_from(POOLS * USED)?;
    let target = Target::AtMost(Figure::Bytes(200));
    report.add("memory for each assignment, 100,000 of them", Figure::Bytes(each), None, target);
    // It stays, so that nothing of it is taken for what is free.
    let free = free_bits()?;
    drop(allocator);
    let target = Target::AtMost(Figure::Bits(2.0));
    let what = "memory for each free address, 100,663,296 of IPv4";
    report.add(what, Figure::Bits(free), None, target);
    Ok(())
}

/// Of so many that what the process takes besides does not count: six pools as large as 10.0.0.0/8,
/// each the largest that is held as bits.
fn free_bits() -> Result<f64> {
    const EACH: usize = 1 << 24;
    let before = resident()?;
    let mut allocator = Allocator::default();
    let spec = |number: usize| {
        let addresses = vec![range(0x0a00_0000 + (u32::try_from(number)? << 24), EACH)?];
        Ok((name(number), PoolSpec { addresses, ..PoolSpec::default() }))
    };
    allocator.set_pools((0..6).map(spec).collect::<Result<_>>()?);
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let bits = (resident()? - before) as f64 * 8.0 / (6 * EACH) as f64;
    Ok(bits)
}

/// From the records of a hundred thousand addresses.
fn rebuild(report: &mut Report) -> Result<()> {
    let names: Vec<(Named, String)> =
        (0..POOLS * USED).map(|n| (Named::new(n), name(n % POOLS))).collect();
    let mut times = Vec::new();
    for _ in 0..5 {
        let pools = specs()?;
        let begin = Instant::now();
        let mut allocator = Allocator::default();
        allocator.set_pools(pools);
        for (number, (service, pool)) in names.iter().enumerate() {
            let bits = first_of(number % POOLS)? + u32::try_from(number / POOLS)?;
            let of = service.get();
            let bound = [Bound { namespace: of.namespace, name: of.name, ports: &PORTS }];
            allocator.restore(&Record {
                address: Ipv4Addr::from_bits(bits).into(),
                pool,
                created: 0,
                owner: Owner::Services { tenant: of.tenant, services: &bound, sharing: None },
            })?;
        }
        times.push(begin.elapsed());
        ensure!(allocator.pool(&name(7)).is_some_and(|pool| pool.assigned.v4 == 100), "all of it");
    }
    report.time("rebuilt from 100,000 records", percentile(&mut times, 0.5), None, REBUILD);
    Ok(())
}

/// The memory of this process, in bytes.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("VmRSS")?.parse()?;
    Ok(kib * 1024)
}
