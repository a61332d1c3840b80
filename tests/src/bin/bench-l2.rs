//! `make bench-l2`: VLAN mode beside MetalLB's controller and speakers, in the same run and the same
//! bed.
//!
//! ```text
//!  client ── router ──┬── VLAN of a ── vm1, vm2 ── node1, node2, node3 (ccm-proxy)
//!                     └── VLAN of b ── vm1, vm2 (MetalLB's speakers)
//! ```

use std::io::Write as _;
use std::process::ExitCode;

use lab::report::{Report, machine};
use lab::{components, harness};

#[path = "bench-l2/asker.rs"]
mod asker;
#[path = "bench-l2/bed.rs"]
mod bed;
#[path = "bench-l2/gaps.rs"]
mod gaps;
#[path = "bench-l2/many.rs"]
mod many;
#[path = "bench-l2/services.rs"]
mod services;
#[path = "bench-l2/throughput.rs"]
mod throughput;

/// What can be measured, in this order; the command line may name some of it.
const PARTS: [&str; 5] = ["services", "gaps", "throughput", "crowd", "many"];
/// How often an owner is killed, unless `--runs` says otherwise.
const RUNS: usize = 30;
/// How many addresses the node with many has, unless `--addresses` says otherwise.
const ADDRESSES: u16 = 10_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match measure(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[String]) -> anyhow::Result<()> {
    let (mut runs, mut addresses, mut parts) = (RUNS, ADDRESSES, words);
    while let [flag, number, rest @ ..] = parts {
        match flag.as_str() {
            "--runs" => runs = number.parse()?,
            "--addresses" => addresses = number.parse()?,
            _ => break,
        }
        parts = rest;
    }
    if let Some(word) = parts.iter().find(|word| !PARTS.contains(&word.as_str())) {
        anyhow::bail!("{word}? Only --runs N, --addresses N and {}", PARTS.join(", "));
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    let metallb = components::metallb()?;
    let mut report = Report::default();
    harness::block_on(async || {
        if ["services", "gaps", "throughput", "crowd"].into_iter().any(wanted) {
            let bed = bed::Bed::start(&metallb).await?;
            if wanted("services") {
                services::measure(&mut report, &bed).await?;
            }
            if wanted("gaps") {
                gaps::measure(&mut report, &bed, runs).await?;
            }
            if wanted("throughput") {
                throughput::measure(&mut report, &bed).await?;
            }
            // Last: what kube-controller-manager has to do for it goes on for a while.
            if wanted("crowd") {
                services::crowds(&mut report, &bed).await?;
            }
        }
        if wanted("many") {
            many::measure(&mut report, &metallb, addresses).await?;
        }
        writeln!(std::io::stdout(), "{}", machine())?;
        report.print();
        Ok(())
    })
}
