//! One pool, as MetalLB's is measured.

use std::time::{Duration, Instant};

use anyhow::Result;
use lab::report::percentile;
use pools::{Afterwards, Allocator, PoolSpec, TenantSpec};

use crate::services::{Named, TENANTS, assign};

/// Addresses of the pool.
pub(crate) const SIZE: usize = 4_096;
const SAMPLES: usize = 2_000;

/// How long assigning and releasing take with so many addresses in use. Nothing rests, as with
/// MetalLB.
pub(crate) struct Times {
    used: usize,
    assigned: Vec<Duration>,
    released: Vec<Duration>,
}

impl Times {
    pub(crate) const fn new(used: usize) -> Self {
        Self { used, assigned: Vec::new(), released: Vec::new() }
    }

    /// Measures, beside what was measured before.
    pub(crate) fn measure(&mut self) -> Result<()> {
        let spec = PoolSpec { addresses: vec!["10.0.0.0/20".parse()?], ..PoolSpec::default() };
        let mut allocator = Allocator::default();
        // A tenant is registered before its Services come, and stays when they are gone.
        for number in 0..TENANTS {
            allocator.set_tenant(Named::new(number).get().tenant, TenantSpec::default());
        }
        allocator.set_pools([("pool".to_owned(), spec)].into());
        for number in 0..self.used {
            assign(&mut allocator, &Named::new(number), Some("pool"))?;
        }
        let service = Named::new(SIZE);
        for _ in 0..SAMPLES {
            let begin = Instant::now();
            assign(&mut allocator, &service, Some("pool"))?;
            self.assigned.push(begin.elapsed());
            let begin = Instant::now();
            allocator.release(&service.get(), Afterwards::Free);
            self.released.push(begin.elapsed());
        }
        Ok(())
    }

    /// The medians of assigning and releasing, without what the clock takes.
    pub(crate) fn medians(mut self) -> (Duration, Duration) {
        let clock = clock();
        let median = |times: &mut Vec<_>| percentile(times, 0.5).saturating_sub(clock);
        (median(&mut self.assigned), median(&mut self.released))
    }
}

/// What reading the clock takes.
fn clock() -> Duration {
    let time = |_| Instant::now().elapsed();
    percentile(&mut (0..SAMPLES).map(time).collect::<Vec<_>>(), 0.5)
}
