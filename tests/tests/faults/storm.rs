//! `cpo` killed again and again while it is at work on many Services: after its first write, after
//! its second, and so on, wherever the others are by then.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use lab::wait;
use lab::writes::mark;

use crate::bed::{Bed, SOON};
use crate::kills::Way;
use crate::stage::bed;

const NAMES: [&str; 6] = ["storm-1", "storm-2", "storm-3", "storm-4", "storm-5", "storm-6"];
/// Lives of `cpo` on the way in, and again on the way out.
const LIVES: usize = 10;

pub(crate) async fn overlay_kills_at_any_write_leak_nothing() -> Result<()> {
    let bed = bed().await?;
    let mut ways = Vec::new();
    for tenant in bed.lab.tenants() {
        ways.extend(NAMES.map(|name| Way { bed, lab: &bed.lab, tenant, name }));
    }
    bed.cpo.process().kill().await?;
    try_join_all(ways.iter().map(Way::create)).await?;
    short_lives(bed).await?;
    let addresses = try_join_all(ways.iter().map(Way::is_served)).await?;
    let distinct: BTreeSet<_> = addresses.iter().collect();
    ensure!(distinct.len() == ways.len(), "an address twice: {addresses:?}");
    bed.cpo.process().kill().await?;
    try_join_all(ways.iter().map(Way::delete)).await?;
    short_lives(bed).await?;
    try_join_all(ways.iter().map(Way::vanishes)).await?;
    Ok(())
}

/// Starts `cpo` and kills it after its n-th write, for each n; then lets it live.
async fn short_lives(bed: &Bed) -> Result<()> {
    for life in 1..=LIVES {
        let mark = mark(&bed.lab)?;
        bed.cpo.process().start_again()?;
        let enough = format!("{life} writes");
        let written = wait::until(&enough, SOON, || async {
            let writes = mark.writes()?.len();
            ensure!(writes >= life, "{writes} only");
            Ok(())
        });
        // A late life may find nothing left to do.
        if written.await.is_err() {
            bed.cpo.ready().await?;
        }
        bed.cpo.process().kill().await?;
    }
    bed.cpo.process().start_again()?;
    bed.cpo.ready().await
}
