//! From nothing to an indexed replica of ten thousand load balancers.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::report::{Figure, Report, Target, percentile};

use crate::fill::{Filled, ROWS};
use crate::peers::{Dumped, Peers};

/// Rounds; in each, every client takes its turn.
const ROUNDS: usize = 5;

pub(crate) async fn measure(report: &mut Report, filled: &Filled, peers: &Peers) -> Result<()> {
    let (tcp, unix) = (filled.member.endpoint(), filled.member.socket());
    let schema = filled.schema.display().to_string();
    let db = format!("--db={unix}");
    let [mut ours, mut floor, mut go, mut nbctl, mut dump, mut python] = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        ours.push(peers.our_dump(&tcp).await?);
        floor.push(peers.floor_dump(&tcp).await?);
        go.push(peers.libovsdb_dump(&tcp).await?);
        nbctl.push(peers.c("ovn-nbctl", &[&db, "--no-leader-only", "lb-list"])?);
        dump.push(peers.c("ovsdb-client", &["dump", &unix, "OVN_Northbound", "Load_Balancer"])?);
        python.push(peers.python_dump(&unix, &schema).await?);
    }
    for dumped in [&ours, &go, &python].into_iter().flatten() {
        ensure!(dumped.rows == u64::try_from(ROWS)?, "{} rows", dumped.rows);
    }
    let ours_time = time(&ours);
    let what = "10,000 load balancers to an indexed replica";
    let mut beside = |peer: &str, dumped: &[Dumped], share: f64| {
        let theirs = Figure::Time(time(dumped));
        let target = Target::AtMost(theirs.times(share));
        report.add(format!("{what}, peer {peer}"), Figure::Time(ours_time), Some(theirs), target);
    };
    beside("libovsdb", &go, 0.5);
    beside("ovn-nbctl lb-list", &nbctl, 1.0);
    beside("ovsdb-client dump", &dump, 1.0);
    beside("Python ovs", &python, 0.2);
    let received = Figure::Time(time(&floor));
    let floor = format!("{what}, peer a bare socket");
    report.add(floor, Figure::Time(ours_time), Some(received), Target::None);
    let peak = |dumped: &[Dumped]| Figure::Bytes(middle(dumped, |d| d.peak));
    for (peer, dumped) in
        [("libovsdb", &go), ("ovn-nbctl lb-list", &nbctl), ("Python ovs", &python)]
    {
        let measure = format!("most memory meanwhile, peer {peer}");
        report.add(measure, peak(&ours), Some(peak(dumped)), Target::None);
    }
    let row = |dumped: &[Dumped]| Figure::Bytes(middle(dumped, |d| d.grown) / d_rows());
    let theirs = row(&go);
    let target = Target::AtMost(theirs.times(0.5));
    report.add("memory for each row, peer libovsdb", row(&ours), Some(theirs), target);
    Ok(())
}

fn d_rows() -> u64 {
    u64::try_from(ROWS).unwrap_or(1)
}

fn time(dumped: &[Dumped]) -> Duration {
    let mut times: Vec<_> = dumped.iter().map(|d| Duration::from_secs_f64(d.seconds)).collect();
    percentile(&mut times, 0.5)
}

fn middle(dumped: &[Dumped], of: impl Fn(&Dumped) -> u64) -> u64 {
    let mut values: Vec<_> = dumped.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
