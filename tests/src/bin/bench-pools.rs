//! `make bench-pools`: the allocator of addresses, beside MetalLB's. Needs no lab, only Go.

use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::components;
use lab::report::{Figure, Report, Target, machine};
use one::Times;
use serde::Deserialize;

#[path = "bench-pools/corners.rs"]
mod corners;
#[path = "bench-pools/many.rs"]
mod many;
#[path = "bench-pools/one.rs"]
mod one;
#[path = "bench-pools/services.rs"]
mod services;

/// What MetalLB's allocator takes, in seconds.
#[derive(Deserialize)]
struct Medians {
    assign: f64,
    release: f64,
}

#[derive(Deserialize)]
struct MetalLb {
    empty: Medians,
    full: Medians,
}

/// How often each is measured; odd.
const ROUNDS: usize = 5;

impl Medians {
    /// The middle ones of several runs.
    fn of(runs: &[MetalLb], part: impl Fn(&MetalLb) -> &Self) -> Self {
        let middle = |time: fn(&Self) -> f64| {
            let mut times: Vec<f64> = runs.iter().map(|run| time(part(run))).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        Self { assign: middle(|one| one.assign), release: middle(|one| one.release) }
    }
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let peer = components::metallb_peer()?;
    let mut report = Report::default();
    many::measure(&mut report)?;
    corners::measure(&mut report)?;
    let (mut empty, mut full) = (Times::new(0), Times::new(one::SIZE * 9 / 10));
    let mut theirs = Vec::new();
    // In turns: the processor's speed changes within seconds.
    for _ in 0..ROUNDS {
        empty.measure()?;
        full.measure()?;
        let output = Command::new(&peer).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        theirs.push(serde_json::from_slice(&output.stdout).context("the peer")?);
    }
    for (what, ours, theirs, faster) in [
        ("pool of 4,096, empty", empty, Medians::of(&theirs, |one| &one.empty), 10.0),
        ("pool of 4,096, 9 of 10 in use", full, Medians::of(&theirs, |one| &one.full), 100.0),
    ] {
        let (assign, release) = ours.medians();
        let mut beside = |what: String, ours: Duration, theirs: f64, faster: f64| {
            let theirs = Figure::Time(Duration::from_secs_f64(theirs));
            let target = Target::AtMost(theirs.times(1.0 / faster));
            report.add(what, Figure::Time(ours), Some(theirs), target);
        };
        beside(format!("{what}: assign, peer MetalLB"), assign, theirs.assign, faster);
        // Which takes as long however much is in use, there and here.
        beside(format!("{what}: release, peer MetalLB"), release, theirs.release, 10.0);
    }
    writeln!(std::io::stdout(), "{}", machine())?;
    report.print();
    Ok(())
}
