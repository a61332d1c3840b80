//! `make bench`: how fast overlay mode is, on real components, beside what the same steps cost
//! without `cpo`.

use std::process::ExitCode;

use lab::harness;
use lab::report::Report;

#[path = "bench/crowd.rs"]
mod crowd;
#[path = "bench/fill.rs"]
mod fill;
#[path = "bench/single.rs"]
mod single;
#[path = "bench/steps.rs"]
mod steps;

fn main() -> ExitCode {
    let mut report = Report::default();
    let done = harness::block_on(async || {
        single::measure(&mut report).await?;
        crowd::measure(&mut report).await
    });
    if let Err(error) = done {
        eprintln!("bench: {error:#}");
        return ExitCode::FAILURE;
    }
    report.print();
    ExitCode::SUCCESS
}
