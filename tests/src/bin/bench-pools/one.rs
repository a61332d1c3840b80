//! One pool, as MetalLB's is measured.

use std::time::{Duration, Instant};

use anyhow::Result;
use lab::report::percentile;
use pools::{Allocator, PoolSpec, TenantSpec};

use crate::services::{Named, TENANTS, assign, release};

/// Addresses of the pool.
pub(crate) const SIZE: usize = 4_096;
const SAMPLES: usize = 2_000;

/// The medians of assigning and releasing with so many addresses in use.
pub(crate) fn measure(used: usize) -> Result<(Duration, Duration)> {
    let spec = PoolSpec { addresses: vec!["10.0.0.0/20".parse()?], ..PoolSpec::default() };
    let mut allocator = Allocator::default();
    // A tenant is registered before its Services come, and stays when they are gone.
    for number in 0..TENANTS {
        allocator.set_tenant(Named::new(number).get().tenant, TenantSpec::default());
    }
    allocator.set_pools([("pool".to_owned(), spec)].into());
    for number in 0..used {
        assign(&mut allocator, &Named::new(number), Some("pool"))?;
    }
    let (mut assigned, mut released) = (Vec::new(), Vec::new());
    let service = Named::new(SIZE);
    for _ in 0..SAMPLES {
        let begin = Instant::now();
        assign(&mut allocator, &service, Some("pool"))?;
        assigned.push(begin.elapsed());
        let begin = Instant::now();
        release(&mut allocator, &service);
        released.push(begin.elapsed());
    }
    Ok((percentile(&mut assigned, 0.5), percentile(&mut released, 0.5)))
}
